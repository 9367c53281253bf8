"""How long a peer is waited for: every wait has an end."""

from __future__ import annotations

from service.media.peer import Peer

STALL_SECONDS = 5.0
"""How long a peer may take nothing of what is queued for it."""

SILENT_SECONDS = 60.0
"""How long a peer may send nothing at all, not even a pong."""

PING_SECONDS = 20.0
"""Below the 25 s at which proxies begin to think a connection idle."""

CLOSE_SECONDS = 2.0
"""How long a close handshake may take."""


def look_after(peer: Peer, at: float, *, ping: bool) -> None:
    """Give up a peer that was waited for too long, or else ping it where that is due."""
    if peer.closing is not None:
        if at > peer.closing + CLOSE_SECONDS:
            peer.abort(peer.detail)
    elif peer.blocked is not None and at > peer.blocked + STALL_SECONDS:
        peer.abort("the peer has stopped reading")
    elif at > peer.last_read + SILENT_SECONDS:
        peer.abort("the peer has gone silent")
    elif ping:
        peer.ping()
