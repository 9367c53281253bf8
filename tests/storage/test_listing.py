"""Lists take a bounded share of the database, and are correct at any length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import text

from service.domain.calls import WEBSOCKET, Call, CallStatus, Direction, LadderEvent, LadderStep
from service.domain.paging import Page
from service.domain.rooms import Room
from service.errors import Busy
from service.storage import listing
from service.storage.calls import filters, pages, text_search
from service.storage.calls.calls import Calls
from service.storage.database import Database
from service.storage.listing import AT_ONCE
from service.storage.rooms.rooms import Rooms
from tests.support.records import a_call

ENDLESS = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    "SELECT max(x) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture
def store(database: Database) -> Calls:
    return Calls(database)


def filled(store: Calls, count: int, **changes: object) -> list[Call]:
    """Calls that came one after the other, the newest first."""
    added = [a_call(started_at=1_000 + number, **changes) for number in range(count)]
    for call in added:
        store.add(call)
    return added[::-1]


def all_pages(store: Calls, per_page: int, **wanted: Any) -> Iterator[Page[Call]]:
    """As VideoSDK's clients read them."""
    number = 1
    while True:
        page = store.page(number=number, per_page=per_page, **wanted)
        yield page
        if number >= page.last or not page.items:
            return
        number += 1


def test_calls_are_served_while_lists_hold_all_slots(
    database: Database, store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SLOT_SECONDS", 0.01)
    (call,) = filled(store, 1)
    with ExitStack() as lists:
        for _ in range(AT_ONCE):
            lists.enter_context(database.listing())
        with pytest.raises(Busy, match="Too many lists"):
            store.page()
        assert store.get(call.id) == call
        store.add(a_call())
    assert store.page().total == 2


def test_a_slow_list_times_out_without_effect_on_others(
    database: Database, store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "STATEMENT_SECONDS", 0.05)
    for _ in range(AT_ONCE + 1):
        with pytest.raises(Busy, match="narrow it down"), database.listing() as connection:
            connection.execute(text(ENDLESS[connection.dialect.name]))
    # The bound is the list's, and not its connection's.
    monkeypatch.undo()
    with database.read() as connection:
        connection.execute(text("SELECT 1"))
    assert store.page().total == 0


@pytest.mark.parametrize("shallow", [1, 1_000])
def test_a_long_list_can_be_read_page_by_page(
    store: Calls, monkeypatch: pytest.MonkeyPatch, shallow: int
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 5)
    monkeypatch.setattr(listing, "SHALLOW", shallow)
    added = filled(store, 23)
    pages = list(all_pages(store, 3))
    assert [call for page in pages for call in page.items] == added
    assert [page.total for page in pages] == [5, 7, 10, 13, 16, 19, 22, 23]
    assert [page.is_minimum for page in pages] == [True] * 7 + [False]
    beyond = store.page(number=9, per_page=3)
    assert (beyond.items, beyond.total, beyond.is_minimum) == ((), 23, False)
    assert store.page(number=10**30, per_page=3).total == 23


def test_a_list_of_the_counted_length_has_an_exact_total(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 6)
    filled(store, 6)
    assert [(page.total, page.is_minimum) for page in all_pages(store, 4)] == [(6, False)] * 2


def test_calls_that_arrive_while_paging_repeat_no_entry(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 5)
    monkeypatch.setattr(listing, "SHALLOW", 1)
    added = filled(store, 12)
    read: list[Call] = []
    for page in all_pages(store, 2):
        read += page.items
        store.add(a_call(started_at=90_000))
    assert read == added


def test_the_end_of_a_page_is_not_used_for_another_list(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 3)
    monkeypatch.setattr(listing, "SHALLOW", 1)
    first = filled(store, 8, room_id="r1")
    second = filled(store, 8, room_id="r2")
    for room_id, added in (("r1", first), ("r2", second)):
        pages = all_pages(store, 2, room_id=room_id)
        assert [call for page in pages for call in page.items] == added
    assert list(store.page(room_id="r1", number=2, per_page=4).items) == first[4:]


def test_the_end_of_a_page_is_not_used_for_another_status(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 3)
    monkeypatch.setattr(listing, "SHALLOW", 1)
    statuses = (CallStatus.TRANSFERRED, CallStatus.TRANSFER_FAILED)
    lists = []
    for status in statuses:
        steps = (LadderStep(LadderEvent.TRANSFER, 5_000, status),)
        lists.append(filled(store, 6, steps=steps, status=CallStatus.ENDED))
    # Page by page, one list beside the other.
    beside = list(zip(*(all_pages(store, 2, status=each) for each in statuses), strict=True))
    for number, added in enumerate(lists):
        assert [call for pages in beside for call in pages[number].items] == added


def test_filters_without_a_common_index_find_old_calls(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (filters, pages, listing):
        monkeypatch.setattr(module, "COUNTED", 4)
    old = a_call(started_at=1, room_id="r1", connector_id="cn_2")
    store.add(old)
    filled(store, 9, room_id="r1", connector_id="cn_1")
    filled(store, 9, room_id="r2", connector_id="cn_2")
    assert store.page(room_id="r1", connector_id="cn_2").items == (old,)
    assert store.page(room_id="r2", connector_id="cn_1").items == ()
    both = store.page(room_id="r1", connector_id="cn_1", per_page=4)
    assert (len(both.items), both.is_minimum) == (4, True)


FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"connector_id": "cn_2"}, {}),
    ({"room_id": "r1"}, {}),
    ({"rule_id": "rr_1"}, {}),
    ({"session_id": "s1"}, {}),
    ({"direction": Direction.OUTBOUND}, {}),
    ({"status": CallStatus.REJECTED}, {}),
    (
        {"status": CallStatus.TRANSFER_FAILED},
        {
            "status": CallStatus.ENDED,
            "steps": (LadderStep(LadderEvent.TRANSFER, 5_000, CallStatus.TRANSFER_FAILED),),
        },
    ),
    ({"search": "+4930"}, {"caller": "+49301234567"}),
]
"""Filters, each with the fields of a call that matches it, where their names differ."""


