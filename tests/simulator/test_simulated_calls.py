"""Test calls against a small real server: their limit, and the calls that are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from service.errors import Conflict, NotFound
from service.simulator.scenario import Scenario
from service.simulator.simulated_calls import KEPT, SimulatedCall, SimulatedCalls
from tests.support import counterpart
from tests.support.counterpart import Counterpart

STREAM = '<Response><Connect><Stream url="{media}/twilio/REF"/></Connect><Hangup/></Response>'
REJECT = "<Response><Reject/></Response>"
PATIENCE = 20


@pytest.fixture
def server() -> Iterator[Counterpart]:
    with counterpart.running(STREAM) as running:
        running.talks = [counterpart.echo]
        yield running


@pytest.fixture
def two() -> Iterator[SimulatedCalls]:
    calls = SimulatedCalls(2)
    yield calls
    calls.stop()


def scenario(server: Counterpart) -> Scenario:
    return Scenario(webhook_url=server.url("twilio"), loop=True, seconds=60)


def over(calls: SimulatedCalls, call_id: str) -> SimulatedCall:
    """Wait until the call has ended, and return it."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while (call := calls.get(call_id)).report is None:
        assert time.monotonic() < deadline, "it is not over"
        pause.wait(0.01)
    return call


def test_limit_of_zero_disables_test_calls(server: Counterpart) -> None:
    with pytest.raises(Conflict, match=r"^Test calls are off: set TEST_CALLS"):
        SimulatedCalls(0).place("cn_1", scenario(server))
    assert server.requests == []


def test_calls_beyond_the_limit_are_refused(server: Counterpart, two: SimulatedCalls) -> None:
    first, second = two.place("cn_1", scenario(server)), two.place("cn_2", scenario(server))
    with pytest.raises(Conflict, match=r"^2 test calls are up, and no more may be"):
        two.place("cn_1", scenario(server))
    assert [call.id for call in two.all()] == [second.id, first.id]


def test_hanging_up_frees_a_place(server: Counterpart, two: SimulatedCalls) -> None:
    first = two.place("cn_1", scenario(server))
    two.place("cn_1", scenario(server))
    two.hang_up(first.id)
    assert over(two, first.id).report.ended == "caller-hung-up"
    assert two.place("cn_1", scenario(server)).report is None


def test_ended_call_keeps_its_ladder_and_report(server: Counterpart, two: SimulatedCalls) -> None:
    server.answers = [REJECT]
    ended = over(two, two.place("cn_1", scenario(server)).id)
    assert [rung.name for rung in ended.ladder] == ["webhook", "markup", "end"]
    assert ended.report.trouble == "The call was turned away (rejected)."
    assert two.hang_up(ended.id) == ended


def test_oldest_calls_are_dropped(server: Counterpart, two: SimulatedCalls) -> None:
    server.answers = [REJECT]
    ids = [over(two, two.place("cn_1", scenario(server)).id).id for _ in range(KEPT + 2)]
    assert [call.id for call in two.all()] == ids[:1:-1]
    with pytest.raises(NotFound, match=r"^Test call not found\.$"):
        two.get(ids[0])


def test_stop_ends_calls_and_refuses_new_ones(server: Counterpart, two: SimulatedCalls) -> None:
    placed = two.place("cn_1", scenario(server))
    two.stop()
    assert two.get(placed.id).report.ended == "caller-hung-up"
    with pytest.raises(Conflict, match="is ending"):
        two.place("cn_1", scenario(server))
