"""The state of one call, and the transitions from it by the table in ``call_transitions``.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.clock import Millis
from service.domain.call_transitions import TABLE, Event, Part, Phase
from service.domain.calls import Call, CallStatus, LadderEvent, LadderStep
from service.errors import Conflict


@dataclass(frozen=True, slots=True)
class CallState:
    """``switch`` and ``transfer`` are the latest statuses of either on the ladder, if any."""

    phase: Phase
    switch: Part = None
    transfer: Part = None

    @property
    def status(self) -> CallStatus:
        return self.phase.status

    def step(self, event: LadderEvent, at: Millis, detail: str | None = None) -> LadderStep:
        """Return a step of the ladder, with the status of the part that the event is about."""
        word = {LadderEvent.MOVED: self.switch, LadderEvent.TRANSFER: self.transfer}.get(event)
        return LadderStep(event, at, word or self.status, detail)

    def after(self, event: Event) -> CallState | None:
        """Return the state that follows; ``None`` where the event is not allowed."""
        row = TABLE[event]
        if (
            self.phase not in row.phase
            or (row.switch is not None and self.switch not in row.switch)
            or (row.transfer is not None and self.transfer not in row.transfer)
        ):
            return None
        return CallState(
            row.phase[self.phase],
            self.switch if row.switch is None else row.switch[self.switch],
            self.transfer if row.transfer is None else row.transfer[self.transfer],
        )


def state_of(call: Call) -> CallState:
    """Return the state of a stored call."""
    if call.status is CallStatus.ANSWERED:
        phase = Phase.ATTACHED if call.is_attached else Phase.DETACHED
    else:
        phase = Phase.ASKED if call.awaits_pin else Phase(call.status.value)
    transfer = None if call.transfer is None else call.transfer.status
    return CallState(phase, call.switch, transfer)


def require_new(call: Call, *events: Event) -> None:
    """Raise ``ValueError`` unless one of these events creates a call in the state of ``call``."""
    if state_of(call) not in [CallState(Phase.NEW).after(event) for event in events]:
        raise ValueError(f"a call does not begin {call.status}")


def require(call: Call, event: Event) -> CallState:
    """Return the state after an event of an answered call. Raises ``Conflict`` where it is not
    allowed, with the reason in words for the client.
    """
    after = state_of(call).after(event)
    if after is not None:
        return after
    if not call.status.is_live:
        raise Conflict(f"The call is over: it is {call.status}.")
    if call.status.is_waiting:
        raise Conflict(f"The call has not been answered yet: it is {call.status}.")
    raise Conflict("The call is being transferred.")
