"""Fields for URLs that this service calls, and their validation."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from service.http_client.addresses import is_public
from service.web.schemas.fields import PLAIN, Text
from service.web.services import services

MAX_LENGTH = 512


def callable_url(text: str) -> None:
    """Refuse text that is no http or https URL, and URLs with a password."""
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


class CallableUrl(Text):
    """An http or https URL of the user, to which webhooks are sent."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, *args, **kwargs)
        callable_url(url)
        if not services().settings.webhook_allow_private and _is_private(url):
            raise ValidationError(
                "must not lead to this machine or its network, unless WEBHOOK_ALLOW_PRIVATE is on"
            )
        return url

    def openapi(self) -> dict[str, Any]:
        return {"format": "uri", "maxLength": MAX_LENGTH}


def _is_private(url: str) -> bool:
    """Whether the URL itself has a private host. Names are resolved when they are called."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return not is_public(host)
