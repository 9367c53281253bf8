"""The watchdogs: how long a peer may keep the engine waiting, and what happens to one that does."""

from __future__ import annotations

import logging

from service.media.leg import Leg
from service.media.peer import FLOOD, Peer
from service.model import EndReason

logger = logging.getLogger(__name__)

START_SECONDS = 10.0
"""How long an adopted socket may take to send its start message."""

STALL_SECONDS = 5.0
"""How long a peer may take nothing of what is queued for it."""

SILENT_SECONDS = 60.0
"""How long a peer may send no whole frame, not even a pong."""

MUTE_SECONDS = 30.0
"""How long a phone may send no audio: its provider sends silence, too, as long as all is well."""

PING_SECONDS = 20.0
"""Below the 25 s at which proxies begin to think a connection idle."""

CLOSE_SECONDS = 2.0
"""How long a close handshake may take."""


def watch_peer(peer: Peer, at: float) -> None:
    """Close a connection that has kept us waiting for too long, or floods us. Once a second."""
    peer.take_stock(at)
    if peer.closing is not None:
        if at > peer.closing + CLOSE_SECONDS:
            peer.abort(peer.detail)
    elif peer.blocked is not None and at > peer.blocked + STALL_SECONDS:
        peer.abort("the peer has stopped reading")
    elif at > peer.heard_at + SILENT_SECONDS:
        peer.abort("the peer has gone silent")
    elif peer.is_flooding:
        peer.hang_up(1008, FLOOD, EndReason.PROTOCOL_ERROR)


def watch(peer: Peer, leg: Leg, at: float) -> None:
    """The same for the connection of a leg, which has more to do than to be there."""
    watch_peer(peer, at)
    if peer.closing is not None or peer.ended:
        return
    if leg.buffer is None and at > peer.opened + START_SECONDS:
        peer.hang_up(1008, _without_start(leg), None)
    elif _is_mute(peer, leg, at):
        # The call itself may be well: its provider asks again, and gets another socket.
        peer.hang_up(1000, f"No audio came for {MUTE_SECONDS:.0f} seconds.", None)


def _without_start(leg: Leg) -> str:
    """Why a leg has not started, in one sentence."""
    if not leg.misunderstood:
        return "No start message came."
    logger.warning(
        "no start message came that was understood: %s", leg.misunderstood, extra=leg.spec.fields
    )
    return f"No start message was understood: {leg.misunderstood}"


def _is_mute(peer: Peer, leg: Leg, at: float) -> bool:
    if leg.buffer is None or not leg.wire.paces_itself:
        return False
    return at > max(peer.opened, leg.buffer.heard_at(at)) + MUTE_SECONDS
