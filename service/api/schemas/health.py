"""Schemas of the answers to probes."""

from __future__ import annotations

from marshmallow import Schema, fields

CHECKS = fields.Dict(keys=fields.String(), values=fields.String())


class Alive(Schema):
    status = fields.Constant("ok")


class Dead(Schema):
    """A failed liveness probe, in the shape of every failure."""

    message = fields.String()
    status_code = fields.Constant(503, data_key="statusCode")
    status = fields.Constant("dead")


class Ready(Schema):
    status = fields.Constant("ready")
    checks = CHECKS


class NotReady(Schema):
    """A failed readiness probe: the shape of every failure, and the checks."""

    message = fields.String()
    status_code = fields.Constant(503, data_key="statusCode")
    status = fields.Constant("not ready")
    checks = CHECKS
