"""Connections are given out in the order in which threads ask for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from service.errors import Contended
from service.storage.database import Database
from service.storage.fair_slots import FairSlots
from tests.support.nodes import url_of
from tests.support.servers import PATIENCE


def wait_for(slots: FairSlots, count: int) -> None:
    deadline, pause = time.monotonic() + PATIENCE, Event()
    while slots.waiting < count:
        assert time.monotonic() < deadline, "no thread waits"
        pause.wait(0.001)


def test_connection_goes_to_the_thread_that_has_waited_longest(
    migrated_postgres: Database,
) -> None:
    database, order = Database(url_of(migrated_postgres), size=1), []

    def use(name: str) -> None:
        with database.read():
            order.append(name)

    with ThreadPoolExecutor(2) as pool:
        with database.read():
            for number, name in enumerate(("first", "second"), start=1):
                pool.submit(use, name)
                wait_for(database._connecting, number)
        use("the one that had it")
    database.close()
    assert order == ["first", "second", "the one that had it"]


def test_thread_without_a_connection_in_time_gives_up_its_place() -> None:
    slots = FairSlots(1)
    with slots.slot(0):
        with pytest.raises(Contended), slots.slot(0):
            pass
        assert slots.waiting == 0
    with slots.slot(0):
        pass


def test_failed_transactions_give_their_connections_back(migrated_postgres: Database) -> None:
    database = Database(url_of(migrated_postgres), size=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), database.write():
            _ = 1 / 0
    with database.read():
        pass
    database.close()
