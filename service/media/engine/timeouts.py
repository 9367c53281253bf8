"""The watchdogs: how long a peer may keep the engine waiting, and what happens to one that does."""

from __future__ import annotations

import logging

from service.domain.calls import EndReason
from service.media.rooms import starts
from service.media.rooms.leg import MUTE_SECONDS, Leg
from service.media.transport.connection import FLOOD, MediaSocket

logger = logging.getLogger(__name__)

START_SECONDS = 10.0
"""How long an adopted socket may take to send its start message."""

STALL_SECONDS = 5.0
"""How long a peer may take nothing of what is queued for it."""

SILENT_SECONDS = 60.0
"""How long a peer may send no whole frame, not even a pong."""

PING_SECONDS = 20.0
"""Below the 25 s at which proxies begin to think a connection idle."""

CLOSE_SECONDS = 2.0
"""How long a close handshake may take."""


def watch_peer(peer: MediaSocket, at: float, patience: float = SILENT_SECONDS) -> None:
    """Close a connection that has kept us waiting for too long, or floods us. Once a second."""
    peer.take_stock(at)
    if peer.closing is not None:
        if at > peer.closing + CLOSE_SECONDS:
            peer.abort(peer.detail)
    elif peer.blocked is not None and at > peer.blocked + STALL_SECONDS:
        peer.abort("the peer has stopped reading")
    elif at > peer.heard_at + patience:
        peer.abort("the peer has gone silent")
    elif peer.is_flooding:
        peer.hang_up(1008, FLOOD, EndReason.PROTOCOL_ERROR)


def watch(peer: MediaSocket, leg: Leg, at: float) -> bool:
    """The same for the connection of a leg, which has more to do than to be there.

    False where the connection is over.
    """
    is_phone = leg.buffer is not None and leg.wire.paces_itself
    watch_peer(peer, at, float("inf") if is_phone else SILENT_SECONDS)
    if peer.closing is not None or peer.ended:
        return False
    if leg.buffer is None and at > peer.opened + START_SECONDS:
        reason = starts.missing(leg)
        logger.warning("a leg does not start: %s", reason, extra=leg.spec.fields)
        peer.hang_up(1008, reason, None)
    elif is_phone and not _is_alive(peer, at):
        # The call itself may be well: its provider asks again, and gets another socket.
        seconds = round(MUTE_SECONDS)
        peer.hang_up(1000, f"Nothing came for {seconds} seconds, not even a pong.", None)
    elif is_phone and not peer.was_pinged:
        # At once, so that most lines show early whether they answer.
        peer.ping()
    return peer.closing is None


def _is_alive(peer: MediaSocket, at: float) -> bool:
    """Whether a phone's provider is there. It need not send audio.

    No provider documents whether it answers pings. A provider that has never done so is alive
    while it acknowledges what is sent.
    """
    return at <= peer.heard_at + MUTE_SECONDS or (
        not peer.answers_pings and peer.has_acknowledged(MUTE_SECONDS)
    )
