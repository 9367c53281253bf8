"""Rooms and their names, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain import ids
from service.domain.rooms import AutoClose, AutoCloseType, Room
from service.errors import NotFound
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from tests.support.races import at_once


def a_room(**changes: Any) -> Room:
    room = Room(id=ids.new_room_id(), object_id=ids.new_object_id(), created_at=1, updated_at=1)
    return replace(room, **changes)


@pytest.fixture
def store(database: Database) -> Rooms:
    return Rooms(database)


def test_a_room_comes_back_by_each_of_its_names(store: Rooms) -> None:
    room = a_room(
        custom_id="support",
        geo_fence="us002",
        webhook={"endPoint": "https://e/x", "events": ["*"]},
        auto_close=AutoClose(AutoCloseType.DEACTIVATE, 60),
        allowed_participant_ids=("ann", "bob"),
        options={"autoStartConfig": {"hls": None}},
    )
    assert store.create(room) == room
    for name in (room.id, "support", room.object_id):
        assert store.get(name) == room
    assert store.find("nobody") is None
    with pytest.raises(NotFound, match=r"^Room not found\.$"):
        store.get("nobody")


def test_creating_a_custom_id_again_answers_with_the_first_room_as_it_is(store: Rooms) -> None:
    first = store.create(a_room(custom_id="support", geo_fence="us002"))
    assert store.create(a_room(custom_id="support", geo_fence="in002")) == first
    assert store.page().total == 1


def test_rooms_without_a_custom_id_are_rooms_of_their_own(store: Rooms) -> None:
    first, second = store.create(a_room()), store.create(a_room())
    assert store.page().items == (second, first)


def test_one_of_many_that_create_a_custom_id_at_once_makes_the_room(store: Rooms) -> None:
    found = at_once(8, lambda _: store.create(a_room(custom_id="support")))
    assert len({room.id for room in found}) == 1
    assert store.page().total == 1


def test_simultaneous_creations_of_a_name_make_one_room(store: Rooms) -> None:
    ways = (
        lambda: store.ensure("support", 1),
        lambda: store.named("support", 1),
        lambda: store.create(a_room(custom_id="support")),
    )
    found = at_once(9, lambda index: ways[index % 3]())
    assert len({room.object_id for room in found}) == 1
    assert store.page().total == 1
    assert store.get("support").object_id == found[0].object_id


def test_ensure_makes_an_unknown_room_with_exactly_that_id(store: Rooms) -> None:
    room = store.ensure("demo-room-0001", 5)
    assert (room.id, room.custom_id, room.created_at) == ("demo-room-0001", None, 5)
    assert store.ensure("demo-room-0001", 9) == room


def test_ensure_finds_a_room_by_any_of_its_names(store: Rooms) -> None:
    room = store.create(a_room(custom_id="support"))
    for name in (room.id, "support", room.object_id):
        assert store.ensure(name, 9) == room


def test_named_makes_a_room_with_an_id_of_its_own(store: Rooms) -> None:
    room = store.named("sip:+14155550100", 5)
    assert room.custom_id == "sip:+14155550100"
    assert room.id.count("-") == 2
    assert store.named("sip:+14155550100", 9) == room


def test_a_room_made_by_a_call_gets_the_configuration_created_under_its_name(store: Rooms) -> None:
    made = store.ensure("support", 1)
    store.deactivate("support", 2)
    created = store.create(a_room(custom_id="support", allowed_participant_ids=("ann",)))
    assert (created.id, created.object_id) == ("support", made.object_id)
    assert (created.custom_id, created.allowed_participant_ids) == ("support", ("ann",))
    assert created.disabled
    assert store.get("support") == created


def test_a_name_takes_precedence_over_an_object_id(store: Rooms) -> None:
    other = store.create(a_room())
    named = store.create(a_room(custom_id=other.object_id))
    assert named.id != other.id
    assert store.get(other.object_id) == named


def test_repeated_activation_and_deactivation_change_nothing(store: Rooms) -> None:
    room = store.create(a_room())
    closed = store.deactivate(room.id, 50)
    assert closed == replace(room, disabled=True, updated_at=50)
    assert store.deactivate(room.id, 60) == closed
    assert store.activate(room.id, 70) == replace(room, updated_at=70)
    for act in (store.deactivate, store.activate):
        with pytest.raises(NotFound):
            act("nobody", 1)


def test_pages_are_newest_first_and_narrowed_by_whole_names(store: Rooms) -> None:
    rooms = [store.create(a_room(custom_id=f"c{number}")) for number in range(5)]
    assert store.page(per_page=2).items == (rooms[4], rooms[3])
    assert store.page(number=3, per_page=2).items == (rooms[0],)
    assert store.page(number=2**40, per_page=100).items == ()
    assert store.page(query="c3").items == (rooms[3],)
    assert store.page(query=rooms[1].id).items == (rooms[1],)
    assert store.page(query="c").total == 0
    assert store.page(room_id=rooms[2].id).items == (rooms[2],)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"disabled": True}, "room-deactivated"),
        ({"allowed_participant_ids": ("ann",)}, None),
        ({"allowed_participant_ids": ("bob",)}, "participant-not-allowed"),
        ({"allowed_participant_ids": ("ann",), "disabled": True}, "room-deactivated"),
    ],
)
def test_room_bars_participants_that_may_not_join(
    changes: dict[str, Any], reason: str | None
) -> None:
    assert a_room(**changes).bars("ann") == reason
