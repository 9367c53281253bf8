"""Addresses that this service is to call, and which of them it does not call."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from service.api.schemas.fields import PLAIN, Text

MAX_LENGTH = 512


def callable_url(text: str) -> None:
    """Refuse what is no http or https URL, or should not be called."""
    if len(text) > MAX_LENGTH:
        raise ValidationError(f"must be at most {MAX_LENGTH} characters long")
    PLAIN(text)
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or " " in text:
        raise ValidationError("must be an http or https URL")
    if "@" in parts.netloc:
        raise ValidationError("must not hold a user or password, which could be read here")


class Address(Text):
    """An http or https URL of the user's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=callable_url, **kwargs)

    def openapi(self) -> dict[str, Any]:
        return {"format": "uri", "maxLength": MAX_LENGTH}
