"""All pollers report ready sockets in the same way."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import SimpleQueue

import pytest

from service.media.engine.commands import Adopt
from service.media.engine.loop import Loop
from service.media.rooms.reports import LegClosed, LegStarted, Report
from service.media.transport.poller import READ, WRITE, Poller, SelectorPoller, best_poller
from tests.support.callers import agent, compact
from tests.support.clients import Client, connection
from tests.support.clocks import FakeClock

KINDS: list[Callable[[], Poller]] = [SelectorPoller]
if sys.platform == "linux":
    KINDS.append(best_poller)


@pytest.fixture(params=KINDS)
def ready(request: pytest.FixtureRequest) -> Iterator[Poller]:
    with closing(request.param()) as ready:
        yield ready


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = connection()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_nothing_is_reported_without_events(
    ready: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    assert list(ready.poll()) == []
    ready.add(pair[0].fileno())
    assert list(ready.poll()) == []


def test_data_is_reported_until_it_is_read(
    ready: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ready.add(ours.fileno())
    for _ in range(3):
        theirs.sendall(b"hello")
        assert list(ready.poll()) == [(ours.fileno(), READ)]
        assert ours.recv(100) == b"hello"
        assert list(ready.poll()) == []


def test_earlier_data_is_reported(ready: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"early")
    ready.add(ours.fileno())
    assert list(ready.poll()) == [(ours.fileno(), READ)]


def test_an_end_is_reported_as_readable(
    ready: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ready.add(ours.fileno())
    theirs.close()
    [(fd, what)] = ready.poll()
    assert fd == ours.fileno()
    assert what & READ
    assert not what & WRITE
    assert ours.recv(100) == b""


def test_writable_is_reported_only_if_requested(
    ready: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ready.add(ours.fileno())
    ready.watch_writing(ours.fileno(), True)
    assert list(ready.poll()) == [(ours.fileno(), WRITE)]
    theirs.sendall(b"x")
    ready.watch_writing(ours.fileno(), True)
    assert list(ready.poll()) == [(ours.fileno(), READ | WRITE)]
    ours.recv(100)
    ready.watch_writing(ours.fileno(), False)
    assert list(ready.poll()) == []


def test_a_removed_socket_is_not_reported(
    ready: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    ready.add(ours.fileno())
    theirs.sendall(b"x")
    ready.remove(ours.fileno())
    assert list(ready.poll()) == []


def test_an_invalid_descriptor_is_refused(ready: Poller) -> None:
    ours, theirs = connection()
    with theirs:
        fd = ours.fileno()
        ours.close()
        for bad in (fd, -1):
            with pytest.raises((OSError, ValueError)):
                ready.add(bad)


def test_a_call_works_with_every_poller(ready: Poller, clock: FakeClock) -> None:
    """It joins, is heard over several reads, and leaves after its last audio."""
    reports: SimpleQueue[Report] = SimpleQueue()
    loop = Loop(clock, reports, ready)
    ann = agent("ann")
    with Client() as client:
        loop.submit(Adopt(client.ours.dup(), ann.spec))
        client.ours.close()
        loop.turn()
        client.send(ann.start)
        # Longer than one read, so that the poller must report it again.
        client.send(compact({"event": "subscribe", "topic": "t" * 100}))
        long = compact({"event": "message", "topic": "t" * 100, "data": "x" * 9000})
        client.send(long)
        client.send_close(1000)
        told = []
        while not told or not isinstance(told[-1], LegClosed):
            clock.advance(0.005)
            loop.turn()
            told += [reports.get() for _ in range(reports.qsize())]
        said = [json.loads(frame.data) for frame in iter(client.read, None) if frame.opcode == 1]
    assert [type(report) for report in told] == [LegStarted, LegClosed]
    assert [news["data"]["message"] for news in said if news["event"] == "message"] == ["x" * 9000]
