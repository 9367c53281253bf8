"""Recordings, their spools and the jobs of their files, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain.ids import new_recording_id, new_spool_id
from service.domain.recordings import (
    Recording,
    RecordingFile,
    RecordingKind,
    RecordingStatus,
    Spool,
)
from service.errors import Conflict, NotFound
from service.storage.change_signals import ChangeSignal
from service.storage.cluster.nodes import Nodes
from service.storage.database import Database
from service.storage.recordings.file_jobs import FileJobs
from service.storage.recordings.recordings import NOTHING_HEARD, Recordings
from service.storage.tables import recordings as table
from tests.support.races import at_once

ROOM = "abcd-efgh-ijkl"
FILE = RecordingFile("s1/ann/r1.ogg", "ogg", 12_345, 5_000)
FIRST = 89_277_000_000


def a_recording(**changes: Any) -> Recording:
    fields: dict[str, Any] = {
        "id": new_recording_id(),
        "kind": RecordingKind.TRACK,
        "room_id": ROOM,
        "participant_id": "ann",
        "session_id": "s1",
        "file_format": "ogg",
        "status": RecordingStatus.RECORDING,
        "started_at": 1_000,
        "options": {"webhookUrl": "https://example.com/recorded"},
    }
    return Recording(**{**fields, **changes})


def a_spool(recording: Recording, node_id: str = "nd_1") -> Spool:
    return Spool(new_spool_id(), recording.id, "c1", "ann", node_id, created_at=1_000)


class Store:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.recordings = Recordings(database)
        self.jobs = FileJobs(database, "nd_1")
        self.signal = database.signals[ChangeSignal.RECORDINGS]

    def begin(self, **changes: Any) -> tuple[Recording, Spool]:
        recording = a_recording(**changes)
        spool = a_spool(recording)
        self.recordings.begin(recording, spool)
        return recording, spool

    def waiting(self, at: int = 5_000, **changes: Any) -> Recording:
        """Return a recording whose file is to be made from ``at`` on."""
        recording, spool = self.begin(**changes)
        self.recordings.finished(spool.id, FIRST, FIRST + 50, at)
        waiting = self.recordings.stop(recording.id, at)
        assert waiting.status is RecordingStatus.WAITING
        return waiting

    def ready(self, **changes: Any) -> Recording:
        self.waiting(**changes)
        taken = self.jobs.take(9_000)
        assert taken is not None
        ready = self.jobs.made(taken, FILE)
        assert ready is not None
        return ready


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def test_a_recording_is_stored_with_its_spools(store: Store) -> None:
    recording, spool = store.begin()
    assert store.recordings.get(recording.id) == recording
    assert store.recordings.spools(recording.id) == (spool,)
    assert store.recordings.running(ROOM, RecordingKind.TRACK, "ann") == recording
    assert store.recordings.running(ROOM, RecordingKind.PARTICIPANT, "ann") is None
    assert store.recordings.running(ROOM, RecordingKind.TRACK, "bob") is None


def test_one_recording_of_a_kind_runs_at_a_time(store: Store) -> None:
    recording, _ = store.begin()
    with pytest.raises(Conflict):
        store.begin()
    store.begin(participant_id="bob")
    store.begin(kind=RecordingKind.PARTICIPANT)
    store.begin(kind=RecordingKind.ROOM, participant_id="")
    with pytest.raises(Conflict):
        store.begin(kind=RecordingKind.ROOM, participant_id="")
    store.recordings.stop(recording.id, 2_000)
    store.begin()


def test_of_two_requests_at_once_one_begins(store: Store) -> None:
    results = at_once(2, lambda _: store.begin())
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert store.recordings.page(RecordingKind.TRACK).total == 1


def test_the_file_is_due_once_the_last_spool_is_finished(store: Store) -> None:
    recording, first = store.begin()
    second = a_spool(recording)
    assert store.recordings.add_spool(second)
    running = store.recordings.finished(first.id, FIRST, FIRST + 9, 2_000)
    assert running is not None
    assert running.status is RecordingStatus.RECORDING
    stopping = store.recordings.stop(recording.id, 3_000)
    assert (stopping.status, stopping.ended_at) == (RecordingStatus.STOPPING, 3_000)
    assert not store.recordings.add_spool(a_spool(recording))
    store.signal.clear()
    waiting = store.recordings.finished(second.id, FIRST + 20, FIRST + 30, 4_000)
    assert waiting is not None
    assert (waiting.status, waiting.due_at) == (RecordingStatus.WAITING, 4_000)
    assert store.signal.is_set()
    assert store.recordings.stop(recording.id, 9_000) == waiting
    assert store.recordings.spools(recording.id) == (
        replace(first, first=FIRST, end=FIRST + 9, finished_at=2_000),
        replace(second, first=FIRST + 20, end=FIRST + 30, finished_at=4_000),
    )


def test_a_spool_is_finished_once(store: Store) -> None:
    recording, spool = store.begin()
    store.recordings.finished(spool.id, FIRST, FIRST + 9, 2_000)
    assert store.recordings.finished(spool.id, 1, 2, 3_000, interrupted=True) is None
    assert store.recordings.finished("sp_none", 1, 2, 3_000) is None
    assert not store.recordings.get(recording.id).is_interrupted
    assert store.recordings.spools(recording.id)[0].end == FIRST + 9


def test_a_recording_in_which_nothing_was_heard_has_failed(store: Store) -> None:
    recording, spool = store.begin()
    store.recordings.stop(recording.id, 2_000)
    failed = store.recordings.finished(spool.id, 0, 0, 3_000)
    assert failed is not None
    assert (failed.status, failed.detail) == (RecordingStatus.FAILED, NOTHING_HEARD)
    assert store.jobs.take(9_000) is None


def test_spools_of_lost_nodes_are_found_and_their_recording_is_interrupted(store: Store) -> None:
    nodes = Nodes(store.database, "nd_up", "secret")
    nodes.register()
    recording = a_recording()
    lost, kept = a_spool(recording, "nd_gone"), a_spool(recording, "nd_up")
    store.recordings.begin(recording, lost, kept)
    assert store.recordings.unattended() == (lost,)
    going_on = store.recordings.finished(lost.id, FIRST, FIRST + 5, 2_000, interrupted=True)
    assert going_on is not None
    assert (going_on.status, going_on.is_interrupted) == (RecordingStatus.RECORDING, True)
    assert store.recordings.unattended() == ()
    # The call has come back: the recording goes on.
    assert store.recordings.add_spool(a_spool(recording, "nd_up"))


def test_a_file_is_made_once(store: Store) -> None:
    waiting = store.waiting(at=5_000)
    assert store.jobs.next_due() == 5_000
    assert store.jobs.take(4_999) is None
    taken = store.jobs.take(5_000)
    assert taken == replace(waiting, attempts=1)
    other = FileJobs(store.database, "nd_2")
    assert other.take(5_000) is None
    assert other.made(taken, FILE) is None
    assert other.missed(taken, "late", None) is None
    assert not other.renew(taken)
    assert store.jobs.renew(taken)
    ready = store.jobs.made(taken, FILE)
    assert ready == replace(taken, status=RecordingStatus.READY, file=FILE, due_at=None)
    assert store.recordings.get(waiting.id) == ready
    assert store.jobs.made(taken, FILE) is None
    assert (store.jobs.take(9_000), store.jobs.next_due()) == (None, None)


def test_a_job_of_a_lost_node_is_begun_anew_and_counts(store: Store) -> None:
    store.waiting()
    taken = store.jobs.take(5_000)
    assert taken is not None
    with store.database.write() as connection:
        connection.execute(table.update().values(expires_at=1))
    assert not store.jobs.renew(replace(taken, attempts=2))
    other = FileJobs(store.database, "nd_2")
    again = other.take(5_000)
    assert again == replace(taken, attempts=2)
    assert store.jobs.made(taken, FILE) is None
    assert other.made(again, FILE) is not None


def test_an_earlier_attempt_of_the_same_node_is_over(store: Store) -> None:
    store.waiting()
    first = store.jobs.take(5_000)
    assert first is not None
    second = store.jobs.take(5_000)
    assert second is None
    with store.database.write() as connection:
        connection.execute(table.update().values(expires_at=1))
    second = store.jobs.take(5_000)
    assert second is not None
    assert store.jobs.missed(first, "late", None) is None
    assert store.jobs.made(second, FILE) is not None


def test_a_failed_attempt_is_repeated_when_it_is_due(store: Store) -> None:
    store.waiting()
    taken = store.jobs.take(5_000)
    assert taken is not None
    missed = store.jobs.missed(taken, "no room", 8_000)
    assert missed == replace(taken, detail="no room", due_at=8_000)
    assert FileJobs(store.database, "nd_2").take(7_999) is None
    again = store.jobs.take(8_000)
    assert again == replace(missed, attempts=2)
    failed = store.jobs.missed(again, "no room at all", None)
    assert failed is not None
    assert (failed.status, failed.detail) == (RecordingStatus.FAILED, "no room at all")
    assert store.jobs.take(99_000) is None


def test_a_merge_has_no_spools_and_waits_at_once(store: Store) -> None:
    store.signal.clear()
    merge = a_recording(
        kind=RecordingKind.MERGE, participant_id="", status=RecordingStatus.WAITING, due_at=1_000
    )
    store.recordings.begin(merge)
    assert store.signal.is_set()
    assert store.jobs.take(1_000) == replace(merge, attempts=1)


def test_lists_have_one_kind_newest_first(store: Store) -> None:
    made = [store.begin(participant_id=f"p{number}")[0] for number in range(5)]
    elsewhere, _ = store.begin(room_id="other", session_id="s2")
    store.begin(kind=RecordingKind.ROOM, participant_id="")
    page = store.recordings.page(RecordingKind.TRACK, per_page=4)
    assert page.items == (elsewhere, *reversed(made[2:]))[:4]
    assert (page.total, page.last) == (6, 2)
    second = store.recordings.page(RecordingKind.TRACK, number=2, per_page=4)
    assert second.items == (made[1], made[0])
    cases: list[tuple[dict[str, Any], tuple[Recording, ...]]] = [
        ({"room_id": "other"}, (elsewhere,)),
        ({"session_id": "s2"}, (elsewhere,)),
        ({"room_id": ROOM, "participant_id": "p3"}, (made[3],)),
        ({"status": RecordingStatus.READY}, ()),
        ({"room_id": ROOM, "status": RecordingStatus.RECORDING}, tuple(reversed(made))),
    ]
    for filters, found in cases:
        assert store.recordings.page(RecordingKind.TRACK, **filters).items == found


def test_a_deleted_recording_is_in_no_list(store: Store) -> None:
    ready = store.ready()
    assert store.recordings.delete(ready.id, 9_000) == ready
    with pytest.raises(NotFound):
        store.recordings.get(ready.id)
    with pytest.raises(NotFound):
        store.recordings.delete(ready.id, 9_000)
    assert store.recordings.page(RecordingKind.TRACK).items == ()
    assert store.recordings.expired(99_000) == ()


def test_a_recording_without_its_file_is_not_deleted(store: Store) -> None:
    recording, _ = store.begin()
    waiting = store.waiting(participant_id="bob")
    for each in (recording, waiting):
        with pytest.raises(Conflict):
            store.recordings.delete(each.id, 9_000)
    for change in (store.recordings.delete, store.recordings.stop):
        with pytest.raises(NotFound):
            change("none", 9_000)


def test_expired_recordings_are_those_that_ended_before(store: Store) -> None:
    old = store.ready(at=5_000)
    store.ready(at=6_000, participant_id="bob")
    store.begin(participant_id="cid")
    assert store.recordings.expired(5_000) == ()
    assert store.recordings.expired(5_001) == (old,)
