"""Log line and ladder detail for start messages that are refused or missing."""

from __future__ import annotations

import logging

from service.errors import RefusedStart
from service.media.rooms.leg import Leg
from service.telemetry.logs import excerpt

logger = logging.getLogger(__name__)


def warn(leg: Leg, error: RefusedStart, message: bytes) -> None:
    """Log the reason for a refused start, with the beginning of the message."""
    logger.warning(
        "a start message is refused: %s The message begins: %s",
        error.message,
        excerpt(message),
        extra=leg.spec.fields,
    )


def missing(leg: Leg) -> str:
    """Return the reason why a leg has not started, in one sentence."""
    if not leg.misunderstood:
        return "No start message came."
    return f"No start message was understood: {leg.misunderstood}"
