"""Deletion of ended calls with all their rows, on both kinds of database."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from sqlalchemy import func, insert, select

from service.domain.agents import Dispatch, DispatchStatus
from service.domain.calls import LIVE, WEBSOCKET, Call, CallStatus, EndReason
from service.domain.loudness import Loudness
from service.errors import Conflict, Gone, NotFound
from service.storage.agents.dispatches import Dispatches
from service.storage.calls import media_references
from service.storage.calls.calls import Calls
from service.storage.calls.history import History
from service.storage.calls.loudness import LoudnessRecords
from service.storage.database import Database
from service.storage.tables import (
    calls,
    deliveries,
    dispatches,
    loudness,
    refs,
    sessions,
    stays,
    steps,
)
from service.storage.webhooks.outbox import Outbox
from tests.support.records import a_call

EVERYTHING = (calls, steps, refs, loudness, stays, sessions, dispatches, deliveries)


class EndedCalls:
    """Ended calls with every kind of row that a call may have."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.calls = Calls(database)
        self.history = History(database)

    def call(self, at: int = 2_000, session_id: str | None = None, **changes: object) -> Call:
        """Add a call that lasted from ``at`` for a second."""
        call = a_call(started_at=at, expires_at=at + 90_000, **changes)
        ref, leg = f"ref-{call.id}", f"leg-{call.id}"
        assert self.calls.admit(call, ref, 100)
        self.calls.claim(ref, call.provider, leg, at)
        assert self.calls.answered(call.id, leg, session_id or f"s-{call.id}", at)
        LoudnessRecords(self.database).add(call.id, Loudness(leg, at, b"1", b"2"))
        Dispatches(self.database).add(
            Dispatch(
                f"job-{call.id}", "ag_1", call.id, "room", "https://x", {}, DispatchStatus.LEFT,
                1, None, at,
            )
        )  # fmt: skip
        self._tell(call, at)
        return call

    def ended(self, at: int = 2_000, session_id: str | None = None, **changes: object) -> Call:
        call = self.call(at, session_id, **changes)
        reason = EndReason.CALLER_HUNG_UP
        assert self.calls.end(call.id, reason, at + 1_000)
        return call

    def rows(self) -> list[int]:
        """Return the number of rows in each table."""
        with self.database.read() as connection:
            counts = (select(func.count()).select_from(table) for table in EVERYTHING)
            return [connection.execute(each).scalar_one() for each in counts]

    def _tell(self, call: Call, at: int) -> None:
        with self.database.write() as connection:
            connection.execute(
                insert(deliveries).values(
                    id=f"dl-{call.id}",
                    receiver="wh_1",
                    event="call-started",
                    body=json.dumps({"data": {"callId": call.id, "from": call.caller}}),
                    created_at=at,
                    status="delivered",
                    attempts=1,
                )
            )


@pytest.fixture
def ended_calls(database: Database) -> EndedCalls:
    return EndedCalls(database)


def ids(found: Iterable[Call]) -> list[str]:
    return [call.id for call in found]


def test_a_deleted_call_leaves_nothing_behind(ended_calls: EndedCalls) -> None:
    call = ended_calls.ended()
    assert 0 not in ended_calls.rows()
    ended_calls.history.delete(call.id)
    assert ended_calls.rows() == [0] * len(EVERYTHING)
    with pytest.raises(NotFound, match="Call not found"):
        ended_calls.history.delete(call.id)


def test_other_calls_keep_their_rows(ended_calls: EndedCalls) -> None:
    kept, gone = ended_calls.ended(session_id="together"), ended_calls.ended(session_id="together")
    before = ended_calls.rows()
    ended_calls.history.delete(gone.id)
    # The session had the other call as well.
    halves = [count // 2 for count in before]
    halves[EVERYTHING.index(sessions)] = 1
    assert ended_calls.rows() == halves
    assert ids(ended_calls.calls.page().items) == [kept.id]
    assert Outbox(ended_calls.database).of_call(kept.id, 0)


@pytest.mark.parametrize("status", LIVE)
def test_a_live_call_is_not_deleted(ended_calls: EndedCalls, status: CallStatus) -> None:
    call = a_call(status=status)
    ended_calls.calls.add(call)
    with ended_calls.database.write() as connection:
        media_references.issue(connection, "ref", call.id, 91_000)
    with pytest.raises(Conflict, match=status):
        ended_calls.history.delete(call.id)
    assert ended_calls.calls.get(call.id) == call
    assert ended_calls.calls.has_reference("ref")


def test_custom_websockets_are_deleted_as_well(ended_calls: EndedCalls) -> None:
    ticket = ended_calls.ended(provider=WEBSOCKET, connector_id=None)
    ended_calls.history.delete(ticket.id)
    assert ended_calls.rows() == [0] * len(EVERYTHING)


def forget(ended_calls: EndedCalls, before: int) -> None:
    seen: int | None = 0
    while seen is not None:
        seen = ended_calls.history.forget_calls(before, seen)
    while ended_calls.history.forget_deliveries(before):
        pass


def test_calls_that_ended_before_a_time_are_forgotten(ended_calls: EndedCalls) -> None:
    old, lives, young = ended_calls.ended(1_000), ended_calls.call(1_001), ended_calls.ended(9_000)
    forget(ended_calls, 2_000)
    assert ids(ended_calls.calls.page().items) == [young.id, lives.id, old.id], "it ended at 2,000"
    forget(ended_calls, 2_001)
    assert ids(ended_calls.calls.page().items) == [young.id, lives.id]
    assert ended_calls.calls.get(lives.id).status is CallStatus.ANSWERED
    ended_calls.calls.end(lives.id, EndReason.CALLER_HUNG_UP, 3_000)
    forget(ended_calls, 20_000)
    assert ended_calls.rows() == [0] * len(EVERYTHING)


def test_one_transaction_deletes_a_bounded_number(ended_calls: EndedCalls) -> None:
    history = History(ended_calls.database, piece=2)
    for number in range(5):
        ended_calls.ended(1_000 + number)
    seen = history.forget_calls(10_000)
    assert ended_calls.rows()[0] == 3
    assert seen is not None
    history.forget_calls(10_000, seen)
    assert ended_calls.rows()[0] == 1


def test_a_pending_event_is_not_forgotten(ended_calls: EndedCalls) -> None:
    call = ended_calls.ended()
    with ended_calls.database.write() as connection:
        connection.execute(deliveries.update().values(status="pending", due_at=1))
    forget(ended_calls, 10_000)
    assert [each.id for each in Outbox(ended_calls.database).pending("wh_1", 9)] == [
        f"dl-{call.id}"
    ]


def test_references_are_kept_for_a_while_after_their_call(ended_calls: EndedCalls) -> None:
    over, lives = ended_calls.ended(2_000), ended_calls.call(2_000)
    with pytest.raises(Gone):
        ended_calls.calls.claim(f"ref-{over.id}", "twilio", "leg", 4_000)
    assert ended_calls.history.forget_refs(92_000) is False
    assert ended_calls.calls.has_reference(f"ref-{over.id}"), "it expires at 92,000"
    assert ended_calls.history.forget_refs(92_001) is False
    with pytest.raises(NotFound):
        ended_calls.calls.claim(f"ref-{over.id}", "twilio", "leg", 4_000)
    # The provider of a live call may dial its address again.
    assert ended_calls.calls.has_reference(f"ref-{lives.id}")
