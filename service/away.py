"""The rule for how long a live call may be away: up without a media socket.

Several things may have given the call time: the loss of its socket, a reference or a question that
its provider was answered, a hold, the start of this process. The latest of them counts, so a call
whose provider keeps asking lives, however long ago it lost its socket.
"""

from __future__ import annotations

from service.model import WEBSOCKET, Call, CallStatus
from service.times import Millis

REATTACH_SECONDS = 15
"""How long an answered call may be without a socket before it is over."""

ASK_SECONDS = 10
"""How long after a hold its provider may take to ask again."""


def seconds(hold_seconds: int) -> int:
    """How long a call may be away without a sign, where a hold takes ``hold_seconds``."""
    return max(REATTACH_SECONDS, hold_seconds + ASK_SECONDS)


def ends_at(
    call: Call, allowed: Millis, *, began_at: Millis, held_at: Millis | None = None
) -> Millis | None:
    """When a live call is over unless it gets a socket first; ``None`` where it waits for none.

    ``allowed`` is the time from a sign of life on. ``began_at`` is when this process began: nobody
    could ask before. ``held_at`` is when the provider was last told to hold. The call's own
    ``expires_at`` is what its last answer allowed: the expiry of the reference in it.
    """
    signs = [began_at + allowed]
    if held_at is not None:
        signs.append(held_at + allowed)
    if call.expires_at is not None:
        signs.append(call.expires_at)
    if call.status.is_waiting:
        return max(signs)
    if call.detached_at is None or _is_dialled_on(call):
        return None
    if call.provider == WEBSOCKET:
        # A custom WebSocket does not come back.
        return call.detached_at
    return max(*signs, call.detached_at + allowed)


def _is_dialled_on(call: Call) -> bool:
    return call.transfer is not None and call.transfer.status is CallStatus.TRANSFERRING
