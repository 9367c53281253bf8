"""Deadline of a live call without a media socket.

The time runs from the latest of these: the loss of the socket, the last answer to the provider (a
reference or a question), a hold, the start of this process. So a call stays up as
long as its provider keeps asking.
"""

from __future__ import annotations

from service.clock import Millis
from service.domain.calls import WEBSOCKET, Call, CallStatus

REATTACH_SECONDS = 15
"""Seconds that an answered call may be without a socket before it ends."""

ASK_SECONDS = 10
"""Seconds after a hold within which its provider must ask again."""


def seconds(hold_seconds: int) -> int:
    """Return the seconds that a call may be without a socket, by the length of a hold."""
    return max(REATTACH_SECONDS, hold_seconds + ASK_SECONDS)


def ends_at(
    call: Call, allowed: Millis, *, began_at: Millis, held_at: Millis | None = None
) -> Millis | None:
    """Return when a live call ends unless it gets a socket; ``None`` if it needs none.

    ``allowed`` is the time after the latest event above. ``began_at`` is when this process began to
    answer, and ``held_at`` when the provider was last told to hold. The call's ``expires_at`` is
    the expiry of the reference in its last answer.
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
