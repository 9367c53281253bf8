"""Lists, counts and look-ups of calls, on both kinds of database."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from service.domain.calls import (
    LIVE,
    WAITING,
    WEBSOCKET,
    Call,
    CallStatus,
    Direction,
    EndReason,
    LadderEvent,
    LadderStep,
    Participant,
)
from service.domain.paging import Page
from service.errors import NotFound
from service.storage.calls import queries
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from tests.support.records import a_call


@pytest.fixture
def store(database: Database) -> Calls:
    return Calls(database)


def ids(found: list[Call]) -> list[str]:
    return [call.id for call in found]


def test_every_field_of_a_call_comes_back_as_it_was_stored(store: Calls) -> None:
    call = Call(
        id="c1",
        provider="plivo",
        provider_call_id="uuid",
        connector_id="cn_9",
        room_id="room",
        rule_id="rr_1",
        session_id="session",
        caller="+1",
        callee="sip:a@b",
        status=CallStatus.ENDED,
        participant=Participant("p", "Ann ☎", {"a": [1, None, {"b": "ü"}]}),
        region="eu001",
        started_at=1,
        expires_at=2,
        answered_at=3,
        detached_at=4,
        ended_at=1_782_052_245_123,
        end_reason=EndReason.MAX_DURATION,
        leg_id="leg",
        attempts=3,
        stats={"frames": 7, "loss": 0.5},
        direction=Direction.OUTBOUND,
        metadata={"order": 7},
        max_seconds=60,
        steps=(
            LadderStep(LadderEvent.WEBHOOK, 1, CallStatus.INCOMING),
            LadderStep(LadderEvent.END, 5, CallStatus.ENDED, "why"),
        ),
    )
    store.add(call)
    assert store.get("c1") == call


def test_a_call_without_its_optional_parts_comes_back_with_none(store: Calls) -> None:
    call = a_call(connector_id=None, room_id=None, expires_at=None, steps=())
    store.add(call)
    found = store.get(call.id)
    assert found == call
    assert type(found.status) is CallStatus
    assert found.stats is None


def test_an_unknown_call_is_not_found(store: Calls) -> None:
    store.add(a_call())
    with pytest.raises(NotFound, match=r"^Call not found$"):
        store.get("unknown")


def test_find_needs_both_the_connector_and_the_provider_call(store: Calls) -> None:
    call = a_call(connector_id="cn_1", provider_call_id="CA1")
    same_call_elsewhere = a_call(connector_id="cn_2", provider_call_id="CA1")
    store.add(call)
    store.add(same_call_elsewhere)
    assert store.find("cn_1", "CA1") == call
    assert store.find("cn_2", "CA1") == same_call_elsewhere
    assert store.find("cn_1", "CA2") is None
    assert store.find("cn_3", "CA1") is None


def test_pages_are_newest_first_and_count_from_one(store: Calls) -> None:
    added = [a_call(started_at=5) for _ in range(5)]
    for call in added:
        store.add(call)
    newest = tuple(reversed(added))
    assert store.page() == Page(items=newest, number=1, per_page=10, total=5)
    assert store.page(number=1, per_page=2) == Page(newest[0:2], 1, 2, 5)
    assert store.page(number=3, per_page=2) == Page(newest[4:5], 3, 2, 5)
    assert store.page(number=4, per_page=2) == Page((), 4, 2, 5)
    assert store.page(number=10**30, per_page=2) == Page((), 10**30, 2, 5)


def test_an_empty_store_has_one_empty_page(store: Calls) -> None:
    page = store.page()
    assert page == Page((), 1, 10, 0)
    assert page.last == 1


def test_pages_hold_phone_calls_only(store: Calls) -> None:
    phone = a_call()
    store.add(a_call(provider=WEBSOCKET, connector_id=None))
    store.add(phone)
    assert store.page() == Page((phone,), 1, 10, 1)


def test_filters_of_a_page_all_apply(store: Calls) -> None:
    match = a_call(room_id="r1", session_id="s1", status=CallStatus.ANSWERED)
    others = [
        a_call(room_id="r2", session_id="s1", status=CallStatus.ANSWERED),
        a_call(room_id="r1", session_id="s2", status=CallStatus.ANSWERED),
        a_call(room_id="r1", session_id="s1", status=CallStatus.ENDED),
    ]
    for call in [*others, match]:
        store.add(call)
    both = store.page(room_id="r1", session_id="s1", status=CallStatus.ANSWERED)
    assert both == Page((match,), 1, 10, 1)
    assert store.page(room_id="r2").items == (others[0],)
    assert store.page(session_id="s2").items == (others[1],)
    assert store.page(status=CallStatus.ENDED).items == (others[2],)
    assert store.page(room_id="").total == 0


def test_a_page_takes_as_many_statements_for_many_calls_as_for_two(
    store: Calls, database: Database
) -> None:
    statements: list[str] = []

    def of_a_page() -> int:
        with database.read() as connection:
            engine = connection.engine
        listener = (engine, "after_cursor_execute", lambda *args: statements.append(args[2]))
        statements.clear()
        event.listen(*listener)
        assert all(len(call.steps) == 2 for call in store.page(per_page=50).items)
        event.remove(*listener)
        return len([each for each in statements if each.startswith("SELECT")])

    for _ in range(2):
        store.add(a_call())
    few = of_a_page()
    for _ in range(20):
        store.add(a_call())
    assert of_a_page() == few == 3


def test_live_counts_waiting_and_answered_calls_of_all_providers(store: Calls) -> None:
    assert store.live() == 0
    for status in CallStatus:
        store.add(a_call(status=status))
    store.add(a_call(provider=WEBSOCKET, connector_id=None))
    assert store.live() == len(LIVE) + 1


def test_unclaimed_returns_waiting_calls_that_have_expired(store: Calls) -> None:
    waiting = [
        a_call(status=status, expires_at=at)
        for status, at in zip(WAITING, (99, 100, 101, 102), strict=True)
    ]
    for call in [
        *waiting,
        *(a_call(status=s, expires_at=1) for s in CallStatus if not s.is_waiting),
    ]:
        store.add(call)
    assert store.unclaimed(100) == waiting[:2]


def test_lost_returns_calls_detached_for_long_enough(store: Calls) -> None:
    answered = a_call(status=CallStatus.ANSWERED)
    detached = [a_call(status=CallStatus.ANSWERED, detached_at=at) for at in (99, 100, 101)]
    over = a_call(status=CallStatus.ENDED, detached_at=1)
    for call in [answered, *detached, over]:
        store.add(call)
    assert store.lost(100) == detached[:2]


def test_overlong_returns_calls_answered_long_enough_ago(store: Calls) -> None:
    up = [a_call(status=CallStatus.ANSWERED, answered_at=at) for at in (99, 100, 101)]
    over = a_call(status=CallStatus.ENDED, answered_at=1)
    for call in [*up, over, a_call()]:
        store.add(call)
    assert store.overlong(5_100, 5) == up[:2]


def test_a_calls_own_time_limit_only_shortens_the_general_one(store: Calls) -> None:
    brief = a_call(status=CallStatus.ANSWERED, answered_at=1_000, max_seconds=2)
    greedy = a_call(status=CallStatus.ANSWERED, answered_at=1_000, max_seconds=60)
    for call in (brief, greedy):
        store.add(call)
    assert store.overlong(2_999, 10) == []
    assert store.overlong(3_000, 10) == [brief]
    assert store.overlong(11_000, 10) == [brief, greedy]


def test_a_call_being_dialled_on_is_not_lost(database: Database, store: Calls) -> None:
    call = a_call(status=CallStatus.ANSWERED, detached_at=50)
    store.add(call)
    steering = StoredSteering(database)
    steering.begin_transfer(call.id, "+14155550123", 60, 10)
    assert ids(store.lost(100)) == [call.id]
    step = LadderStep(LadderEvent.TRANSFER, 70, CallStatus.TRANSFERRING)
    assert steering.dialling(call.id, "+14155550123", step)
    assert store.lost(100) == []
    steering.transfer_failed(call.id, "busy", 90)
    assert store.lost(89) == []
    assert ids(store.lost(90)) == [call.id]


def test_a_sweep_returns_a_bounded_number_of_the_oldest_calls(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 2)
    waiting = [a_call(expires_at=at) for at in (3, 2, 1)]
    for call in waiting:
        store.add(call)
    assert ids(store.unclaimed(100)) == ids(waiting[:2])
