"""What a provider and a media socket are told for each reason why a call ends."""

from __future__ import annotations

from service.domain.call_transitions import TABLE, Actor
from service.domain.calls import WEBSOCKET, Call, Direction, EndReason

TOLD_BY_PROVIDER = frozenset(reason for reason in EndReason if Actor.PROVIDER in TABLE[reason].by)
"""Ends after which the provider need not be told to hang up."""

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


def goes_on(call: Call, reason: EndReason | None) -> bool:
    """Whether a call may come back whose leg is gone; a custom WebSocket does not."""
    # A stop message during a transfer means that the stream is over, and not the call.
    is_lost = reason is None or (reason is EndReason.CALLER_HUNG_UP and call.is_transferring)
    return is_lost and call.provider != WEBSOCKET


def farewell(reason: EndReason) -> str:
    """What a socket is told that is closed for this reason."""
    return FAREWELLS.get(reason, "The meeting has been closed")
