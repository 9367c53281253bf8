"""Connectors as they are stored, on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from records import a_call, a_connector

from service.errors import NotFound
from service.model import Connector
from service.storage.calls import Calls
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.tokens import new_webhook_key


@pytest.fixture
def store(database: Database) -> Connectors:
    return Connectors(database)


def test_a_connector_comes_back_as_it_was_stored(store: Connectors) -> None:
    full = a_connector(default_rule_id="rr_1", region="eu001", name="Zürich ☎")
    bare = a_connector(name=None, default_room_id=None)
    store.add(full)
    store.add(bare)
    assert store.get(full.id) == full
    assert store.get(bare.id) == bare


def test_all_is_newest_first_even_within_one_millisecond(store: Connectors) -> None:
    assert store.all() == ()
    added = [a_connector(created_at=5) for _ in range(4)]
    for connector in added:
        store.add(connector)
    assert store.all() == tuple(reversed(added))


def test_a_key_finds_its_connector_for_its_own_provider_only(store: Connectors) -> None:
    twilio, plivo = a_connector(), a_connector(provider="plivo")
    store.add(twilio)
    store.add(plivo)
    assert store.by_key("twilio", twilio.webhook_key) == twilio
    assert store.by_key("plivo", plivo.webhook_key) == plivo
    assert store.by_key("plivo", twilio.webhook_key) is None
    assert store.by_key("twilio", new_webhook_key()) is None
    assert store.by_key("twilio", "") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "New"},
        {"name": None},
        {"default_room_id": None, "region": "us002"},
        {"default_rule_id": "rr_2"},
        {},
    ],
)
def test_update_changes_what_it_is_given_and_nothing_else(
    store: Connectors, changes: dict[str, Any]
) -> None:
    other, connector = a_connector(), a_connector()
    store.add(other)
    store.add(connector)
    expected = replace(connector, **changes)
    assert store.update(connector.id, changes) == expected
    assert store.get(connector.id) == expected
    assert store.get(other.id) == other


@pytest.mark.parametrize("name", ["webhook_key", "provider", "id", "created_at"])
def test_update_refuses_what_is_fixed(store: Connectors, name: str) -> None:
    connector = a_connector()
    store.add(connector)
    with pytest.raises(ValueError, match=name):
        store.update(connector.id, {name: "other"})
    assert store.get(connector.id) == connector


def test_rotate_replaces_the_key_at_once_and_nothing_else(store: Connectors) -> None:
    connector, key = a_connector(), new_webhook_key()
    store.add(connector)
    rotated = store.rotate(connector.id, key)
    assert rotated == replace(connector, webhook_key=key)
    assert store.by_key("twilio", key) == rotated
    assert store.by_key("twilio", connector.webhook_key) is None


def test_delete_removes_the_connector_and_keeps_its_calls(
    store: Connectors, database: Database
) -> None:
    kept, connector = a_connector(), a_connector()
    store.add(kept)
    store.add(connector)
    calls = Calls(database)
    call = a_call(connector_id=connector.id)
    assert calls.admit(call, "digest", 1)
    store.delete(connector.id)
    assert store.all() == (kept,)
    assert store.by_key("twilio", connector.webhook_key) is None
    assert calls.get(call.id) == call


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get("cn_unknown"),
        lambda store: store.update("cn_unknown", {"name": "x"}),
        lambda store: store.update("cn_unknown", {}),
        lambda store: store.rotate("cn_unknown", "whk_x"),
        lambda store: store.delete("cn_unknown"),
    ],
    ids=["get", "update", "update nothing", "rotate", "delete"],
)
def test_an_unknown_connector_is_not_found(
    store: Connectors, use: Callable[[Connectors], Connector | None]
) -> None:
    connector = a_connector()
    store.add(connector)
    with pytest.raises(NotFound, match=r"^Connector not found$"):
        use(store)
    assert store.all() == (connector,)
