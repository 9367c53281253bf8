"""Typed access to what ``app.py`` built, for handlers."""

from __future__ import annotations

from typing import cast

from flask import current_app, request

from service.calls.ending import Switchboard
from service.errors import Invalid
from service.media.engine.engine import Engine
from service.storage.webhooks.outbox import Outbox


def switchboard() -> Switchboard:
    return cast("Switchboard", current_app.extensions["patchbay"])


def engine() -> Engine:
    return cast("Engine", current_app.extensions["engine"])


def outbox() -> Outbox:
    return cast("Outbox", current_app.extensions["outbox"])


def public_base() -> str:
    """Where the world reaches this service, without a trailing slash.

    ``PUBLIC_URL`` where it is set, else what the request itself was sent to. Built from the host
    as it was sent: Flask's own ``root_url`` would print a Punycode name in Unicode, and providers
    want the ASCII form. Raises ``Invalid`` where there is neither.
    """
    configured = switchboard().settings.public_url
    if configured is not None:
        return configured
    if not request.host:  # what Werkzeug makes of a Host header that cannot be one
        raise Invalid("Host header must name the host this request was sent to.")
    return f"{request.scheme}://{request.host}{request.root_path}"
