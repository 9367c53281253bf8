"""The simulated providers by name and by webhook URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from service.errors import Invalid
from service.simulator.providers.dialect import Dialect
from service.simulator.providers.plivo import PlivoDialect
from service.simulator.providers.telnyx import TelnyxDialect
from service.simulator.providers.twilio import TwilioDialect

DIALECTS: dict[str, type[Dialect]] = {
    kind.name: kind for kind in (TwilioDialect, PlivoDialect, TelnyxDialect)
}


def of(webhook_url: str) -> type[Dialect]:
    """Return the dialect of the provider in a webhook URL's path. Raises ``Invalid``."""
    try:
        parts = urlsplit(webhook_url)
        port = parts.port
    except ValueError:
        raise Invalid("The webhook URL is not a URL.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Invalid("The webhook URL must begin with http:// or https://.")
    for part in parts.path.split("/"):
        if part in DIALECTS:
            return DIALECTS[part]
    raise Invalid(f"The webhook URL must name its provider in the path: {', '.join(DIALECTS)}.")
