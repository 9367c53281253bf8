"""No query for calls, sessions or events reads all of history.

Whether a query uses an index is read from the databases' own plans.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event

from service.domain.calls import CallStatus, Direction, EndReason, LadderEvent
from service.domain.recordings import RecordingKind
from service.domain.rooms import SessionStatus
from service.errors import NotFound
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, LegStep
from service.storage.calls.in_progress import CallsInProgress
from service.storage.database import Database
from service.storage.stores import Stores
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, ref_of
from tests.support.orphans import orphaned
from tests.support.records import a_call, a_connector

HISTORY = "calls|steps|refs|loudness|rooms|sessions|stays|deliveries|dispatches|recordings|spools"

FEW = (
    r"ix_calls_alive|ix_calls_node_id|ix_sessions_ongoing|ix_stays_present\w*|ix_deliveries_pending"
    r"|ix_recordings_file_due|ix_spools_unfinished"
)
"""Indexes of live or ongoing rows, which are few: a query may read one of them whole."""

IN_ORDER = r"ix_calls_newest|ix_sessions_newest"
"""Indexes that a list without filters reads until it has its page and its count."""


@contextmanager
def asked() -> Iterator[list[tuple[str, Any]]]:
    """Record the statements of this thread, and of threads that it starts, with their values."""
    found: list[tuple[str, Any]] = []
    others = set(threading.enumerate()) - {threading.current_thread()}

    def note(_connection: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        if threading.current_thread() in others:
            return
        if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT.*SELECT|WITH)\b", text, re.DOTALL):
            found.append((text, values[0] if isinstance(values, list) else values))

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def scans(database: Database, statements: Sequence[tuple[str, Any]], along: str = FEW) -> list[str]:
    """Return statements that read all rows, unless ``along`` an index, with the step that does."""
    through = re.compile(
        rf"^SCAN ({HISTORY})(_\d+)?\b(?!.* USING (COVERING )?INDEX ({along})\b)"
        rf"|Seq Scan on ({HISTORY})\b"
    )
    found = []
    for text, values in dict.fromkeys((text, _frozen(values)) for text, values in statements):
        with database.write() as connection:
            kind = connection.dialect.name
            if kind == "sqlite":
                question = f"EXPLAIN QUERY PLAN {text}"
            else:
                # Small tables are read whole unless that is made to look expensive.
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                question = f"EXPLAIN {text}"
            plan = connection.exec_driver_sql(question, _thawed(values)).all()
        found += [f"{row[-1]}: {text}" for row in plan if through.search(row[-1])]
    return found


def _frozen(values: Any) -> Any:
    return tuple(values.items()) if isinstance(values, Mapping) else tuple(values)


def _thawed(values: Any) -> Any:
    return dict(values) if values and isinstance(values[0], tuple) else values


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock, alone_seconds=60) as harness:
        yield harness


def a_life(harness: Harness) -> None:
    """Take a call through its life: arrival, move, lost socket, return and end."""
    connector, at = harness.connect(a_connector()), harness.clock.now()
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", at))
    harness.recorder.record(LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_IN, at))
    call = harness.calls.get(spec.call_id)
    harness.stores.steering.move(call.id, "other", call.participant, at)
    moved = ("other", call.participant.id, "s2")
    harness.recorder.record(LegMoved(spec.call_id, spec.leg_id, *moved, at))
    harness.recorder.record(LegClosed(spec.call_id, spec.leg_id, None, "lost", {}, at))
    again = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(LegStarted(again.call_id, again.leg_id, "s2", at))
    harness.recorder.record(
        LegClosed(again.call_id, again.leg_id, EndReason.CALLER_HUNG_UP, "bye", {}, at)
    )
    harness.stores.history.delete(call.id)


def sweeps(harness: Harness) -> None:
    harness.deadlines.sweep()
    harness.session_deadlines.sweep()
    orphaned(harness.calls, 1)
    harness.calls.detached_legs(None)
    harness.calls.steered(["c1"], "nd_1")
    harness.calls.in_room("room")
    harness.stores.sessions.ongoing("room")
    harness.stores.dispatches.forsaken()
    harness.stores.dispatches.next_due()
    harness.stores.recordings.unattended()
    harness.stores.recordings.expired(1)
    harness.stores.recordings.running("room", RecordingKind.TRACK, "ann")
    harness.stores.file_jobs.take(1)
    harness.stores.file_jobs.next_due()
    with suppress(NotFound):
        harness.stores.recordings.stop("r1", 1)
    harness.stores.recordings.finished("sp_1", 1, 2, 1)
    harness.stores.recordings.page(RecordingKind.TRACK, room_id="room", participant_id="ann")
    harness.stores.recordings.page(RecordingKind.MERGE, session_id="s1")
    harness.stores.recordings.page(RecordingKind.ROOM)


def watching(harness: Harness, database: Database) -> None:
    outbox = Outbox(database)
    harness.calls.live()
    outbox.count()
    ReceiverLeases(database, "nd_1").waiting()
    outbox.recent("wh_1")
    outbox.prune("wh_1")
    outbox.of_call("c1", 1, 2)
    in_progress = CallsInProgress(database)
    in_progress.newest()
    in_progress.newest("room")
    in_progress.by_room()


def forgetting(harness: Harness) -> None:
    history = harness.stores.history
    history.forget_calls(1)
    history.forget_deliveries(1)
    history.forget_refs(1)


CALL_FILTERS: list[dict[str, Any]] = [
    {},
    {"connector_id": "cn_1"},
    {"room_id": "r"},
    {"rule_id": "rr_1"},
    {"session_id": "s"},
    {"call_id": "c"},
    {"direction": Direction.OUTBOUND},
    {"status": CallStatus.FAILED},
    {"status": CallStatus.ANSWERED},
    {"status": CallStatus.SWITCH_ROOM_COMPLETED},
    {"status": CallStatus.SWITCH_ROOM_COMPLETED, "room_id": "r"},
    {"since": 1, "until": 2},
    {"connector_id": "cn_1", "direction": Direction.INBOUND, "status": CallStatus.ENDED},
    {"connector_id": "cn_1", "room_id": "r", "until": 2},
    {"search": "+1415"},
    {"search": "0100", "sees_hidden": False, "room_id": "r"},
    {"search": "support", "status": CallStatus.TRANSFERRED},
    {"status": CallStatus.TRANSFERRED, "direction": Direction.OUTBOUND},
]

SESSION_FILTERS: list[dict[str, Any]] = [
    {},
    {"room_id": "r"},
    {"custom_room_id": "r"},
    {"query": "r"},
    {"since": 1, "until": 2, "room_id": "r"},
    {"until": 2},
    {"status": SessionStatus.ONGOING},
    {"status": SessionStatus.ENDED, "query": "r"},
]


def lists(stores: Stores) -> None:
    for wanted in CALL_FILTERS:
        stores.calls.page(**wanted)
    for wanted in SESSION_FILTERS:
        stores.sessions.page(**wanted)


@pytest.mark.parametrize("work", [a_life, sweeps, forgetting])
def test_the_cost_of_a_call_does_not_grow_with_history(
    harness: Harness, database: Database, work: Callable[[Harness], None]
) -> None:
    with asked() as statements:
        work(harness)
    assert len(statements) >= 3
    assert scans(database, statements) == []


def test_the_cost_of_watching_does_not_grow_with_history(
    harness: Harness, database: Database
) -> None:
    with asked() as statements:
        watching(harness, database)
    assert scans(database, statements) == []


PAIRS = [
    {"room_id": "r", "connector_id": "cn_1"},
    {"room_id": "r", "rule_id": "rr_1"},
    {"room_id": "r", "session_id": "s"},
    {"connector_id": "cn_1", "direction": Direction.OUTBOUND},
    {"rule_id": "rr_1", "status": CallStatus.REJECTED},
    {"status": CallStatus.SWITCH_ROOM_COMPLETED},
    {"direction": Direction.INBOUND, "status": CallStatus.SWITCH_ROOM_COMPLETED},
]


@pytest.mark.parametrize("wanted", PAIRS, ids=lambda wanted: "-".join(wanted))
@pytest.mark.parametrize("number", [1, 2])
def test_several_filters_are_answered_by_one_covering_index(
    sqlite_database: Database, clock: FakeClock, wanted: dict[str, Any], number: int
) -> None:
    with a_harness(sqlite_database, clock) as harness, asked() as statements:
        harness.calls.add(a_call())
        harness.calls.page(**wanted, number=number)
    walks = [each for each in statements if "ORDER BY calls.started_at" in each[0]]
    assert walks
    for text, values in walks:
        with sqlite_database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
        used = [row[-1] for row in plan if re.match(r"(SCAN|SEARCH) calls\b", row[-1])]
        assert used
        for step in used:
            assert re.search(r"USING COVERING INDEX ix_calls_\w+_newest \((\w+|<expr>)=\?", step)


@pytest.mark.parametrize("few", ["connector_id", "room_id"])
def test_the_filter_with_the_fewest_calls_leads(
    sqlite_database: Database, clock: FakeClock, few: str
) -> None:
    wanted = {"connector_id": "cn_9", "room_id": "r"}
    many = {name: value for name, value in wanted.items() if name != few}
    with a_harness(sqlite_database, clock) as harness, asked() as statements:
        for _ in range(3):
            harness.calls.add(a_call(**many))
        harness.calls.add(a_call(**wanted))
        harness.calls.page(**wanted)
    walks = [each for each in statements if "ORDER BY calls.started_at" in each[0]]
    *_, (text, values) = walks
    with sqlite_database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
    assert any(f"ix_calls_{few}_newest" in row[-1] for row in plan)


def test_lists_are_read_along_their_indexes(harness: Harness, database: Database) -> None:
    with asked() as statements:
        lists(harness.stores)
    assert len(statements) > len(CALL_FILTERS) + len(SESSION_FILTERS)
    assert scans(database, statements, f"{FEW}|{IN_ORDER}") == []
