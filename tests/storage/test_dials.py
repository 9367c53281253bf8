"""The daily count of dialled numbers, on both kinds of database."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from service.domain.calls import Call, CallStatus, Direction
from service.errors import Conflict, Forbidden
from service.storage.calls import dials
from service.storage.calls.calls import Calls
from service.storage.calls.dials import DAY
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.tables import dials as table
from tests.support.races import at_once
from tests.support.records import a_call


def placed(at: int) -> Call:
    return a_call(direction=Direction.OUTBOUND, status=CallStatus.INITIATED, started_at=at)


def counted(database: Database) -> dict[int, int]:
    with database.read() as connection:
        return {row.day: row.count for row in connection.execute(select(table))}


def test_concurrent_dials_stay_within_the_limit(
    database: Database,
) -> None:
    def dial(_: int) -> bool:
        with database.write() as connection:
            dials.count(connection, 5, 3)
        return True

    outcomes = at_once(8, dial)
    assert outcomes.count(True) == 3
    refused = [each for each in outcomes if each is not True]
    assert all(isinstance(each, Forbidden) for each in refused)
    assert {str(each) for each in refused} == {
        "DIAL_PER_DAY is 3, and as many numbers have been dialled today."
    }
    assert counted(database) == {0: 3}


def test_placed_calls_and_transfers_are_counted_together(database: Database) -> None:
    steering, calls = StoredSteering(database), Calls(database)
    up = a_call(status=CallStatus.ANSWERED, leg_id="leg")
    calls.add(up)
    assert steering.place_call(placed(5), 10, 2)
    steering.begin_transfer(up.id, "+14155550123", 6, 2)
    refused = placed(7)
    with pytest.raises(Forbidden):
        steering.place_call(refused, 10, 2)
    assert calls.find(refused.connector_id, refused.provider_call_id) is None


def test_refused_dials_do_not_count(database: Database) -> None:
    steering, calls = StoredSteering(database), Calls(database)
    over = a_call(status=CallStatus.ENDED)
    calls.add(over)
    with pytest.raises(Conflict):
        steering.begin_transfer(over.id, "+14155550123", 6, 2)
    assert not steering.place_call(placed(5), 0, 2)
    assert counted(database) == {}


def test_a_limit_of_zero_allows_no_dial(database: Database) -> None:
    with pytest.raises(Forbidden):
        StoredSteering(database).place_call(placed(5), 10, 0)


def test_counts_are_shared_by_processes_and_start_anew_each_day(
    database: Database,
) -> None:
    assert StoredSteering(database).place_call(placed(DAY - 1), 10, 1)
    assert StoredSteering(database).place_call(placed(DAY), 10, 1)
    with pytest.raises(Forbidden):
        StoredSteering(database).place_call(placed(2 * DAY - 1), 10, 1)
    assert StoredSteering(database).place_call(placed(2 * DAY), 10, 1)
    assert counted(database) == {1: 1, 2: 1}


def test_node_whose_day_still_goes_on_has_no_second_count(database: Database) -> None:
    assert StoredSteering(database).place_call(placed(DAY - 1), 10, 1)
    assert StoredSteering(database).place_call(placed(DAY), 10, 1)
    with pytest.raises(Forbidden):
        StoredSteering(database).place_call(placed(DAY - 1), 10, 1)
