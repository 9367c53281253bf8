"""Schemas of requests that only the console sends."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, validates_schema

from service.web.schemas.fields import IDENTIFIER, Request, Text, at_most

KINDS = ({"token"}, {"api_key", "api_secret"}, {"link"})


class LiveFilter(Request):
    room_id = Text(data_key="roomId", validate=IDENTIFIER)


class SignInCredentials(Request):
    """Credentials for one of the ways to sign in."""

    token = Text(validate=at_most(4096))
    api_key = Text(data_key="apiKey", validate=at_most(512))
    api_secret = Text(data_key="apiSecret", validate=at_most(512))
    link = Text(validate=at_most(512))

    @validates_schema
    def require_one_kind(self, data: dict[str, Any], **kwargs: Any) -> None:
        if set(data) not in KINDS:
            raise ValidationError("must hold a token, or apiKey and apiSecret, or a link")
