"""The keeper: a node has the database until it is released, or another machine has taken it."""

from __future__ import annotations

import threading

from sqlalchemy import delete, select, update

from service.storage.database import Database
from service.storage.tables import nodes, serving
from tests.support.clocks import FakeClock
from tests.support.keepers import a_keeper


def test_second_machine_gets_the_database_once_the_first_releases_it(
    database: Database, clock: FakeClock
) -> None:
    first, second = a_keeper(database, clock), a_keeper(database, clock)
    assert first.join()
    assert first.join()
    assert not second.join()
    assert (first.holds, second.holds) == (True, False)
    first.close()
    assert not first.holds
    assert second.join()
    second.close()
    with database.read() as connection:
        assert connection.scalars(select(nodes.c.id)).all() == []


def test_released_node_does_not_join(database: Database, clock: FakeClock) -> None:
    keeper = a_keeper(database, clock)
    keeper.release()
    assert not keeper.join()


def test_database_that_another_machine_has_taken_is_noticed(
    postgres_database: Database, clock: FakeClock
) -> None:
    lost = threading.Event()
    keeper = a_keeper(postgres_database, clock, lost.set)
    assert keeper.join()
    with postgres_database.write() as connection:
        connection.execute(update(serving).values(holder="another", pid_began=None, machine=None))
    assert lost.wait(30)
    assert not keeper.holds
    keeper.close()
    with postgres_database.write() as connection:
        connection.execute(delete(serving))
