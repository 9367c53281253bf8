"""The end of a switch of rooms or a transfer that is under way when its call ends."""

from __future__ import annotations

from service.clock import Millis
from service.domain.call_state import CallState, state_of
from service.domain.calls import Call, CallStatus, LadderEvent, LadderStep


def last_seen(call: Call, at: Millis) -> Millis:
    """Return when a call that ends ``at`` was last in its room.

    A call that was dialled on left it then. While the provider dials, the call counts as present,
    because it may come back.
    """
    if call.transfer is None or call.transfer.status is not CallStatus.TRANSFERRING:
        return at
    dialled = (step.at for step in reversed(call.steps) if step.event is LadderEvent.TRANSFER)
    return next(dialled, at)


def steps(call: Call, after: CallState, at: Millis) -> list[LadderStep]:
    """Return the last steps of a switch of rooms, and of a transfer, that the end cuts off."""
    before, last = state_of(call), []
    if after.switch is not before.switch:
        last.append(after.step(LadderEvent.MOVED, at, "the call ended"))
    if after.transfer is not before.transfer:
        is_done = after.transfer is CallStatus.TRANSFERRED
        last.append(after.step(LadderEvent.TRANSFER, at, None if is_done else "the call ended"))
    return last
