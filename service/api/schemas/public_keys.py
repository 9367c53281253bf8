"""Schemas of public keys."""

from __future__ import annotations

from marshmallow import Schema, fields

from service.security.key_pairs import KeyFormat
from service.web.schemas.fields import Instant, Request


class KeyFilter(Request):
    form = fields.Enum(
        KeyFormat,
        data_key="format",
        by_value=True,
        error_messages={"unknown": "must be one of {choices}"},
    )


class PublicKeyData(Schema):
    id = fields.String()
    public_key = fields.String(data_key="publicKey")
    valid_until = Instant(data_key="validUntil")


class PublicKeysData(Schema):
    """VideoSDK's member, followed by all keys with their ids."""

    public_key = fields.String(data_key="publicKey")
    keys = fields.List(fields.Nested(PublicKeyData()))
