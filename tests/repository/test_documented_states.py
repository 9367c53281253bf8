"""The states of a call in docs/architecture.md, compared with the table of transitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from service.domain.call_transitions import (
    ANSWERED_PHASES,
    END_PHASES,
    TABLE,
    WAITING_PHASES,
    Phase,
    Trigger,
)
from service.domain.calls import EndReason

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()

GROUPS = {
    "connecting": [phase for phase in WAITING_PHASES if phase is not Phase.ASKED],
    "answered": list(ANSWERED_PHASES),
}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of each row of the table whose first heading this is."""
    table = re.search(rf"^\| {heading} \|.*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    for line in table[1].splitlines():
        yield [cell.strip() for cell in line.strip("|").split("|")]


def words(cell: str) -> list[str]:
    return [word.strip(" `") for word in cell.split(",")]


def phases(cell: str) -> Iterator[Phase]:
    for word in words(cell):
        yield from GROUPS.get(word) or [Phase(word)]


def test_the_table_of_events_is_the_one_in_the_code() -> None:
    shown = {
        (
            event.strip("`"),
            frozenset(words(by)),
            before,
            before if to == "same" else Phase(to[1:-1]),
        )
        for event, by, start, to in rows("event")
        for before in phases(start)
    }
    assert shown == {
        (event.value, frozenset(actor.value for actor in row.by), before, after)
        for event, row in TABLE.items()
        if isinstance(event, Trigger)
        for before, after in row.phase.items()
    }


def test_the_table_of_ends_is_the_one_in_the_code() -> None:
    shown = {
        (EndReason(reason), frozenset(words(by)), Phase(to.strip("`")))
        for reasons, by, to in rows("end reason")
        for reason in words(reasons)
    }
    assert shown == {
        (reason, frozenset(actor.value for actor in TABLE[reason].by), TABLE[reason].phase[waiting])
        for reason in EndReason
        for waiting in WAITING_PHASES
    }


def test_an_answered_call_that_ends_has_ended() -> None:
    ends = [TABLE[reason].phase for reason in EndReason]
    assert all(phase[answered] is Phase.ENDED for phase in ends for answered in ANSWERED_PHASES)


def test_a_call_that_has_ended_stays_as_it_is() -> None:
    assert not [row for row in TABLE.values() if row.phase.keys() & set(END_PHASES)]
