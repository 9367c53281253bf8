"""One process at a time has the lease of a database; the end of a process frees it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import update

from service.process import identity
from service.storage.database import Database
from service.storage.lease import Lease, RowLease, lease_of
from service.storage.tables import serving
from tests.support.paths import ROOT
from tests.support.races import at_once

HOLD = """
import sys
from service.storage.database import Database
from service.storage.lease import lease_of
lease = lease_of(Database(sys.argv[1]))
print(lease.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def leases(database: Database) -> tuple[Lease, Lease]:
    """Return the leases of two processes."""
    return lease_of(database), lease_of(database)


def change(database: Database, **values: object) -> None:
    with database.write() as connection:
        connection.execute(update(serving).values(**values))


def test_one_process_takes_the_lease_and_another_is_refused(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    assert one.take()
    assert not other.take()
    assert one.renew()
    one.release()
    assert other.take()
    other.release()


def test_one_of_many_simultaneous_processes_takes_the_lease(database: Database) -> None:
    leases = [lease_of(database) for _ in range(6)]
    taken = at_once(len(leases), lambda index: leases[index].take())
    assert sorted(taken) == [False] * 5 + [True]
    for lease in leases:
        lease.release()


def test_releasing_another_processs_lease_changes_nothing(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    other.release()
    assert not other.take()
    one.release()


@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_lease_of_a_killed_process_ends(kind: str, request: pytest.FixtureRequest) -> None:
    fixture = "sqlite_database" if kind == "sqlite" else "migrated_postgres"
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
    lease = lease_of(database)
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
def test_the_lease_of_a_process_on_another_machine_has_to_expire(
    migrated_postgres: Database, values: dict[str, object]
) -> None:
    one, other = RowLease(migrated_postgres), RowLease(migrated_postgres)
    assert one.take()
    change(migrated_postgres, **values)
    assert not other.take()
    assert one.renew()
    change(migrated_postgres, expires_at=1)
    assert other.take()
    assert not one.renew()
    other.release()


def test_a_reused_process_id_holds_no_lease(
    migrated_postgres: Database,
) -> None:
    one, other = RowLease(migrated_postgres), RowLease(migrated_postgres)
    assert one.take()
    change(migrated_postgres, pid_began="1")
    assert other.take()
    other.release()


def test_a_deleted_lease_is_written_again(migrated_postgres: Database) -> None:
    one, other = RowLease(migrated_postgres), RowLease(migrated_postgres)
    assert one.take()
    with migrated_postgres.write() as connection:
        connection.execute(serving.delete())
    assert one.renew()
    assert not other.take()
    one.release()