@pytest.mark.parametrize("is_counted_short", [False, True])
def test_any_two_filters_find_the_calls_that_both_hold_for(
    store: Calls, monkeypatch: pytest.MonkeyPatch, is_counted_short: bool
) -> None:
    if is_counted_short:
        for module in (filters, pages, listing):
            monkeypatch.setattr(module, "COUNTED", 2)
    likes = [(wanted, like or wanted) for wanted, like in FILTERS]
    for _, like in likes:
        filled(store, 4, **like)
    for (wanted, like), (other, other_like) in combinations(likes, 2):
        if wanted.keys() & other.keys() or like.keys() & other_like.keys():
            continue
        both = a_call(started_at=1, **like, **other_like)
        store.add(both)
        assert store.page(**wanted, **other).items == (both,)


@pytest.mark.parametrize(
    ("search", "finds"),
    [
        ("+1415", True),
        ("1415", True),
        ("+1 (415) 555-98", True),
        ("9876", True),
        ("4155559876", True),
        ("old-room", True),
        ("876", False),
        ("55598", False),
        ("old-", False),
        ("+9876", False),
        ("+442071234567", True),
        ("+44", True),
    ],
)
def test_old_calls_are_found_by_the_ends_of_their_numbers(
    store: Calls, monkeypatch: pytest.MonkeyPatch, search: str, finds: bool
) -> None:
    monkeypatch.setattr(text_search, "LOOKED_THROUGH", 3)
    old = a_call(caller="+14155559876", callee="+442071234567", room_id="old-room")
    store.add(old)
    filled(store, 3, caller="anonymous", callee="+49301234567", room_id="new")
    assert store.page(search=search).items == ((old,) if finds else ())


