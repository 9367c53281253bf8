"""Stored signing keys, on both kinds of database."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from service.security.key_pairs import KeyPair
from service.storage.database import Database
from service.storage.tables import signing_keys
from service.storage.webhooks.signing_keys import DAY, SigningKeys
from tests.support.clocks import FakeClock
from tests.support.keyrings import a_pair
from tests.support.races import at_once

SECRET = "secret" * 8


@pytest.fixture
def keys(database: Database, clock: FakeClock) -> SigningKeys:
    return SigningKeys(database, clock, SECRET, None)


def others(database: Database, clock: FakeClock, given: KeyPair | None = None) -> SigningKeys:
    """Return the keys as another process sees them."""
    return SigningKeys(database, clock, SECRET, given and given.private_pem())


def rows(database: Database) -> list[tuple[str, bool, bool]]:
    """Return each key's id, whether its private half is stored, and whether it is retired."""
    with database.read() as connection:
        found = connection.execute(select(signing_keys).order_by(signing_keys.c.seq)).all()
    return [(row.id, row.private_key is not None, row.retired_at is not None) for row in found]


def published(keys: SigningKeys) -> list[tuple[str, int | None]]:
    return [(key.id, key.valid_until) for key in keys.published().keys]


def test_a_key_is_made_on_first_use_and_stays(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    pair = keys.current()
    assert keys.current() is pair
    again = others(database, clock).current()
    assert (again.id, again.public_key) == (pair.id, pair.public_key)
    assert again.private_pem() == pair.private_pem()
    assert rows(database) == [(pair.id, True, False)]


def test_the_private_half_is_not_stored_in_the_clear(database: Database, keys: SigningKeys) -> None:
    pem = keys.current().private_pem()
    with database.read() as connection:
        (row,) = connection.execute(select(signing_keys)).all()
    assert row.private_key.startswith("v1.")
    assert not any(line in str(tuple(row)) for line in pem.splitlines()[1:-1])


def test_one_of_many_simultaneous_first_keys_wins(database: Database, clock: FakeClock) -> None:
    processes = [others(database, clock) for _ in range(4)]
    found = at_once(4, lambda index: processes[index].current().id)
    assert len(set(found)) == 1
    assert rows(database) == [(found[0], True, False)]


def test_a_rotation_is_noticed_by_other_processes_and_keeps_the_public_half_for_a_day(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    before = keys.current()
    clock.advance(1)
    retired = clock.now()
    after = others(database, clock).rotate()
    assert after.id != before.id
    assert keys.current().id == after.id
    assert rows(database) == [(before.id, False, True), (after.id, True, False)]
    assert published(keys) == [(after.id, None), (before.id, retired + DAY)]
    assert keys.published().keys[1].public_key == before.public_key
    clock.advance(DAY / 1000 - 0.001)
    assert len(keys.published().keys) == 2
    clock.advance(0.001)
    assert published(keys) == [(after.id, None)]


def test_an_expired_key_is_deleted_at_the_next_rotation(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    first = keys.rotate()
    clock.advance(1)
    second = keys.rotate()
    clock.advance(DAY / 1000)
    third = keys.rotate()
    assert first.id not in [row[0] for row in rows(database)]
    assert rows(database) == [(second.id, False, True), (third.id, True, False)]


def test_a_rotation_without_a_key_makes_the_first(database: Database, keys: SigningKeys) -> None:
    pair = keys.rotate()
    assert keys.current().id == pair.id
    assert rows(database) == [(pair.id, True, False)]


def test_simultaneous_rotations_leave_one_signing_key(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    made = [pair.id for pair in at_once(3, lambda _: keys.rotate()) if isinstance(pair, KeyPair)]
    assert len(made) == 3
    assert [row for row in rows(database) if not row[2]] == [(keys.current().id, True, False)]
    assert {key.id for key in keys.published().keys} == set(made)


def test_a_key_encrypted_under_another_secret_is_replaced_and_not_published(
    database: Database, clock: FakeClock, caplog: pytest.LogCaptureFixture, keys: SigningKeys
) -> None:
    locked = SigningKeys(database, clock, "another" * 8, None).current()
    assert keys.published().keys[0].id != locked.id
    pair = keys.current()
    assert published(keys) == [(pair.id, None)]
    assert rows(database) == [(pair.id, True, False)]
    (warning,) = caplog.messages
    assert warning == (
        "The key that webhooks were signed with cannot be read with this API_SECRET: "
        f"{pair.id} signs from now on, and receivers must read the public key again."
    )


def test_a_rotation_publishes_no_key_encrypted_under_another_secret(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    SigningKeys(database, clock, "another" * 8, None).current()
    pair = keys.rotate()
    assert rows(database) == [(pair.id, True, False)]


def test_a_given_key_signs_and_its_private_half_is_not_stored(
    database: Database, clock: FakeClock
) -> None:
    given = a_pair()
    keys = others(database, clock, given)
    assert keys.current().private_pem() == given.private_pem()
    assert published(keys) == [(given.id, None)]
    assert rows(database) == [(given.id, False, False)]


def test_each_change_of_the_given_key_is_a_rotation(database: Database, clock: FakeClock) -> None:
    first, second = a_pair(), a_pair(1)
    others(database, clock, first).current()
    clock.advance(1)
    assert published(others(database, clock, second)) == [
        (second.id, None),
        (first.id, clock.now() + DAY),
    ]
    clock.advance(1)
    assert published(others(database, clock, first)) == [
        (first.id, None),
        (second.id, clock.now() + DAY),
    ]


def test_two_processes_with_different_given_keys_do_not_alternate(
    database: Database, clock: FakeClock
) -> None:
    earlier = others(database, clock, a_pair())
    assert earlier.current().id == a_pair().id
    later = others(database, clock, a_pair(1))
    assert later.current().id == a_pair(1).id
    assert earlier.current().id == a_pair().id
    assert rows(database) == [(a_pair().id, False, True), (a_pair(1).id, False, False)]


def test_a_key_is_made_when_none_is_given_any_more(
    database: Database, clock: FakeClock, keys: SigningKeys
) -> None:
    others(database, clock, a_pair()).current()
    clock.advance(1)
    pair = keys.current()
    assert pair.id != a_pair().id
    assert published(keys) == [(pair.id, None), (a_pair().id, clock.now() + DAY)]
