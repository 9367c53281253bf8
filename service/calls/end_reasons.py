"""What follows from why a call ends: what has become of it, and who must be told what."""

from __future__ import annotations

from service.domain.calls import WEBSOCKET, Call, CallStatus, Direction, EndReason

UNANSWERED = {
    EndReason.RING_TIMEOUT: CallStatus.MISSED,
    EndReason.NO_ANSWER: CallStatus.NOT_ANSWERED,
    EndReason.CALLEE_BUSY: CallStatus.REJECTED,
    EndReason.PROVIDER_FAILED: CallStatus.FAILED,
    EndReason.PROTOCOL_ERROR: CallStatus.FAILED,
}
"""What has become of a call that ends before anybody was in a room through it."""

TOLD_BY_PROVIDER = frozenset(
    {
        EndReason.CALLER_HUNG_UP,
        EndReason.NO_ANSWER,
        EndReason.CALLEE_BUSY,
        EndReason.CANCELED,
        EndReason.PROVIDER_FAILED,
        EndReason.TRANSFERRED,
    }
)
"""Ends after which the provider need not be told to hang up."""

BY_US = frozenset(
    {EndReason.ENDED_BY_API, EndReason.ROOM_DEACTIVATED, EndReason.SESSION_ENDED, EndReason.REMOVED}
)
"""Ends that are decided here: a call that had not connected yet was not abandoned either."""

FAREWELLS = {
    EndReason.SESSION_ENDED: "Meeting Ended.",
    EndReason.SESSION_TIMEOUT: "Meeting Ended.",
    EndReason.REMOVED: "Participant removed from the meeting",
}
"""What a custom WebSocket is told when it is put out, in the words of VideoSDK's room SDKs."""


def unconnected(call: Call) -> EndReason:
    """Return the end reason of a call whose time without a socket is up."""
    if not call.status.is_waiting:
        return EndReason.CONNECTION_LOST
    if call.awaits_pin:
        return EndReason.NO_PIN
    if call.direction is Direction.OUTBOUND and not call.attempts:
        return EndReason.RING_TIMEOUT
    return EndReason.NO_SOCKET


def status(call: Call, reason: EndReason) -> CallStatus:
    """What has become of a call that is up and ends now."""
    if call.status.is_waiting and reason not in BY_US:
        return UNANSWERED.get(reason, CallStatus.ABANDONED)
    return CallStatus.ENDED


def goes_on(call: Call, reason: EndReason | None) -> bool:
    """Whether a call may come back whose leg is gone; a custom WebSocket does not."""
    # A stop message during a transfer means that the stream is over, and not the call.
    is_lost = reason is None or (reason is EndReason.CALLER_HUNG_UP and call.is_transferring)
    return is_lost and call.provider != WEBSOCKET


def farewell(reason: EndReason) -> str:
    """What a socket is told that is closed for this reason."""
    return FAREWELLS.get(reason, "The meeting has been closed")
