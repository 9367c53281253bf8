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


def watch_peer(peer: MediaSocket, at: float, silent_seconds: float = SILENT_SECONDS) -> None:
    """Close a connection that exceeds a timeout or floods; once a second."""
    peer.take_stock(at)
    if peer.closing is not None:
        if at > peer.closing + CLOSE_SECONDS:
            peer.abort(peer.detail)
    elif peer.blocked is not None and at > peer.blocked + STALL_SECONDS:
        peer.abort("the peer has stopped reading")
    elif at > peer.heard_at + silent_seconds:
        peer.abort("the peer has gone silent")
    elif peer.is_flooding:
        peer.hang_up(1008, FLOOD, EndReason.PROTOCOL_ERROR)


def watch(peer: MediaSocket, leg: Leg, at: float) -> bool:
    """Apply ``watch_peer`` and the timeouts of a leg. Returns whether the connection stays open."""
    is_phone = leg.buffer is not None and leg.wire.paces_itself
    watch_peer(peer, at, float("inf") if is_phone else SILENT_SECONDS)
    if peer.closing is not None or peer.ended:
        return False
    if leg.buffer is None and at > peer.opened + START_SECONDS:
        reason = starts.missing(leg)
        logger.warning("leg does not start: %s", reason, extra=leg.spec.fields)
        peer.hang_up(1008, reason, None)
    elif is_phone and not _is_alive(peer, at):
        # The call may be up: its provider asks again, and gets another socket.
        seconds = round(MUTE_SECONDS)
        peer.hang_up(1000, f"Nothing came for {seconds} seconds, not even a pong.", None)
    elif is_phone and not peer.was_pinged:
        # Early, to learn whether this provider answers pings.
        peer.ping()
    return peer.closing is None


def _is_alive(peer: MediaSocket, at: float) -> bool:
    """Whether a phone's provider is alive. It need not send audio.

    No provider documents whether it answers pings. A provider that has never done so is alive
    while it acknowledges what is sent.
    """
    return at <= peer.heard_at + MUTE_SECONDS or (
        not peer.answers_pings and peer.has_acknowledged(MUTE_SECONDS)
    )
