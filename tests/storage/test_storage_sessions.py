"""Sessions and presences as calls make them, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain import ids
from service.domain.calls import WEBSOCKET, Call, EndReason, Participant
from service.domain.rooms import AutoClose, AutoCloseType, Room, SessionStatus
from service.errors import NotFound
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.rooms import sessions
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions
from tests.support.orphans import orphaned
from tests.support.races import at_once
from tests.support.records import a_call

ROOM = "abcd-efgh-ijkl"


class SessionCalls:
    """Calls that join and leave sessions."""

    def __init__(self, database: Database) -> None:
        self.calls = Calls(database)
        self.rooms = Rooms(database)
        self.sessions = Sessions(database)
        self.steering = StoredSteering(database)

    def come(
        self, name: str, at: int, session_id: str = "s1", room_id: str = ROOM, **changes: Any
    ) -> Call:
        participant = Participant(name, name.title())
        call = a_call(participant=participant, room_id=room_id, expires_at=at + 90_000, **changes)
        assert self.calls.admit(call, "ref-" + call.id, 100)
        self.calls.claim("ref-" + call.id, call.provider, "leg-" + call.id, at)
        assert self.calls.answered(call.id, "leg-" + call.id, session_id, at)
        return call

    def come_back(self, call: Call, at: int, session_id: str) -> None:
        ref, leg_id = ids.new_ref(), ids.new_leg_id()
        assert self.calls.reissue(call.id, ref, at + 90_000, lambda place: ())
        self.calls.claim(ref, call.provider, leg_id, at)
        assert self.calls.answered(call.id, leg_id, session_id, at)

    def lose(self, call: Call, at: int) -> None:
        assert self.calls.detached(call.id, self.calls.get(call.id).leg_id or "", at, None, None)

    def go(self, call: Call, at: int, **changes: Any) -> None:
        reason = EndReason.CALLER_HUNG_UP
        assert self.calls.end(call.id, reason, at, **changes)

    def timelog(self, session_id: str = "s1") -> dict[str, list[tuple[int, int | None]]]:
        return {
            who.id: [(presence.joined_at, presence.left_at) for presence in who.presences]
            for who in self.sessions.get(session_id).participants
        }


@pytest.fixture
def store(database: Database) -> SessionCalls:
    return SessionCalls(database)


def test_a_session_lasts_from_the_first_join_to_the_last_leave(store: SessionCalls) -> None:
    ann = store.come("ann", 2_000)
    bob = store.come("bob", 3_000)
    store.go(ann, 4_000)
    session = store.sessions.get("s1")
    assert (session.started_at, session.ended_at) == (2_000, None)
    assert session.status is SessionStatus.ONGOING
    store.go(bob, 5_000)
    session = store.sessions.get("s1")
    assert (session.started_at, session.ended_at) == (2_000, 5_000)
    assert session.status is SessionStatus.ENDED
    assert store.timelog() == {"ann": [(2_000, 4_000)], "bob": [(3_000, 5_000)]}


def test_a_call_that_was_never_answered_has_no_presence(store: SessionCalls) -> None:
    call = a_call()
    store.calls.admit(call, "ref", 10)
    store.calls.end(call.id, EndReason.NO_SOCKET, 9_000)
    assert store.sessions.page().total == 0


def test_a_participant_that_comes_twice_has_two_entries(store: SessionCalls) -> None:
    watcher = store.come("watcher", 1_500)
    store.go(store.come("ann", 2_000), 3_000)
    store.come("ann", 4_000)
    assert store.timelog()["ann"] == [(2_000, 3_000), (4_000, None)]
    assert len(store.sessions.get("s1").participants) == 2
    store.go(watcher, 5_000)


def test_a_reattached_socket_continues_its_presence(store: SessionCalls) -> None:
    ann = store.come("ann", 2_000)
    store.lose(ann, 3_000)
    assert store.sessions.get("s1").ended_at is None
    store.come_back(ann, 4_000, "s1")
    assert store.timelog() == {"ann": [(2_000, None)]}


def test_session_survives_a_restart_and_ends_with_its_last_call(store: SessionCalls) -> None:
    ann, bob = store.come("ann", 2_000), store.come("bob", 2_500)
    orphaned(store.calls, 3_000)
    assert store.sessions.get("s1").ended_at is None
    store.come_back(ann, 4_000, "s1")
    store.go(bob, 18_000)
    store.go(ann, 20_000)
    assert store.sessions.get("s1").ended_at == 20_000


def test_a_call_reattached_in_another_session_leaves_the_first(store: SessionCalls) -> None:
    ann = store.come("ann", 2_000)
    store.lose(ann, 3_000)
    bob = store.come("bob", 3_500, "s2")
    store.come_back(ann, 4_000, "s2")
    assert store.sessions.get("s1").ended_at == 4_000
    assert store.timelog("s1") == {"ann": [(2_000, 4_000)]}
    assert store.timelog("s2") == {"bob": [(3_500, None)], "ann": [(4_000, None)]}
    store.go(ann, 5_000)
    store.go(bob, 6_000)
    assert store.sessions.get("s2").ended_at == 6_000


def test_a_call_that_is_moved_leaves_its_session_on_arrival(store: SessionCalls) -> None:
    ann, bob = store.come("ann", 2_000), store.come("bob", 2_000)
    store.steering.move(ann.id, "room-2", ann.participant, 3_000)
    assert store.timelog("s1") == {"ann": [(2_000, None)], "bob": [(2_000, None)]}
    leg_id = store.calls.get(ann.id).leg_id or ""
    assert store.steering.arrived(ann.id, leg_id, "room-2", "ann", "s2", 3_100)
    assert store.timelog("s1") == {"ann": [(2_000, 3_100)], "bob": [(2_000, None)]}
    assert store.timelog("s2") == {"ann": [(3_100, None)]}
    assert store.sessions.get("s1").ended_at is None
    store.go(bob, 4_000)
    assert store.sessions.get("s1").ended_at == 4_000


def test_a_detached_call_that_is_moved_is_in_no_session_until_reattached(
    store: SessionCalls,
) -> None:
    ann = store.come("ann", 2_000)
    store.lose(ann, 2_500)
    store.steering.move(ann.id, "room-2", ann.participant, 3_000)
    assert store.timelog("s1") == {"ann": [(2_000, 3_000)]}
    assert store.sessions.get("s1").ended_at == 3_000
    store.come_back(ann, 4_000, "s2")
    leg_id = store.calls.get(ann.id).leg_id or ""
    assert store.steering.arrived(ann.id, leg_id, "room-2", "ann", "s2", 4_001)
    assert store.timelog("s2") == {"ann": [(4_001, None)]}


def test_an_ended_session_continues_with_a_leg_that_has_its_id(store: SessionCalls) -> None:
    store.go(store.come("ann", 2_000), 3_000)
    store.go(store.come("bob", 3_100), 4_000)
    session = store.sessions.get("s1")
    assert (session.started_at, session.ended_at) == (2_000, 4_000)


def test_the_last_of_many_simultaneous_leaves_ends_the_session(store: SessionCalls) -> None:
    calls = [store.come(f"p{number}", 2_000) for number in range(8)]
    at_once(8, lambda index: store.go(calls[index], 3_000 + index))
    assert store.sessions.get("s1").ended_at == 3_007
    assert store.sessions.present("s1") == []


def test_simultaneous_joins_make_one_session(store: SessionCalls) -> None:
    outcomes = at_once(8, lambda index: store.come(f"p{index}", 2_000 + index))
    assert all(isinstance(outcome, Call) for outcome in outcomes)
    assert store.sessions.page().total == 1
    assert len(store.sessions.present("s1")) == 8


def test_simultaneous_joins_and_leaves_never_end_an_occupied_session(
    store: SessionCalls,
) -> None:
    for turn in range(5):
        ann = store.come("ann", 2_000, f"s{turn}")
        at_once(
            2,
            lambda index, ann=ann, turn=turn: (
                store.go(ann, 3_000) if index else store.come("bob", 3_000, f"s{turn}")
            ),
        )
        assert store.sessions.get(f"s{turn}").ended_at is None
        assert len(store.sessions.present(f"s{turn}")) == 1


def test_the_region_is_the_rooms_or_else_the_first_calls(store: SessionCalls) -> None:
    store.rooms.create(
        Room(id="fenced", object_id="o", created_at=1, updated_at=1, geo_fence="sg001")
    )
    store.come("ann", 2_000, "s1", region="us002")
    store.come("bob", 2_000, "s2", "fenced", region="us002")
    assert store.sessions.get("s1").region == "us002"
    assert store.sessions.get("s2").region == "sg001"


def test_a_room_for_one_session_is_deactivated_when_that_ends(store: SessionCalls) -> None:
    room = store.rooms.create(
        Room(
            id=ROOM,
            object_id="o",
            created_at=1,
            updated_at=1,
            auto_close=AutoClose(AutoCloseType.DEACTIVATE, 60),
        )
    )
    ann, bob = store.come("ann", 2_000), store.come("bob", 2_000)
    store.go(ann, 3_000)
    assert not store.rooms.get(room.id).disabled
    store.go(bob, 4_000)
    assert store.rooms.get(room.id) == replace(room, disabled=True, updated_at=4_000)


def test_an_unknown_session_is_not_found(store: SessionCalls) -> None:
    with pytest.raises(NotFound, match=r"^Session not found\.$"):
        store.sessions.get("s9")


def test_pages_have_ongoing_sessions_first_and_then_the_newest(store: SessionCalls) -> None:
    for number, over in enumerate((False, True, False, True, True)):
        call = store.come("ann", 2_000 + number, f"s{number}", f"r{number}")
        if over:
            store.go(call, 9_000)
    page = store.sessions.page()
    assert [session.id for session in page.items] == ["s2", "s0", "s4", "s3", "s1"]
    assert page.items[0].participants[0].id == "ann"
    page = store.sessions.page(number=2, per_page=2)
    assert [session.id for session in page.items] == ["s4", "s3"]
    assert page.total == 5
    assert store.sessions.page(number=2**40, per_page=100).items == ()


def test_of_many_presences_the_latest_are_returned(
    store: SessionCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PRESENCES", 4)
    store.come("here", 2_000)
    for number in range(5):
        store.go(store.come(f"guest{number}", 3_000 + number), 4_000 + number)
    store.come("elsewhere", 5_000, "s2")
    assert list(store.timelog()) == ["here", "guest1", "guest2", "guest3", "guest4"]
    both = {each.id: [who.id for who in each.participants] for each in store.sessions.page().items}
    assert both == {"s1": ["here", "guest3", "guest4"], "s2": ["elsewhere"]}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"room_id": "r1"}, ["s1"]),
        ({"room_id": "r9"}, []),
        ({"custom_room_id": "support"}, ["s2"]),
        ({"custom_room_id": "r1"}, []),
        ({"query": "support"}, ["s2"]),
        ({"query": "r1"}, ["s1"]),
        ({"query": "r"}, []),
        ({"status": SessionStatus.ONGOING}, ["s2"]),
        ({"status": SessionStatus.ENDED}, ["s1"]),
        ({"since": 3_000}, ["s2"]),
        ({"since": 3_001}, []),
        ({"until": 3_000}, ["s1"]),
        ({"until": 2_000}, []),
        ({"since": 2_000, "until": 3_001, "room_id": "r1"}, ["s1"]),
    ],
)
def test_filters_narrow_the_list(
    store: SessionCalls, wanted: dict[str, Any], found: list[str]
) -> None:
    store.rooms.create(
        Room(id="r2", object_id="o", created_at=1, updated_at=1, custom_id="support")
    )
    store.go(store.come("ann", 2_000, "s1", "r1"), 9_000)
    store.come("bob", 3_000, "s2", "r2")
    page = store.sessions.page(**wanted)
    assert [session.id for session in page.items] == found
    assert page.total == len(found)


def test_the_ongoing_session_of_a_room_and_its_present_calls(store: SessionCalls) -> None:
    assert store.sessions.ongoing(ROOM) is None
    ann, bob = store.come("ann", 2_000), store.come("bob", 2_500)
    session = store.sessions.ongoing(ROOM)
    assert session is not None
    assert session.id == "s1"
    assert store.sessions.present("s1") == [ann.id, bob.id]
    assert store.sessions.present("s1", "bob") == [bob.id]
    assert store.sessions.present("s1", "cat") == []
    for call in (ann, bob):
        store.go(call, 3_000)
    assert store.sessions.ongoing(ROOM) is None


def test_presences_have_the_statistics_of_their_calls(store: SessionCalls) -> None:
    ann, bob = store.come("ann", 2_000), store.come("bob", 2_500)
    store.go(ann, 3_000, stats={"framesIn": 50})
    presences = store.sessions.presences("s1")
    assert [(presence.call_id, presence.left_at, presence.stats) for presence in presences] == [
        (ann.id, 3_000, {"framesIn": 50}),
        (bob.id, None, None),
    ]


def test_a_session_whose_call_is_on_another_node_is_waiting(store: SessionCalls) -> None:
    store.come("ann", 2_000)
    assert store.sessions.waiting(ROOM, "nd_other") == "s1"


def test_a_session_with_a_detached_call_is_waiting(store: SessionCalls) -> None:
    ann = store.come("ann", 2_000)
    assert store.sessions.waiting(ROOM, None) is None
    store.lose(ann, 3_000)
    assert store.sessions.waiting(ROOM, None) == "s1"
    assert store.sessions.waiting("elsewhere", None) is None
    store.go(ann, 4_000)
    assert store.sessions.waiting(ROOM, None) is None


@pytest.mark.parametrize("minutes", [2, 525_600])
def test_a_session_is_overdue_after_its_rooms_time_limit(store: SessionCalls, minutes: int) -> None:
    store.rooms.create(
        Room(
            id=ROOM,
            object_id="o",
            created_at=1,
            updated_at=1,
            auto_close=AutoClose(AutoCloseType.SESSION_ENDS, minutes),
        )
    )
    start = 1_782_052_245_123
    over = start + minutes * 60_000
    ann = store.come("ann", start)
    store.come("bob", start, "s2", "elsewhere")
    assert store.sessions.overdue(over - 1) == []
    assert [session.id for session in store.sessions.overdue(over)] == ["s1"]
    store.go(ann, over)
    assert store.sessions.overdue(over) == []


class TestLonely:
    """Calls that have been alone for a time."""

    def test_a_phone_is_alone_from_its_join_on(self, store: SessionCalls) -> None:
        ann = store.come("ann", 2_000)
        assert store.sessions.lonely(1_999) == []
        assert store.sessions.lonely(2_000) == [ann.id]

    def test_a_phone_with_any_other_participant_is_not_alone(self, store: SessionCalls) -> None:
        store.come("ann", 2_000)
        store.come("agent", 3_000, provider=WEBSOCKET, connector_id=None)
        assert store.sessions.lonely(99_000) == []

    def test_the_time_counts_from_when_the_last_other_left(self, store: SessionCalls) -> None:
        ann = store.come("ann", 2_000)
        store.go(store.come("bob", 3_000), 5_000)
        store.go(store.come("cat", 3_500), 4_000)
        assert store.sessions.lonely(4_999) == []
        assert store.sessions.lonely(5_000) == [ann.id]
        store.come("bob", 6_000)
        assert store.sessions.lonely(99_000) == []

    def test_a_custom_websocket_may_be_alone(self, store: SessionCalls) -> None:
        store.come("agent", 2_000, provider=WEBSOCKET, connector_id=None)
        assert store.sessions.lonely(99_000) == []

    def test_a_detached_call_is_not_lonely(self, store: SessionCalls) -> None:
        ann = store.come("ann", 2_000)
        store.lose(ann, 3_000)
        assert store.sessions.lonely(99_000) == []

    def test_rooms_are_looked_at_one_by_one(self, store: SessionCalls) -> None:
        ann = store.come("ann", 2_000)
        bob = store.come("bob", 2_000, "s2", "elsewhere")
        assert sorted(store.sessions.lonely(2_000)) == sorted([ann.id, bob.id])
        store.go(bob, 3_000)
        assert store.sessions.lonely(9_000) == [ann.id]
