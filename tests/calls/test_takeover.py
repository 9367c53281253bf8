"""The takeover and the sweeps: only the machine that has the lease changes calls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.calls.recorder_thread import RecorderThread
from service.calls.serving_state import NOT_SHARED
from service.calls.sweeps import Sweeps
from service.calls.takeover import Takeover
from service.cluster.keeper import Keeper
from service.domain.calls import CallStatus
from service.errors import Busy
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, keyed, ref_of
from tests.support.keepers import a_keeper
from tests.support.provider_apis import CREDENTIALS
from tests.support.records import a_connector

NEW, OLD = "n" * 64, "o" * 64


@pytest.fixture
def other(database: Database, clock: FakeClock) -> Iterator[Keeper]:
    """The keeper of another machine, which has the lease."""
    with closing(a_keeper(database, clock)) as keeper:
        assert keeper.join()
        yield keeper


def test_takeover_without_the_lease_leaves_the_calls(each_harness: Harness, other: Keeper) -> None:
    connector = each_harness.connect(a_connector())
    each_harness.start(ref_of(each_harness.webhook(connector)))
    takeover = each_harness.takeover(each_harness.timekeeper())
    assert not takeover.attempt()
    assert each_harness.call(connector).detached_at is None
    other.release()
    other.close()
    assert takeover.attempt()
    assert each_harness.call(connector).detached_at is not None


def test_sweeps_end_no_call_without_the_lease(each_harness: Harness, other: Keeper) -> None:
    connector = each_harness.connect(a_connector())
    each_harness.webhook(connector)
    each_harness.clock.advance(600)
    sweeps = Sweeps(
        other,
        each_harness.timekeeper(),
        each_harness.deadlines,
        each_harness.session_deadlines,
        each_harness.stores.secrets,
    )
    other.release()
    sweeps.run()
    assert each_harness.call(connector).status is CallStatus.INCOMING


def test_recorder_thread_serves_once_the_other_process_releases_the_lease(
    each_harness: Harness, other: Keeper
) -> None:
    connector = each_harness.connect(a_connector())
    each_harness.start(ref_of(each_harness.webhook(connector)))
    served = threading.Event()
    thread = each_harness.recorder_thread(queue.SimpleQueue(), followers=[served.set])
    thread.start()
    try:
        assert each_harness.serving.is_waiting
        assert each_harness.serving.waits_for == NOT_SHARED
        other.release()
        assert served.wait(30)
    finally:
        thread.stop()
    assert not each_harness.serving.is_waiting
    assert each_harness.call(connector).detached_at is not None


def test_stop_encrypts_everything_under_the_new_secret(
    database: Database, clock: FakeClock
) -> None:
    with a_harness(database, clock, api_secret=OLD) as earlier:
        earlier.stores.secrets.of_rooms()
        connector = earlier.connect(keyed("plivo"))
        # While a call is up, the sweeps leave this to the end of the process.
        earlier.start(ref_of(earlier.webhook(connector)), "plivo")
    with a_harness(database, clock, api_secret=NEW, api_secret_previous=OLD) as harness:
        thread = harness.recorder_thread(queue.SimpleQueue())
        thread.start()
        thread.stop()
    stored = Connectors(database, NEW).get(connector.id)
    assert {name: values[0] for name, values in stored.credentials.items()} == CREDENTIALS["plivo"]


class DifferingTakeover(Takeover):
    """A takeover that is refused for these reasons, one after the other."""

    def __init__(self, *reasons: str) -> None:
        self._reasons = list(reasons)

    def attempt(self) -> bool:
        if self._reasons:
            raise Busy(self._reasons.pop(0))
        return True


def test_each_reason_to_wait_is_logged_once(
    each_harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    served = threading.Event()
    thread = RecorderThread(
        each_harness.steady,
        queue.SimpleQueue(),
        each_harness.recorder,
        each_harness.database,
        DifferingTakeover("Another version.", "Another version.", "The same NODE_URL."),
        each_harness.sweeps(),
        each_harness.serving,
        each_harness.services.metrics,
        [served.set],
    )
    thread.start()
    try:
        assert served.wait(30)
    finally:
        thread.stop()
    waits = "this server waits for the database: "
    assert [text.removeprefix(waits) for text in caplog.messages if text.startswith(waits)] == [
        "Another version.",
        "The same NODE_URL.",
    ]
    assert each_harness.serving.waits_for == "The same NODE_URL."
