"""The number of statements for each step of a call: a cost that no clock has to measure.

A higher bound makes every call more expensive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from service.domain.calls import EndReason, LadderEvent
from service.domain.connectors import Connector
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegClosed, LegStarted, LegStep, Report
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, ref_of
from tests.support.records import a_connector
from tests.support.statements import said

WEBHOOK, CLAIM, STARTED, HEARD, SPOKEN_TO, CLOSED = 20, 10, 17, 6, 5, 17
"""Each includes the ``BEGIN`` and ``COMMIT`` of its transactions."""

START_OF_A_CALL = 20
"""For one more call whose start and first audio, both ways, are written with others."""

END_OF_A_CALL = 13


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def connector(harness: Harness) -> Connector:
    """Its room is there already, as it is for every call but the first."""
    connector = harness.connect(a_connector())
    harness.webhook(connector, CallSid="CA-first")
    return connector


def asked(work: Callable[[], object]) -> int:
    with said() as statements:
        work()
    return len(statements)


def a_leg(harness: Harness, connector: Connector, number: int) -> LegSpec:
    return harness.admission.claim(
        "twilio", ref_of(harness.webhook(connector, CallSid=f"CA{number}"))
    )


def started(spec: LegSpec) -> LegStarted:
    return LegStarted(spec.call_id, spec.leg_id, f"session-{spec.call_id}", 2_000)


def heard(spec: LegSpec) -> LegStep:
    return LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_IN, 2_001)


def spoken_to(spec: LegSpec) -> LegStep:
    return LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_OUT, 2_002)


def closed(spec: LegSpec) -> LegClosed:
    return LegClosed(spec.call_id, spec.leg_id, EndReason.CALLER_HUNG_UP, "stop", {}, 3_000)


def test_a_call_takes_a_bounded_number_of_statements(
    harness: Harness, connector: Connector
) -> None:
    record = harness.recorder.record
    assert asked(lambda: harness.webhook(connector, CallSid="CA0")) <= WEBHOOK
    ref = ref_of(harness.webhook(connector, CallSid="CA1"))
    specs: list[LegSpec] = []
    assert asked(lambda: specs.append(harness.admission.claim("twilio", ref))) <= CLAIM
    (spec,) = specs
    assert asked(lambda: record(started(spec))) <= STARTED
    assert asked(lambda: record(heard(spec))) <= HEARD
    assert asked(lambda: record(spoken_to(spec))) <= SPOKEN_TO
    assert asked(lambda: record(closed(spec))) <= CLOSED


def test_calls_written_in_one_transaction_take_fewer_statements_each(
    harness: Harness, connector: Connector
) -> None:
    specs = [a_leg(harness, connector, number) for number in range(4)]

    def together(reports: Sequence[Report]) -> int:
        with said() as statements, harness.database.together():
            for report in reports:
                harness.recorder.record(report)
        return len(statements)

    def more_of_three_than_of_one(*kinds: Callable[[LegSpec], Report]) -> int:
        one = together([kind(specs[0]) for kind in kinds])
        return together([kind(spec) for kind in kinds for spec in specs[1:]]) - one

    assert more_of_three_than_of_one(started, heard, spoken_to) <= 2 * START_OF_A_CALL
    assert more_of_three_than_of_one(closed) <= 2 * END_OF_A_CALL
