"""One process at a time has a database; one that has ended is followed at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from service.process import identity
from service.storage.database import Database
from service.storage.lease import Lease, RowLease, lease_of
from service.storage.tables import serving
from tests.support.races import at_once

ROOT = Path(__file__).parents[2]

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
    """Those of two processes."""
    return lease_of(database), lease_of(database)


def change(database: Database, **values: object) -> None:
    with database.write() as connection:
        connection.execute(update(serving).values(**values))


def test_one_takes_it_and_the_other_does_not(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    assert one.take()
    assert not other.take()
    assert one.renew()
    one.release()
    assert other.take()
    other.release()


def test_of_several_that_begin_at_once_one_takes_it(database: Database) -> None:
    leases = [lease_of(database) for _ in range(6)]
    taken = at_once(len(leases), lambda index: leases[index].take())
    assert sorted(taken) == [False] * 5 + [True]
    for lease in leases:
        lease.release()


def test_releasing_what_another_has_changes_nothing(leases: tuple[Lease, Lease]) -> None:
    one, other = leases
    assert one.take()
    other.release()
    assert not other.take()
    one.release()


@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_process_that_was_killed_has_it_no_more(
    kind: str, request: pytest.FixtureRequest
) -> None:
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
    # Not waited for: a process that has ended and is still listed holds nothing either.
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    assert lease.take()
    lease.release()
    holder.communicate()


@pytest.mark.parametrize(
    "values", [{"machine": "another boot", "pid_began": "1"}, {"machine": None, "pid_began": None}]
)
def test_of_a_process_elsewhere_the_lease_has_to_expire(
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


def test_a_process_id_that_was_given_to_another_process_holds_nothing(
    migrated_postgres: Database,
) -> None:
    one, other = RowLease(migrated_postgres), RowLease(migrated_postgres)
    assert one.take()
    change(migrated_postgres, pid_began="1")
    assert other.take()
    other.release()


def test_a_lease_that_is_gone_is_written_again(migrated_postgres: Database) -> None:
    one, other = RowLease(migrated_postgres), RowLease(migrated_postgres)
    assert one.take()
    with migrated_postgres.write() as connection:
        connection.execute(serving.delete())
    assert one.renew()
    assert not other.take()
    one.release()
