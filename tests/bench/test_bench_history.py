"""The history that the benchmark inserts is readable by the service."""

from __future__ import annotations

from bench.history import fill
from bench.history_load import paths
from service.domain.calls import CallStatus
from service.storage.calls.calls import Calls
from service.storage.calls.history import History
from service.storage.calls.loudness import LoudnessRecords
from service.storage.database import Database
from service.storage.rooms.sessions import Sessions


def test_inserted_history_is_readable_and_comes_before_new_calls(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    fill(empty_url, 100)
    calls, sessions = Calls(database), Sessions(database)
    page = calls.page(per_page=100)
    assert (page.total, page.items[0].id) == (100, "hist-call-100")
    assert calls.page(status=CallStatus.SWITCH_ROOM_COMPLETED).total == 25
    assert (calls.live(), sessions.page().total) == (0, 51)
    whole = calls.get("hist-call-49")
    assert len(whole.steps) == 9
    assert LoudnessRecords(database).of(whole.id)[0].leg_id == whole.leg_id
    (*_, participant) = sessions.get(whole.session_id or "").participants
    assert participant.presences[0].left_at == whole.ended_at
    History(database).delete(whole.id)
    assert calls.page().total == 99
    database.close()


def test_each_list_is_requested_once() -> None:
    assert len(set(paths(1_000))) == len(paths(1_000))
