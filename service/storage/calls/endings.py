"""What was still going on when a call ended: it is moving, or being transferred."""

from __future__ import annotations

from dataclasses import replace

from service.clock import Millis
from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, LadderStep, Transfer


def last_seen(call: Call, at: Millis) -> Millis:
    """When a call that ends ``at`` was last in its room: one that was dialled on never came back.

    While the provider dials, the call may come back, and counts as present.
    """
    if call.transfer is None or call.transfer.status is not CallStatus.TRANSFERRING:
        return at
    dialled = (step.at for step in reversed(call.steps) if step.event is LadderEvent.TRANSFER)
    return next(dialled, at)


def transfer(call: Call, reason: EndReason) -> Transfer | None:
    """What becomes of a transfer when its call ends."""
    if call.transfer is None or not call.is_transferring:
        return call.transfer
    done = reason is EndReason.TRANSFERRED
    status = CallStatus.TRANSFERRED if done else CallStatus.TRANSFER_FAILED
    return replace(call.transfer, status=status)


def steps(call: Call, reason: EndReason, at: Millis) -> list[LadderStep]:
    """The last rungs of what was still going on when the call ended."""
    last = []
    if call.is_moving:
        last.append(
            LadderStep(LadderEvent.MOVED, at, CallStatus.SWITCH_ROOM_FAILED, "the call ended")
        )
    ended = transfer(call, reason)
    if ended is not None and ended != call.transfer:
        detail = None if ended.status is CallStatus.TRANSFERRED else "the call ended"
        last.append(LadderStep(LadderEvent.TRANSFER, at, ended.status, detail))
    return last