@pytest.mark.parametrize("search", ["+1415", "9876", "old-room"])
def test_old_calls_are_found_only_where_the_other_filters_hold(
    store: Calls, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    monkeypatch.setattr(text_search, "LOOKED_THROUGH", 3)
    old = a_call(caller="+14155559876", callee="+442071234567", room_id="old-room")
    store.add(old)
    for connector_id in ("cn_1", "cn_2"):
        numbers = {"caller": "anonymous", "callee": "+49301234567"}
        filled(store, 4, connector_id=connector_id, **numbers, room_id="new")
    assert store.page(search=search, connector_id="cn_1").items == (old,)
    assert store.page(search=search, connector_id="cn_2").items == ()


@pytest.mark.parametrize("search", ["+1415", "9876"])
def test_old_calls_with_too_many_like_them_are_given_up(
    store: Calls, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    monkeypatch.setattr(text_search, "LOOKED_THROUGH", 3)
    numbers = {"caller": "+14155559876", "callee": "+49301234567"}
    for number in range(4):
        store.add(a_call(started_at=number, room_id="old", **numbers))
    filled(store, 3, caller="anonymous", callee="+49301234567", room_id="new")
    for bound, finds in ((3, 0), (4, 4)):
        monkeypatch.setattr(text_search, "ALIKE", bound)
        monkeypatch.setattr(text_search, "ALIKE_IN_INDEX", bound)
        page = store.page(search=search)
        assert (page.total, page.is_minimum) == (finds, not finds)
    # Where the other filters leave few calls, all of them are searched in full.
    monkeypatch.setattr(text_search, "ALIKE", 0)
    monkeypatch.setattr(text_search, "LOOKED_THROUGH", 5)
    page = store.page(search=search, room_id="old")
    assert (page.total, page.is_minimum) == (4, False)


def test_any_part_of_a_number_is_found_among_the_newest_calls(store: Calls) -> None:
    newest = filled(store, 3, caller="+14155559876")
    found = store.page(search="55 598", per_page=2)
    assert (found.items, found.total) == (tuple(newest[:2]), 3)
    assert store.page(search="55 598", number=2, per_page=2).items == (newest[2],)


@pytest.mark.parametrize("search", ["", " ", "+", "()", "%", "_", "ü", "😀", "\x7f", "'", "+1%"])
def test_every_text_can_be_searched_for(store: Calls, search: str) -> None:
    filled(store, 2, caller="anonymous", room_id="plain-room")
    assert store.page(search=search).total == (0 if search.strip("+") else 2)


def test_a_hidden_number_is_not_found_by_its_ends(
    store: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search, "LOOKED_THROUGH", 1)
    inbound = a_call(hides_number=True, caller="+14155559876")
    outbound = a_call(
        hides_number=True, caller="+49", callee="+14155559876", direction=Direction.OUTBOUND
    )
    for call in (inbound, outbound, a_call(caller="+49301", callee="+49302")):
        store.add(call)
    for search in ("+1415555987", "9876"):
        assert store.page(search=search, sees_hidden=False).items == ()
        assert store.page(search=search).items == (outbound, inbound)


def test_calls_are_found_by_the_statuses_of_their_steps(store: Calls) -> None:
    passed = CallStatus.TRANSFER_FAILED
    steps = tuple(LadderStep(LadderEvent.TRANSFER, 5_000, passed) for _ in range(2))
    those = filled(store, 5, steps=steps, status=CallStatus.ENDED)
    filled(store, 5, status=CallStatus.ENDED)
    store.add(a_call(provider=WEBSOCKET, connector_id=None, steps=steps))
    found = store.page(status=passed)
    assert (found.items, found.total) == (tuple(those), 5)
    assert store.page(status=passed, number=2, per_page=3).items == tuple(those[3:])
    assert store.page(status=passed, room_id="elsewhere").items == ()
    assert store.page(status=passed, search="9876").items == tuple(those)
    assert store.page(status=CallStatus.TRANSFERRED).total == 0


def test_rooms_are_read_whole_as_well(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "COUNTED", 3)
    monkeypatch.setattr(listing, "SHALLOW", 1)
    rooms = Rooms(database)
    for number in range(7):
        rooms.create(Room(f"r{number}", f"{number:024}", created_at=number, updated_at=number))
    pages = [rooms.page(number=number, per_page=2) for number in range(1, 5)]
    assert [room.id for page in pages for room in page.items] == [f"r{n}" for n in range(6, -1, -1)]
    assert [page.is_minimum for page in pages] == [True, True, True, False]
