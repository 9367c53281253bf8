"""Loudness records of legs, on both kinds of database."""

from __future__ import annotations

import pytest

from service.domain.loudness import Loudness
from service.storage.calls.calls import Calls
from service.storage.calls.loudness import LoudnessRecords
from service.storage.database import Database
from tests.support.records import a_call


@pytest.fixture
def records(database: Database) -> LoudnessRecords:
    for call_id in ("c1", "c2"):
        Calls(database).admit(a_call(id=call_id, provider_call_id=call_id), None, 10)
    return LoudnessRecords(database)


def test_records_come_back_as_they_were_oldest_first(records: LoudnessRecords) -> None:
    first = Loudness("leg-1", 1_000, bytes(range(256)), bytes(256))
    second = Loudness("leg-2", 2_000, b"", b"")
    records.add("c1", second)
    records.add("c1", first)
    records.add("c2", Loudness("leg-3", 500, b"\1", b"\2"))
    assert records.of("c1") == [first, second]
    assert records.of("nobody") == []


def test_adding_a_record_again_changes_nothing(records: LoudnessRecords) -> None:
    record = Loudness("leg-1", 1_000, b"\1", b"\2")
    records.add("c1", record)
    records.add("c1", Loudness("leg-1", 9_000, b"\3", b"\4"))
    assert records.of("c1") == [record]
