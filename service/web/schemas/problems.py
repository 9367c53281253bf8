"""Schema of error answers."""

from __future__ import annotations

from marshmallow import Schema, fields


class Problem(Schema):
    """The shape of every failure. ``errors`` is there where single fields are invalid."""

    message = fields.String()
    status_code = fields.Integer(data_key="statusCode")
    errors = fields.Dict(
        keys=fields.String(), values=fields.List(fields.String()), metadata={"optional": True}
    )
