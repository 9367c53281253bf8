"""Drain: sockets are closed first, and only their providers are waited for."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.calls.drain import NodeDrain, hand_over
from service.calls.serving_state import ServingState
from service.cluster.keeper import Keeper
from service.errors import Busy
from service.process.machine import Machine
from service.storage.database import Database
from tests.support import callers
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness

RESTART = (1012).to_bytes(2, "big")
LEFT = "calls were handed over without a new request from their providers"


@pytest.fixture
def harness(clock: FakeClock) -> Iterator[Harness]:
    """Its database cannot be reached."""
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    with a_harness(database, clock) as harness:
        yield harness


def on_a_socket(harness: Harness, caller: callers.Caller) -> socket.socket:
    here, there = socket.socketpair()
    there.settimeout(30)
    harness.engine.adopt(here, caller.spec)
    return there


def close_code(sock: socket.socket) -> bytes:
    """The code of the close frame, which may come after a ping."""
    received = b""
    while b"\x88" not in received:
        received += sock.recv(100)
    return received.partition(b"\x88")[2][1:3]


def asks(harness: Harness, call_id: str, sock: socket.socket) -> None:
    """As a provider does once its socket is closed."""
    assert close_code(sock) == RESTART
    harness.serving.expect_no_more(call_id)


def test_drain_closes_all_sockets_without_the_database_and_waits_for_phones_only(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ann, agent = callers.twilio("ann"), callers.agent("agent")
    with on_a_socket(harness, ann) as phone, on_a_socket(harness, agent) as program:
        thread = threading.Thread(
            target=hand_over, args=(harness.services.settings, harness.serving, harness.engine)
        )
        thread.start()
        assert close_code(phone) == close_code(program) == RESTART
        harness.serving.expect_no_more(ann.spec.call_id)
        thread.join(30)
    assert not thread.is_alive()
    assert harness.serving.is_draining
    assert LEFT not in caplog.text


def test_drain_gives_up_a_provider_that_never_asks(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        on_a_socket(harness, callers.twilio("ann")),
        on_a_socket(harness, callers.plivo("bob")) as bob,
    ):
        provider = threading.Thread(target=asks, args=(harness, "call-bob", bob))
        provider.start()
        hand_over(harness.services.settings, harness.serving, harness.engine)
        provider.join(30)
    assert f"1 {LEFT}" in caplog.text


def test_drain_does_not_wait_where_reattach_is_off(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    with (
        a_harness(database, clock, reattach=False) as harness,
        on_a_socket(harness, callers.twilio("ann")) as phone,
    ):
        hand_over(harness.services.settings, harness.serving, harness.engine)
        assert close_code(phone) == RESTART
    assert LEFT not in caplog.text


def test_drain_releases_the_database_after_it_has_closed_the_sockets(harness: Harness) -> None:
    released = threading.Event()
    with on_a_socket(harness, callers.agent("agent")) as program:
        hand_over(harness.services.settings, harness.serving, harness.engine, released.set)
        assert close_code(program) == RESTART
    assert released.is_set()


class ScriptedKeeper(Keeper):
    """Notes what it is told. ``fault`` is the answer of the database, if it has one."""

    def __init__(self, done: list[str]) -> None:
        self.fault: Exception | None = None
        self._done = done

    def drain(self) -> None:
        if self.fault is not None:
            raise self.fault
        self._done.append("drain")

    def release(self) -> None:
        self._done.append("release")


class Node:
    """A worker that drains beside others. ``done`` tells in order what it does."""

    def __init__(
        self, harness: Harness, folder: Path, *, serves_elsewhere: bool, looks: int = 0
    ) -> None:
        """Another worker is starting, and serves after so many ``looks`` at it."""
        self.done: list[str] = []
        self.keeper = ScriptedKeeper(self.done)
        self.serving = ServingState(lambda: serves_elsewhere)
        self._machine, self._looks = Machine(folder), looks
        if looks:
            self._machine.expect(7)
        self._drain = NodeDrain(
            harness.services.settings,
            self.serving,
            harness.engine,
            self._machine,
            self.keeper,
            self._pause,
        )

    def drain(self) -> None:
        self._drain.run()

    def _pause(self, seconds: float) -> None:
        self.done.append("pause, draining" if self.serving.is_draining else "pause, serving")
        if self.done.count("pause, serving") == self._looks:
            self._machine.serves(7)


def test_a_node_leaves_its_calls_to_another_one_without_waiting_for_providers(
    harness: Harness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = Node(harness, tmp_path, serves_elsewhere=True)
    with on_a_socket(harness, callers.twilio("ann")) as phone:
        node.drain()
        assert close_code(phone) == RESTART
    assert node.done == ["drain", "pause, draining", "release"]
    assert "1 calls go on in other nodes" in caplog.text
    assert LEFT not in caplog.text


def test_a_node_serves_until_the_workers_that_start_do(harness: Harness, tmp_path: Path) -> None:
    node = Node(harness, tmp_path, serves_elsewhere=True, looks=2)
    node.drain()
    serving = ["pause, serving"] * 2
    assert node.done == [*serving, "drain", "pause, draining", "release"]


def test_the_last_node_waits_until_its_providers_have_asked(
    harness: Harness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(harness, tmp_path, serves_elsewhere=False)
    with on_a_socket(harness, callers.twilio("ann")) as phone:
        node.drain()
        assert close_code(phone) == RESTART
    assert node.done == ["drain", "pause, draining", "release"]
    assert f"1 {LEFT}" in caplog.text


def test_a_node_that_cannot_tell_the_others_drains_all_the_same(
    harness: Harness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(harness, tmp_path, serves_elsewhere=True)
    node.keeper.fault = Busy("The database is away.")
    with on_a_socket(harness, callers.twilio("ann")) as phone:
        node.drain()
        assert close_code(phone) == RESTART
    assert "The database is away." in caplog.text
