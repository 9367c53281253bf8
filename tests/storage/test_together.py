"""What one thread does together is one transaction: it is committed as a whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

import pytest
from sqlalchemy.exc import DBAPIError

from service.domain.calls import CallStatus, EndReason
from service.errors import Conflict, Contended, Invalid
from service.storage.calls.calls import Calls
from service.storage.calls.rows import locked
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.races import at_once
from tests.support.records import a_call, a_connector

LOCK_NOT_AVAILABLE = "55P03"
"""Of Postgres. It would be another word where Postgres had chosen who gives way."""


@pytest.fixture
def store(database: Database) -> Connectors:
    return Connectors(database, "secret")


def names(store: Connectors) -> list[str | None]:
    return [connector.name for connector in reversed(store.all())]


def fail_together(database: Database, work: Callable[[], object]) -> None:
    with database.together():
        work()
        raise ZeroDivisionError


def test_what_is_done_together_is_seen_by_others_when_all_of_it_is_done(
    database: Database, store: Connectors
) -> None:
    def look(_: int) -> int:
        return len(store.all())

    with database.together():
        store.add(a_connector(name="first"))
        store.add(a_connector(name="second"))
        assert at_once(1, look) == [0]
        assert names(store) == ["first", "second"]
    assert at_once(1, look) == [2]


def test_one_failure_undoes_all_that_was_done_together(
    database: Database, store: Connectors
) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_together(database, lambda: store.add(a_connector()))
    assert names(store) == []
    store.add(a_connector(name="later"))
    assert names(store) == ["later"]


def test_a_failure_that_somebody_has_dealt_with_undoes_everything_too(
    database: Database, store: Connectors
) -> None:
    call, phone_calls = a_call(), Calls(database)

    def add_twice() -> None:
        with database.together():
            store.add(a_connector())
            assert phone_calls.admit(call, "digest", 9)
            with pytest.raises(Conflict):
                phone_calls.add(call)

    with pytest.raises(Conflict):
        add_twice()
    assert names(store) == []
    assert phone_calls.page().total == 0


def test_what_cannot_be_stored_is_invalid_together_with_anything(database: Database) -> None:
    store = Connectors(database, "secret")

    def add() -> None:
        with database.together():
            store.add(a_connector())
            store.add(a_connector(name="\ud800"))

    with pytest.raises(Invalid, match="cannot be stored"):
        add()
    assert names(store) == []


def test_bells_ring_once_everything_is_there_and_not_before(database: Database) -> None:
    signal = database.signals[ChangeSignal.OUTBOX]
    signal.clear()
    with database.together():
        with database.write() as connection:
            notify_after_commit(connection, ChangeSignal.OUTBOX)
        assert not signal.is_set()
    assert signal.is_set()


def test_no_bell_rings_for_what_was_undone(database: Database) -> None:
    def begin() -> None:
        with database.write() as connection:
            notify_after_commit(connection, ChangeSignal.OUTBOX)

    database.signals[ChangeSignal.OUTBOX].clear()
    with pytest.raises(ZeroDivisionError):
        fail_together(database, begin)
    assert not database.signals[ChangeSignal.OUTBOX].is_set()


def test_what_follows_waits_for_the_commit_and_keeps_its_order(
    database: Database, store: Connectors
) -> None:
    seen: list[object] = []
    with database.together():
        database.afterwards(lambda: seen.append(at_once(1, lambda _: names(store))))
        store.add(a_connector(name="first"))
        database.afterwards(seen.append, "second")
        assert seen == []
    assert seen == [[["first"]], "second"]


def test_what_follows_from_a_transaction_of_its_own_follows_at_once(database: Database) -> None:
    done = Event()
    database.afterwards(done.set)
    assert done.is_set()


def test_nothing_follows_from_what_was_undone(database: Database) -> None:
    done = Event()
    with pytest.raises(ZeroDivisionError):
        fail_together(database, lambda: database.afterwards(done.set))
    with database.together():
        pass
    assert not done.is_set()


def test_one_consequence_that_fails_stops_no_other(
    database: Database, store: Connectors, caplog: pytest.LogCaptureFixture
) -> None:
    done = Event()

    def fail() -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR), database.together():
        store.add(a_connector(name="kept"))
        database.afterwards(fail)
        database.afterwards(done.set)
    assert done.is_set()
    assert names(store) == ["kept"]
    assert "an action after a commit failed" in caplog.text


def test_of_two_that_wait_for_each_other_the_one_that_does_several_things_gives_way(
    migrated_postgres: Database,
) -> None:
    """SQLite has one writer, so nobody waits for a second one there."""
    store = Calls(migrated_postgres)
    one, other = a_call(), a_call()
    store.add(one)
    store.add(other)
    holds_one, holds_other = Event(), Event()

    def several() -> None:
        with migrated_postgres.together():
            store.end(one.id, EndReason.REMOVED, 2_000)
            holds_one.set()
            assert holds_other.wait(30)
            store.end(other.id, EndReason.REMOVED, 3_000)

    def alone() -> None:
        with migrated_postgres.write() as connection:
            assert locked(connection, other.id)
            holds_other.set()
            assert holds_one.wait(30)
            assert locked(connection, one.id)

    gave_way, went_on = at_once(2, lambda index: (several, alone)[index]())
    assert isinstance(gave_way, Contended)
    assert isinstance(gave_way.__cause__, DBAPIError)
    assert getattr(gave_way.__cause__.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE
    assert went_on is None
    assert store.get(one.id).status is CallStatus.INCOMING
