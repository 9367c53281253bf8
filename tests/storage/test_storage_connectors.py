"""Stored connectors, on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from service.domain.connectors import Connector
from service.domain.ids import new_webhook_key
from service.errors import NotFound
from service.storage.calls.calls import Calls
from service.storage.connectors import UNREADABLE, Connectors
from service.storage.database import Database
from service.storage.tables import connectors
from tests.support.races import at_once
from tests.support.records import a_call, a_connector


@pytest.fixture
def store(database: Database) -> Connectors:
    return Connectors(database, "secret")


def test_a_connector_comes_back_as_it_was_stored(store: Connectors) -> None:
    full = a_connector(
        default_rule_id="rr_1",
        region="eu001",
        name="Zürich ☎",
        credentials={"accountSid": ("AC1",), "authToken": ("new", "old")},
    )
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
        {"credentials": {"authToken": ("new", "old")}, "name": "New"},
        {},
    ],
)
def test_update_changes_the_given_fields_only(store: Connectors, changes: dict[str, Any]) -> None:
    other, connector = a_connector(), a_connector()
    store.add(other)
    store.add(connector)
    expected = replace(connector, **changes)
    assert store.update(connector.id, changes) == expected
    assert store.get(connector.id) == expected
    assert store.get(other.id) == other


@pytest.mark.parametrize("name", ["webhook_key", "provider", "id", "created_at"])
def test_update_refuses_fixed_fields(store: Connectors, name: str) -> None:
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


def test_credentials_are_merged_by_name_and_removed_by_none(store: Connectors) -> None:
    connector = a_connector(credentials={"authToken": ("t",)})
    store.add(connector)

    def after(change: dict[str, tuple[str, ...] | None] | None) -> object:
        return store.update(connector.id, {"credentials": change}).credentials

    assert after({"accountSid": ("AC1",)}) == {"accountSid": ("AC1",), "authToken": ("t",)}
    assert after({"authToken": ("u", "t")}) == {"accountSid": ("AC1",), "authToken": ("u", "t")}
    assert after({"accountSid": None, "authToken": ("u",)}) == {"authToken": ("u",)}
    assert after({"authToken": None}) == {}
    assert after({"authToken": ("v",)}) == {"authToken": ("v",)}
    assert after(None) == {}
    assert store.get(connector.id) == replace(connector, credentials={})


def test_changes_of_several_credentials_at_once_are_all_kept(store: Connectors) -> None:
    connector = a_connector()
    store.add(connector)
    changes = [{f"name{number}": (str(number),)} for number in range(8)]
    at_once(8, lambda number: store.update(connector.id, {"credentials": changes[number]}))
    assert store.get(connector.id).credentials == {
        k: v for each in changes for k, v in each.items()
    }


def test_credentials_encrypted_under_another_secret_are_locked(
    store: Connectors, database: Database
) -> None:
    connector = a_connector(credentials={"authToken": ("t",)})
    Connectors(database, "other").add(connector)
    locked = replace(connector, credentials={}, locked=True)
    unread = replace(locked, webhook_key=UNREADABLE)
    assert store.get(connector.id) == store.all()[0] == unread
    assert store.by_key("twilio", connector.webhook_key) == locked
    assert store.by_key("twilio", UNREADABLE) is None
    assert store.update(connector.id, {"name": "New"}) == replace(unread, name="New")
    set_again = store.update(connector.id, {"credentials": {"authToken": ("u",)}})
    assert set_again == replace(unread, name="New", credentials={"authToken": ("u",)}, locked=False)
    key = new_webhook_key()
    assert store.rotate(connector.id, key) == replace(set_again, webhook_key=key)


def test_encrypted_credentials_cannot_be_moved_to_another_row(
    store: Connectors, database: Database
) -> None:
    first, second = (a_connector(credentials={"authToken": (t,)}) for t in ("a", "b"))
    store.add(first)
    store.add(second)
    with database.write() as connection:
        sealed = select(connectors.c.credentials).where(connectors.c.id == first.id)
        connection.execute(update(connectors).values(credentials=connection.scalar(sealed)))
    assert store.get(first.id) == first
    assert store.get(second.id).locked


def test_a_reference_leads_to_the_connector_of_its_call(
    store: Connectors, database: Database
) -> None:
    connector = a_connector(credentials={"authToken": ("t",)})
    store.add(a_connector())
    store.add(connector)
    calls = Calls(database)
    assert calls.admit(a_call(connector_id=connector.id), "digest", 9)
    assert calls.admit(a_call(connector_id="cn_gone"), "orphan", 9)
    assert store.by_reference("digest") == connector
    assert store.by_reference("orphan") is None
    assert store.by_reference("unknown") is None
