"""The list of live calls, and the signal of its changes."""

from __future__ import annotations

from service.domain.calls import WEBSOCKET, CallStatus, EndReason, LadderEvent
from service.storage.calls.calls import Calls
from service.storage.calls.in_progress import CallsInProgress
from service.storage.change_signals import ChangeSignal
from service.storage.cluster.placement import SingleNode
from service.storage.database import Database
from tests.support.records import a_call


def test_live_calls_of_all_providers_are_listed_newest_first(database: Database) -> None:
    calls = Calls(database)
    calls.admit(a_call(id="c1", provider_call_id="1"), None, 10)
    calls.admit(a_call(id="c2", provider=WEBSOCKET, provider_call_id="2"), None, 10)
    calls.add(a_call(id="c3", provider_call_id="3", status=CallStatus.REJECTED))
    found, total = CallsInProgress(database).newest()
    assert [call.id for call in found] == ["c2", "c1"]
    assert total == 2
    call = a_call(id="c1")
    assert (found[1].caller, found[1].room_id) == (call.caller, call.room_id)
    assert found[1].status is CallStatus.INCOMING


def test_the_newest_calls_are_listed_and_all_are_counted(database: Database) -> None:
    calls = Calls(database)
    for number in range(3):
        calls.admit(a_call(id=f"c{number}", provider_call_id=f"{number}"), None, 10)
    found, total = CallsInProgress(database).newest(most=2)
    assert [call.id for call in found] == ["c2", "c1"]
    assert total == 3


def test_calls_in_a_room_have_the_times_of_their_joins(database: Database) -> None:
    calls, listed = Calls(database), CallsInProgress(database)
    for number, room in enumerate(("here", "here", "there", "here")):
        call = a_call(id=f"c{number}", provider_call_id=f"{number}", room_id=room)
        calls.admit(call, f"ref-{number}", 10)
        if number < 3:
            calls.claim(f"ref-{number}", call.provider, f"leg-{number}", 5)
            assert calls.answered(f"c{number}", f"leg-{number}", f"s-{room}", 10 + number)
    found, total = listed.newest("here")
    assert [(call.id, call.joined_at) for call in found] == [("c3", None), ("c1", 11), ("c0", 10)]
    assert total == 3
    assert listed.by_room() == {"here": 2, "there": 1}
    calls.end("c2", EndReason.ENDED_BY_API, 20)
    calls.end("c1", EndReason.ENDED_BY_API, 20)
    assert listed.by_room() == {"here": 1}
    assert [call.id for call in listed.newest("here")[0]] == ["c3", "c0"]


def test_live_calls_are_counted_by_node(database: Database) -> None:
    for node_id, call_ids in (("one", ("c1", "c2")), ("two", ("c3",)), (None, ("c4",))):
        calls = Calls(database, SingleNode(node_id))
        for call_id in call_ids:
            calls.admit(a_call(id=call_id, provider_call_id=call_id), None, 10)
    Calls(database).end("c1", EndReason.ENDED_BY_API, 20)
    listed = CallsInProgress(database)
    assert listed.by_node() == {"one": 1, "two": 1, None: 1}
    assert {call.id: call.node_id for call in listed.newest()[0]} == {
        "c4": None,
        "c3": "two",
        "c2": "one",
    }


def test_the_change_signal_is_set_once_a_change_is_committed(database: Database) -> None:
    calls, signal = Calls(database), database.signals[ChangeSignal.CALLS]
    signal.clear()
    with database.write() as connection:
        connection.exec_driver_sql("SELECT 1")
    calls.live()
    assert not signal.is_set()
    calls.admit(a_call(id="c1", leg_id="leg-1"), None, 10)
    assert signal.is_set()
    signal.clear()
    calls.step("c1", "leg-1", LadderEvent.FIRST_AUDIO_IN, 2)
    assert signal.is_set()
    signal.clear()
    calls.end("c1", EndReason.ENDED_BY_API, 3)
    assert signal.is_set()
