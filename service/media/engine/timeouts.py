"""Timeouts of media sockets, and the closing of sockets that exceed them."""

from __future__ import annotations

import logging

from service.domain.calls import EndReason
from service.media.rooms import starts
from service.media.rooms.leg import MUTE_SECONDS, Leg
from service.media.transport.connection import FLOOD, MediaSocket

logger = logging.getLogger(__name__)

START_SECONDS = 10.0
"""Seconds from the adoption of a socket to its start message."""

STALL_SECONDS = 5.0
"""Seconds for which a peer may read nothing of the queued data."""

SILENT_SECONDS = 60.0
"""Seconds for which a peer may send no whole frame, not even a pong."""

PING_SECONDS = 20.0
"""Seconds between pings: below the 25 s after which proxies consider a connection idle."""

CLOSE_SECONDS = 2.0
"""Seconds for a close handshake."""


def watch_socket(
    media_socket: MediaSocket, at: float, silent_seconds: float = SILENT_SECONDS
) -> None:
    """Close a connection that exceeds a timeout or floods; once a second."""
    media_socket.take_stock(at)
    if media_socket.closing is not None:
        if at > media_socket.closing + CLOSE_SECONDS:
            media_socket.abort(media_socket.detail)
    elif media_socket.blocked is not None and at > media_socket.blocked + STALL_SECONDS:
        media_socket.abort("the peer has stopped reading")
    elif at > media_socket.heard_at + silent_seconds:
        media_socket.abort("the peer has gone silent")
    elif media_socket.is_flooding:
        media_socket.hang_up(1008, FLOOD, EndReason.PROTOCOL_ERROR)


def watch(media_socket: MediaSocket, leg: Leg, at: float) -> bool:
    """Apply ``watch_socket`` and the timeouts of a leg. Returns whether the socket stays open."""
    is_phone = leg.buffer is not None and leg.wire.paces_itself
    watch_socket(media_socket, at, float("inf") if is_phone else SILENT_SECONDS)
    if media_socket.closing is not None or media_socket.ended:
        return False
    if leg.buffer is None and at > media_socket.opened + START_SECONDS:
        reason = starts.missing(leg)
        logger.warning("leg does not start: %s", reason, extra=leg.spec.fields)
        media_socket.hang_up(1008, reason, None)
    elif is_phone and not _is_alive(media_socket, at):
        # The call may be up: its provider asks again, and gets another socket.
        seconds = round(MUTE_SECONDS)
        media_socket.hang_up(1000, f"Nothing came for {seconds} seconds, not even a pong.", None)
    elif is_phone and not media_socket.was_pinged:
        # Early, to learn whether this provider answers pings.
        media_socket.ping()
    return media_socket.closing is None


def _is_alive(media_socket: MediaSocket, at: float) -> bool:
    """Whether a phone's provider is alive. It need not send audio.

    No provider documents whether it answers pings. A provider that has never done so is alive
    while it acknowledges what is sent.
    """
    return at <= media_socket.heard_at + MUTE_SECONDS or (
        not media_socket.answers_pings and media_socket.has_acknowledged(MUTE_SECONDS)
    )
