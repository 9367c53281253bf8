"""Subscriptions as they are stored, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from records import a_subscription
from sqlalchemy import insert, select

from service.errors import NotFound
from service.lifecycle import CallEvent
from service.storage.database import Database
from service.storage.subscriptions import Subscriptions
from service.storage.tables import deliveries
from service.subscriptions import Subscription


@pytest.fixture
def store(database: Database) -> Subscriptions:
    return Subscriptions(database)


def added(store: Subscriptions, *urls: str) -> list[Subscription]:
    subscriptions = [a_subscription(url=url) for url in urls]
    for subscription in subscriptions:
        store.add(subscription)
    return subscriptions


def deliver(database: Database, delivery_id: str, receiver: str, **columns: Any) -> None:
    """Write a delivery that is pending, unless told otherwise."""
    pending = {"status": "pending", "attempts": 1, "due_at": 2_000, "expires_at": 9_000}
    with database.write() as connection:
        connection.execute(
            insert(deliveries).values(
                **{
                    "id": delivery_id,
                    "receiver": receiver,
                    "event": "call-started",
                    "body": "{}",
                    "created_at": 1_000,
                    **pending,
                    **columns,
                }
            )
        )


def test_a_subscription_comes_back_as_it_was_stored(store: Subscriptions) -> None:
    all_of_it = a_subscription(events=tuple(CallEvent), url="http://example.com/x?key=1")
    store.add(all_of_it)
    (other,) = added(store, "https://example.com")
    assert store.get(all_of_it.id) == all_of_it
    assert store.get(other.id) == other


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://new.example.com"},
        {"events": (CallEvent.MISSED,)},
        {"url": "https://new.example.com", "events": tuple(CallEvent)},
    ],
)
def test_update_changes_what_it_is_given_and_nothing_else(
    store: Subscriptions, changes: dict[str, Any]
) -> None:
    one, other = added(store, "https://example.com/1", "https://example.com/2")
    expected = replace(one, **changes, updated_at=5_000)
    assert store.update(one.id, changes, 5_000) == expected
    assert store.get(one.id) == expected
    assert store.get(other.id) == other


def test_what_is_not_editable_is_a_mistake_of_the_caller_s(store: Subscriptions) -> None:
    (one,) = added(store, "https://example.com")
    with pytest.raises(ValueError, match="not editable: id"):
        store.update(one.id, {"id": "wh_2"}, 5_000)


def test_a_page_is_newest_first_and_searched_by_part_of_the_url(store: Subscriptions) -> None:
    one, two, three = added(
        store, "https://one.example.com/100%", "https://two.example.com", "https://one.example.org"
    )
    page = store.page()
    assert (page.items, page.total) == ((three, two, one), 3)
    assert store.page(number=2, per_page=2).items == (one,)
    assert store.page(number=10**8).items == ()
    found = store.page(search="ONE.")
    assert (found.items, found.total) == ((three, one), 2)
    assert store.page(search="0%").items == (one,)
    assert store.page(search="%").items == (one,)


def test_what_was_deleted_is_not_there_any_more(store: Subscriptions) -> None:
    one, other = added(store, "https://example.com/1", "https://example.com/2")
    store.delete(one.id, 5_000)
    assert store.page().items == (other,)
    for ask in (
        lambda: store.get(one.id),
        lambda: store.update(one.id, {"url": "https://example.com"}, 6_000),
        lambda: store.delete(one.id, 6_000),
        lambda: store.get("wh_none"),
        lambda: store.delete("wh_none", 6_000),
    ):
        with pytest.raises(NotFound, match=r"^Webhook not found$"):
            ask()


def test_deleting_leaves_nothing_of_its_own_waiting(
    database: Database, store: Subscriptions
) -> None:
    one, other = added(store, "https://example.com/1", "https://example.com/2")
    deliver(database, "waiting", one.id)
    deliver(database, "done", one.id, status="delivered", due_at=None, expires_at=None)
    deliver(database, "another", other.id)
    store.delete(one.id, 5_000)
    with database.read() as connection:
        rows = connection.execute(select(deliveries).order_by(deliveries.c.seq)).all()
    assert [(row.id, row.status, row.due_at, row.expires_at, row.error) for row in rows] == [
        ("waiting", "dead", None, None, "The webhook was deleted."),
        ("done", "delivered", None, None, None),
        ("another", "pending", 2_000, 9_000, None),
    ]
