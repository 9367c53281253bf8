"""The table of a call's transitions equals the tables in docs/architecture.md.

Every event is tried in every state.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

import pytest

from service.domain.call_state import CallState, state_of
from service.domain.call_transitions import (
    ANSWERED_PHASES,
    END_PHASES,
    LIVE_PHASES,
    TABLE,
    WAITING_PHASES,
    Actor,
    Event,
    Part,
    Phase,
    Trigger,
)
from service.domain.calls import (
    ENDS,
    LIVE,
    WAITING,
    CallStatus,
    EndReason,
    LadderEvent,
    LadderStep,
    Transfer,
)
from tests.support.paths import ROOT
from tests.support.records import a_call

PAGE = ROOT / "docs" / "architecture.md"

CONNECTING = (Phase.INITIATED, Phase.RINGING, Phase.INCOMING, Phase.VERIFIED)
GROUPS: Mapping[str, tuple[Phase, ...]] = {
    "connecting": CONNECTING,
    "waiting": (*CONNECTING, Phase.ASKED),
    "answered": (Phase.ATTACHED, Phase.DETACHED),
}
SWITCHES: tuple[Part, ...] = (
    None,
    CallStatus.SWITCH_ROOM_INITIATED,
    CallStatus.SWITCH_ROOM_COMPLETED,
    CallStatus.SWITCH_ROOM_FAILED,
)
TRANSFERS: tuple[Part, ...] = (
    None,
    CallStatus.TRANSFER_INITIATED,
    CallStatus.TRANSFERRING,
    CallStatus.TRANSFERRED,
    CallStatus.TRANSFER_FAILED,
)
STATES = [CallState(*each) for each in itertools.product(Phase, SWITCHES, TRANSFERS)]
EVENTS: tuple[Event, ...] = (*Trigger, *EndReason)
STEPS = (LadderEvent.MOVED, LadderEvent.TRANSFER, LadderEvent.END)
BY_WORD: Mapping[str, Event] = {str(event.value): event for event in EVENTS}


def rows(heading: str) -> Iterator[list[str]]:
    """Yield the rows of the page's table with this heading, without markup."""
    _, _, after = PAGE.read_text().partition(f"\n{heading}\n")
    for line in after.splitlines()[1:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.sub(r"[`*]", "", line).strip("|").split("|")]


def words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(",")]


def events(cell: str) -> list[Event]:
    return list(EndReason) if cell == "any end" else [BY_WORD[word] for word in words(cell)]


def part(word: str) -> Part:
    return None if word == "none" else CallStatus(word)


class Page:
    """The tables of the page, by event."""

    def __init__(self) -> None:
        self.by: dict[Event, frozenset[Actor]] = {}
        self.phase: dict[Event, dict[Phase, Phase]] = {event: {} for event in EVENTS}
        self.switch: dict[Event, dict[Part, Part]] = {}
        self.transfer: dict[Event, dict[Part, Part]] = {}
        for reason, by, becomes in rows("| end reason | caused by | a waiting call becomes |"):
            for event in events(reason):
                self._cause(event, by)
                self.phase[event] |= dict.fromkeys(GROUPS["waiting"], Phase(becomes))
                self.phase[event] |= dict.fromkeys(GROUPS["answered"], Phase.ENDED)
        for name, by, before, after in rows("| event | caused by | from | to |"):
            for event in events(name):
                self._cause(event, by)
                for word in words(before):
                    for phase in GROUPS.get(word) or (Phase(word),):
                        self.phase[event][phase] = phase if after == "same" else Phase(after)
        for name, which, before, after in rows("| event | part | from | to |"):
            table = {"switch": self.switch, "transfer": self.transfer}[which]
            for event in events(name):
                for was in map(part, words(before)):
                    table.setdefault(event, {})[was] = was if after == "same" else part(after)

    def _cause(self, event: Event, by: str) -> None:
        actors = frozenset(Actor(word) for word in words(by))
        assert self.by.setdefault(event, actors) == actors

    def after(self, state: CallState, event: Event) -> CallState | None:
        switch, transfer = self.switch.get(event), self.transfer.get(event)
        if state.phase not in self.phase[event]:
            return None
        if switch is not None and state.switch not in switch:
            return None
        if transfer is not None and state.transfer not in transfer:
            return None
        return CallState(
            self.phase[event][state.phase],
            state.switch if switch is None else switch[state.switch],
            state.transfer if transfer is None else transfer[state.transfer],
        )


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.value))
def test_events_have_the_documented_result_in_every_state(page: Page, event: Event) -> None:
    differing = {
        state: (state.after(event), page.after(state, event))
        for state in STATES
        if state.after(event) != page.after(state, event)
    }
    assert differing == {}


def test_events_have_the_documented_causes(page: Page) -> None:
    assert {event: row.by for event, row in TABLE.items()} == page.by


def test_every_event_has_a_row_and_a_unique_word() -> None:
    assert set(TABLE) == set(EVENTS)
    assert len(BY_WORD) == len(EVENTS)


def test_a_live_call_can_always_end_and_an_ended_call_cannot_change() -> None:
    for state in STATES:
        allowed = {event for event in EVENTS if state.after(event)}
        if state.phase in LIVE_PHASES:
            assert allowed >= set(EndReason)
        if state.phase in END_PHASES:
            assert allowed == set()
    results = {after for reason in EndReason for after in TABLE[reason].phase.values()}
    assert results == set(END_PHASES)


def test_each_phase_but_a_new_one_is_in_the_group_of_its_status() -> None:
    assert set(Phase) == {Phase.NEW, *LIVE_PHASES, *END_PHASES}
    assert set(LIVE_PHASES) == {*WAITING_PHASES, *ANSWERED_PHASES}
    assert {phase.status for phase in WAITING_PHASES} == set(WAITING)
    assert {phase.status for phase in LIVE_PHASES} == set(LIVE)
    assert {phase.status for phase in END_PHASES} == set(ENDS)
    with pytest.raises(ValueError, match="new"):
        CallState(Phase.NEW).step(LadderEvent.END, 1)


def test_the_state_of_a_call_is_read_from_its_fields() -> None:
    moved = LadderStep(LadderEvent.MOVED, 2, CallStatus.SWITCH_ROOM_COMPLETED)
    transfer = Transfer("+14155550123", CallStatus.TRANSFERRING)
    answered = {"status": CallStatus.ANSWERED, "steps": (moved,), "transfer": transfer}
    assert state_of(a_call()) == CallState(Phase.INCOMING)
    assert state_of(a_call(pin_tries=1)) == CallState(Phase.ASKED)
    assert state_of(a_call(status=CallStatus.VERIFIED, pin_tries=1)) == CallState(Phase.VERIFIED)
    assert state_of(a_call(**answered)) == CallState(Phase.ATTACHED, moved.status, transfer.status)
    assert state_of(a_call(status=CallStatus.ANSWERED, detached_at=5)) == CallState(Phase.DETACHED)


def test_a_step_is_named_after_its_subject() -> None:
    state = CallState(Phase.DETACHED, CallStatus.SWITCH_ROOM_INITIATED, CallStatus.TRANSFER_FAILED)
    statuses = [state.step(event, 1).status for event in STEPS]
    assert statuses == [state.switch, state.transfer, CallStatus.ANSWERED]
