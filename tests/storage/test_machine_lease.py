"""The nodes of one machine at a time have the lease of a database; their end frees it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import update

from service.process import identity
from service.storage.cluster.machine_lease import MachineLease, RowLease, lease_of, open_file
from service.storage.database import Database
from service.storage.tables import serving
from tests.support.clusters import Cluster, DatabaseTime
from tests.support.paths import ROOT
from tests.support.races import at_once

HOLD = """
import sys
from service.storage.database import Database
from service.storage.cluster.nodes import Nodes
print(Nodes(Database(sys.argv[1]), "nd_killed", "secret").register(), flush=True)
sys.stdin.read()
"""


class Lease:
    """The lease in transactions of its own."""

    def __init__(self, database: Database, lease: MachineLease) -> None:
        self._database = database
        self._lease = lease

    def take(self) -> bool:
        with self._database.write() as connection:
            return self._lease.take(connection)

    def renew(self) -> bool:
        with self._database.write() as connection:
            return self._lease.renew(connection)

    def release(self) -> None:
        with self._database.write() as connection:
            self._lease.release(connection)


def a_lease(database: Database, machine: str) -> Lease:
    return Lease(database, lease_of(database, machine))


@pytest.fixture
def leases(database: Database) -> tuple[Lease, Lease]:
    """Return the leases of two machines."""
    return a_lease(database, "one"), a_lease(database, "other")


@pytest.fixture
def time() -> DatabaseTime:
    return DatabaseTime()


def a_row_lease(database: Database, machine: str, time: DatabaseTime) -> Lease:
    return Lease(database, RowLease(machine, time.expression))


def change(database: Database, **values: object) -> None:
    with database.write() as connection:
        connection.execute(update(serving).values(**values))


def test_one_machine_takes_the_lease_and_another_is_refused(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    assert one.take()
    assert not other.take()
    assert one.renew()
    one.release()
    assert other.take()
    other.release()


def test_one_of_many_simultaneous_machines_takes_the_lease(database: Database) -> None:
    leases = [a_lease(database, f"{number}") for number in range(6)]
    taken = at_once(len(leases), lambda index: leases[index].take())
    assert sorted(taken) == [False] * 5 + [True]
    for lease in leases:
        lease.release()


def test_simultaneous_nodes_of_one_machine_all_take_the_lease(postgres_database: Database) -> None:
    leases = [a_lease(postgres_database, "one") for _ in range(6)]
    assert at_once(len(leases), lambda index: leases[index].take()) == [True] * 6


def test_releasing_another_machines_lease_changes_nothing(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    other.release()
    assert not other.take()
    one.release()


def test_nodes_of_one_machine_have_the_lease_together(sqlite_database: Database) -> None:
    url = sqlite_database._url.render_as_string(hide_password=False)
    descriptor = open_file(url)
    assert descriptor is not None
    with closing(os.fdopen(descriptor)):
        # Workers that were forked have copies of the descriptor.
        copies = [os.dup(descriptor) for _ in range(2)]
        one, two = (
            Lease(sqlite_database, lease_of(sqlite_database, "one", copy)) for copy in copies
        )
        other = a_lease(sqlite_database, "other")
        assert (one.take(), two.take(), other.take()) == (True, True, False)
        os.close(copies[0])
        assert not other.take()
        two.release()
        assert other.take()
        assert not two.take()
        other.release()
        os.close(copies[1])


def test_postgres_needs_no_open_file() -> None:
    assert open_file("postgresql+psycopg://host/name") is None


@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_lease_of_a_killed_process_ends(kind: str, request: pytest.FixtureRequest) -> None:
    fixture = f"{kind}_database"
    database: Database = request.getfixturevalue(fixture)
    url = database._url.render_as_string(hide_password=False)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    lease = a_lease(database, "next")
    assert not lease.take()
    holder.send_signal(signal.SIGKILL)
    # Not waited for: a zombie process holds no lease either.
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    assert lease.take()
    lease.release()
    holder.communicate()


@pytest.mark.parametrize(
    "values", [{"machine": "another boot", "pid_began": "1"}, {"machine": None, "pid_began": None}]
)
def test_the_lease_of_another_host_has_to_expire(
    postgres_database: Database, time: DatabaseTime, values: dict[str, object]
) -> None:
    one, other = (a_row_lease(postgres_database, name, time) for name in ("one", "other"))
    assert one.take()
    change(postgres_database, **values)
    time.advance(9.9)
    assert not other.take()
    assert one.renew()
    change(postgres_database, **values)
    time.advance(9.9)
    assert not other.take()
    time.advance(0.1)
    assert other.take()
    assert not one.renew()


def test_a_reused_process_id_holds_no_lease(postgres_database: Database) -> None:
    one, other = a_lease(postgres_database, "one"), a_lease(postgres_database, "other")
    assert one.take()
    change(postgres_database, pid_began="1")
    assert other.take()
    other.release()


def test_a_machine_with_a_live_node_has_its_lease_though_another_node_was_killed(
    postgres_database: Database, time: DatabaseTime
) -> None:
    assert Cluster(postgres_database, time).node("nd_live").register()
    # As if the node that has renewed the lease last had ended.
    change(postgres_database, pid_began="1")
    assert not a_row_lease(postgres_database, "other", time).take()


def test_a_deleted_lease_is_written_again(postgres_database: Database) -> None:
    one, other = a_lease(postgres_database, "one"), a_lease(postgres_database, "other")
    assert one.take()
    with postgres_database.write() as connection:
        connection.execute(serving.delete())
    assert one.renew()
    assert not other.take()
    one.release()
