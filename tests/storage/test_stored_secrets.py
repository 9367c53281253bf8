"""Encrypted secrets across a change of ``API_SECRET``, and clear text of earlier versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from service.domain.routing_rules import RoomType, RuleRoom
from service.errors import Locked
from service.storage.connectors import UNREADABLE, Connectors
from service.storage.database import Database
from service.storage.resealing import BATCH, reseal
from service.storage.routing_rules import Rules
from service.storage.stored_secrets import OVERLAP_MILLIS, StoredSecrets
from service.storage.tables import connectors, routing_rules, secrets, signing_keys
from service.storage.webhooks.signing_keys import SigningKeys
from tests.support.clocks import FakeClock
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

OLD, NEW, WRONG = "old" * 12, "new" * 12, "bad" * 12
SEALED = (
    connectors.c.webhook_key,
    connectors.c.credentials,
    routing_rules.c.pin,
    signing_keys.c.private_key,
    secrets.c.sealed,
)
LOCKED_ROOM = RuleRoom(RoomType.STATIC, None, "r1", "4711")


def stored(database: Database) -> list[str]:
    """Return every text that has to be encrypted."""
    with database.read() as connection:
        rows = [value for column in SEALED for value in connection.scalars(select(column))]
    return [value for value in rows if value is not None]


def fill(database: Database, clock: FakeClock, secret: str) -> tuple[str, str, str]:
    """Add a secret of each kind; return the ids of a connector, a rule and a signing key."""
    connector, rule = a_connector(credentials={"authToken": ("t",)}), a_rule(room=LOCKED_ROOM)
    Connectors(database, secret).add(connector)
    Rules(database, secret).add(rule)
    pair = SigningKeys(database, clock, secret, None).current()
    StoredSecrets(database, clock, secret).of_rooms()
    return connector.id, rule.id, pair.id


def found(
    database: Database, clock: FakeClock, ids: tuple[str, str, str], *pair: str
) -> tuple[object, ...]:
    """Return which secrets can be read with this ``API_SECRET`` and the previous one."""
    connector = Connectors(database, *pair).get(ids[0])
    rule = Rules(database, *pair).get(ids[1])
    signs = SigningKeys(database, clock, pair[0], None, *pair[1:]).current()
    names = StoredSecrets(database, clock, *pair).of_rooms()
    return connector.webhook_key, connector.credentials, rule.room.pin, signs.id == ids[2], names


def in_the_clear(database: Database, connector_id: str, rule_id: str, key: str, pin: str) -> None:
    """Store a webhook key and a PIN as earlier versions did."""
    with database.write() as connection:
        one = connectors.c.id == connector_id
        connection.execute(update(connectors).where(one).values(webhook_key=key))
        one = routing_rules.c.id == rule_id
        connection.execute(update(routing_rules).where(one).values(pin=pin))


def test_a_change_of_the_secret_loses_nothing(database: Database, clock: FakeClock) -> None:
    ids = fill(database, clock, OLD)
    before, rows = found(database, clock, ids, OLD), stored(database)
    assert before[4] == OLD
    assert found(database, clock, ids, NEW, OLD) == before
    assert stored(database) == rows
    assert reseal(database, NEW, OLD) == len(rows) == 5
    assert not set(stored(database)) & set(rows)
    for pair in ((NEW,), (NEW, OLD), (NEW, WRONG), (WRONG, NEW)):
        assert found(database, clock, ids, *pair) == before
    assert reseal(database, NEW, OLD) == 0


def test_clear_text_of_an_earlier_version_is_read_and_encrypted(
    database: Database, clock: FakeClock
) -> None:
    ids = fill(database, clock, OLD)
    key = "whk_" + "K" * 32
    in_the_clear(database, ids[0], ids[1], key, "0815")
    before = found(database, clock, ids, OLD)
    assert (before[0], before[2]) == (key, "0815")
    assert reseal(database, OLD, None) == 2
    assert not {key, "0815"} & set(stored(database))
    assert found(database, clock, ids, OLD) == before


def test_no_clear_text_remains_in_the_files_of_sqlite(
    own_sqlite: Database, sqlite_url: str, clock: FakeClock
) -> None:
    ids = fill(own_sqlite, clock, OLD)
    key, pin = "whk_" + "K" * 32, "0815081508150815"
    in_the_clear(own_sqlite, ids[0], ids[1], key, pin)

    def there() -> bytes:
        file = Path(sqlite_url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in sorted(file.parent.glob(file.name + "*")))

    assert key.encode() in there()
    reseal(own_sqlite, OLD, None)
    assert key.encode() not in there()
    assert pin.encode() not in there()


def test_all_rows_of_a_large_table_are_encrypted(database: Database, clock: FakeClock) -> None:
    store = Connectors(database, OLD)
    keys = {}
    for _ in range(BATCH + 5):
        connector = a_connector()
        store.add(connector)
        keys[connector.id] = connector.webhook_key
    assert reseal(database, NEW, OLD) == BATCH + 5
    assert {each.id: each.webhook_key for each in Connectors(database, NEW).all()} == keys


def test_two_processes_can_encrypt_at_once_beside_a_rotation(
    database: Database, clock: FakeClock
) -> None:
    ids = fill(database, clock, OLD)
    store, key = Connectors(database, NEW, OLD), "whk_" + "R" * 32

    def act(number: int) -> object:
        return store.rotate(ids[0], key) if number == 0 else reseal(database, NEW, OLD)

    outcomes = at_once(4, act)
    assert not [each for each in outcomes if isinstance(each, Exception)]
    assert Connectors(database, NEW).get(ids[0]).webhook_key == key


def test_a_wrong_secret_prevents_the_start_and_loses_nothing(
    database: Database, clock: FakeClock
) -> None:
    ids = fill(database, clock, OLD)
    rows = stored(database)
    for pair in ((WRONG,), (WRONG, NEW)):
        with pytest.raises(Locked, match=r"^API_SECRET is not the one .* as API_SECRET_PREVIOUS"):
            StoredSecrets(database, clock, *pair).begin(calls_are_up=False)
    assert stored(database) == rows
    assert found(database, clock, ids, OLD)[2] == "4711"


def test_a_wrong_secret_is_noticed_at_the_first_start_after_an_upgrade(
    database: Database, clock: FakeClock
) -> None:
    Connectors(database, OLD).add(a_connector(credentials={"authToken": ("t",)}))
    with pytest.raises(Locked):
        StoredSecrets(database, clock, WRONG).of_rooms()
    assert StoredSecrets(database, clock, NEW, OLD).of_rooms() == OLD


def test_the_previous_secret_is_needed_until_everything_is_encrypted_anew(
    database: Database, clock: FakeClock
) -> None:
    fill(database, clock, OLD)
    starting = StoredSecrets(database, clock, NEW, OLD)
    starting.begin(calls_are_up=True)
    starting.sweep()
    clock.advance(OVERLAP_MILLIS // 1000 - 1)
    starting.sweep()
    with pytest.raises(Locked):
        StoredSecrets(database, clock, NEW).of_rooms()
    clock.advance(1)
    starting.sweep()
    assert StoredSecrets(database, clock, NEW).of_rooms() == OLD


@pytest.mark.parametrize("act", [StoredSecrets.sweep, StoredSecrets.finish])
def test_encryption_is_immediate_without_calls_and_at_the_process_end(
    database: Database, clock: FakeClock, act: object
) -> None:
    ids = fill(database, clock, OLD)
    ending = StoredSecrets(database, clock, NEW, OLD)
    ending.begin(calls_are_up=act is StoredSecrets.finish)
    assert callable(act)
    act(ending)
    assert found(database, clock, ids, NEW)[2] == "4711"


def test_simultaneous_processes_make_one_secret_for_names_of_rooms(
    database: Database, clock: FakeClock
) -> None:
    made = at_once(4, lambda _: StoredSecrets(database, clock, NEW).of_rooms())
    assert made == [NEW] * 4
    assert len(stored(database)) == 1


def test_a_lost_secret_can_be_replaced(database: Database, clock: FakeClock) -> None:
    ids = fill(database, clock, OLD)
    webhook_key = Connectors(database, OLD).get(ids[0]).webhook_key
    StoredSecrets(database, clock, NEW).begin_anew()
    StoredSecrets(database, clock, NEW).begin(calls_are_up=False)
    assert reseal(database, NEW, None) == 0
    connector = Connectors(database, NEW).get(ids[0])
    assert (connector.webhook_key, connector.locked) == (UNREADABLE, True)
    assert Connectors(database, NEW).by_key("twilio", webhook_key) is not None
    # The secret may be found again.
    assert Connectors(database, NEW, OLD).get(ids[0]).webhook_key == webhook_key


def test_a_rule_keeps_a_locked_pin_through_other_changes(
    database: Database, clock: FakeClock
) -> None:
    rule = a_rule(room=LOCKED_ROOM)
    Rules(database, OLD).add(rule)
    other = Rules(database, NEW)
    locked = other.get(rule.id)
    assert locked.room == replace(LOCKED_ROOM, pin=None, is_locked=True)
    other.update(rule.id, lambda rule: replace(rule, name="New"))
    assert Rules(database, OLD).get(rule.id) == replace(rule, name="New")
    other.update(rule.id, lambda rule: replace(rule, room=replace(LOCKED_ROOM, pin="12")))
    assert other.get(rule.id).room.pin == "12"


def test_an_encrypted_pin_cannot_be_moved_to_another_row(database: Database) -> None:
    store, first, second = Rules(database, OLD), a_rule(room=LOCKED_ROOM), a_rule(numbers=())
    store.add(first)
    store.add(second)
    with database.write() as connection:
        connection.execute(
            text("UPDATE routing_rules SET pin = (SELECT max(pin) FROM routing_rules)")
        )
    assert store.get(first.id).room.pin == "4711"
    assert store.get(second.id).room.is_locked
