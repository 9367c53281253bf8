"""Shared transactions: all reads and writes of a thread are committed together or not at all."""

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
"""SQLSTATE of Postgres for a lock timeout. Its deadlock detector has another one."""


@pytest.fixture
def store(database: Database) -> Connectors:
    return Connectors(database, "secret")


def names(store: Connectors) -> list[str | None]:
    return [connector.name for connector in reversed(store.all())]


def fail_together(database: Database, work: Callable[[], object]) -> None:
    with database.together():
        work()
        raise ZeroDivisionError


def test_a_shared_transaction_is_visible_only_after_its_commit(
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


def test_one_failure_rolls_back_a_shared_transaction(database: Database, store: Connectors) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_together(database, lambda: store.add(a_connector()))
    assert names(store) == []
    store.add(a_connector(name="later"))
    assert names(store) == ["later"]


def test_a_handled_failure_rolls_back_a_shared_transaction(
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


def test_invalid_text_rolls_back_a_shared_transaction(database: Database) -> None:
    store = Connectors(database, "secret")

    def add() -> None:
        with database.together():
            store.add(a_connector())
            store.add(a_connector(name="\ud800"))

    with pytest.raises(Invalid, match="cannot be stored"):
        add()
    assert names(store) == []


def test_change_signals_are_set_after_the_shared_commit(database: Database) -> None:
    signal = database.signals[ChangeSignal.OUTBOX]
    signal.clear()
    with database.together():
        with database.write() as connection:
            notify_after_commit(connection, ChangeSignal.OUTBOX)
        assert not signal.is_set()
    assert signal.is_set()


def test_a_rolled_back_shared_transaction_sets_no_signal(database: Database) -> None:
    def begin() -> None:
        with database.write() as connection:
            notify_after_commit(connection, ChangeSignal.OUTBOX)

    database.signals[ChangeSignal.OUTBOX].clear()
    with pytest.raises(ZeroDivisionError):
        fail_together(database, begin)
    assert not database.signals[ChangeSignal.OUTBOX].is_set()


def test_actions_after_a_commit_run_in_order(database: Database, store: Connectors) -> None:
    seen: list[object] = []
    with database.together():
        database.afterwards(lambda: seen.append(at_once(1, lambda _: names(store))))
        store.add(a_connector(name="first"))
        database.afterwards(seen.append, "second")
        assert seen == []
    assert seen == [[["first"]], "second"]


def test_an_action_outside_a_shared_transaction_runs_at_once(database: Database) -> None:
    done = Event()
    database.afterwards(done.set)
    assert done.is_set()


def test_no_action_runs_after_a_rollback(database: Database) -> None:
    done = Event()
    with pytest.raises(ZeroDivisionError):
        fail_together(database, lambda: database.afterwards(done.set))
    with database.together():
        pass
    assert not done.is_set()


def test_a_failed_action_does_not_stop_the_others(
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


def test_a_shared_transaction_times_out_first_in_a_deadlock(
    migrated_postgres: Database,
) -> None:
    """SQLite has one writer, so that no transaction waits for a second one there."""
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
