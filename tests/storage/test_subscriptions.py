"""Stored subscriptions, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.domain.webhook_events import CallEvent
from service.domain.webhooks import DeliveryStatus, Subscription
from service.errors import NotFound
from service.storage.database import Database
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from service.storage.webhooks.subscriptions import Subscriptions
from tests.support.deliveries import a_delivery, write
from tests.support.records import a_subscription


@pytest.fixture
def store(database: Database) -> Subscriptions:
    return Subscriptions(database)


def added(store: Subscriptions, *urls: str) -> list[Subscription]:
    subscriptions = [a_subscription(url=url) for url in urls]
    for subscription in subscriptions:
        store.add(subscription)
    return subscriptions


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
def test_update_changes_the_given_fields_only(
    store: Subscriptions, changes: dict[str, Any]
) -> None:
    one, other = added(store, "https://example.com/1", "https://example.com/2")
    expected = replace(one, **changes, updated_at=5_000)
    assert store.update(one.id, changes, 5_000) == expected
    assert store.get(one.id) == expected
    assert store.get(other.id) == other


def test_an_update_of_a_fixed_field_raises(store: Subscriptions) -> None:
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


def test_a_deleted_subscription_is_not_found(store: Subscriptions) -> None:
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


def test_deleting_gives_up_pending_deliveries(database: Database, store: Subscriptions) -> None:
    one, other = added(store, "https://example.com/1", "https://example.com/2")
    done = {"status": DeliveryStatus.DELIVERED, "due_at": None, "expires_at": None}
    waiting, another = a_delivery(1, one.id), a_delivery(1, other.id)
    delivered = a_delivery(2, one.id, **done)
    write(database, waiting, delivered, another)
    store.delete(one.id, 5_000)
    dead = replace(waiting, status=DeliveryStatus.DEAD, due_at=None, expires_at=None)
    outbox = Outbox(database)
    assert outbox.recent(one.id) == (delivered, replace(dead, error="The webhook was deleted."))
    assert outbox.recent(other.id) == (another,)
    assert [each.receiver for each in ReceiverLeases(database, "nd_1").waiting()] == [other.id]
