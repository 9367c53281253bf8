"""The lease guard: held until it is released, and lost where another process takes it."""

from __future__ import annotations

import threading

from sqlalchemy import update

from service.calls.lease_guard import LeaseGuard
from service.storage.database import Database
from service.storage.lease import lease_of
from service.storage.tables import serving


def a_guard(database: Database, lost: threading.Event | None = None) -> LeaseGuard:
    return LeaseGuard(lease_of(database), (lost or threading.Event()).set)


def test_second_guard_gets_the_lease_once_the_first_releases_it(database: Database) -> None:
    first, second = a_guard(database), a_guard(database)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert (first.holds, second.holds) == (True, False)
    first.close()
    assert not first.holds
    assert second.acquire()
    second.close()


def test_released_guard_takes_no_lease(database: Database) -> None:
    guard = a_guard(database)
    guard.release()
    assert not guard.acquire()


def test_lease_that_another_process_has_taken_is_noticed(migrated_postgres: Database) -> None:
    lost = threading.Event()
    guard = a_guard(migrated_postgres, lost)
    assert guard.acquire()
    with migrated_postgres.write() as connection:
        connection.execute(update(serving).values(holder="another"))
    assert lost.wait(30)
    assert not guard.holds
    guard.close()
    with migrated_postgres.write() as connection:
        connection.execute(serving.delete())
