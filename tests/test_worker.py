"""Which requests the worker gives to a thread, and when: a few at a time, unless they block."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from service.worker import AT_ONCE, Connection, Worker

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TURNS = 1000


class Threads:
    """In the place of the pool: ``given`` is what it has been told to do, in order."""

    def __init__(self) -> None:
        self.given: list[tuple[Connection, Future[bool]]] = []

    def submit(self, handle: object, conn: Connection) -> Future[bool]:
        self.given.append((conn, Future()))
        return self.given[-1][1]

    def finish(self, place: int) -> None:
        self.given[place][1].set_result(False)


class Desk:
    """A worker whose main loop a test turns by hand, and its clients."""

    def __init__(self, listener: socket.socket) -> None:
        cfg = Config()
        self.threads = Threads()
        self.worker = Worker(0, 0, [listener], None, 30, cfg, Logger(cfg))
        self.worker.tpool = self.threads
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        queue = self.worker.method_queue
        self.worker.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
        self.worker.set_accept_enabled(True)
        self._address = listener.getsockname()
        self._clients: list[socket.socket] = []

    def ask(self, data: bytes = REQUEST) -> socket.socket:
        self._clients.append(socket.create_connection(self._address))
        self._clients[-1].sendall(data)
        return self._clients[-1]

    def turn_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if holds():
                return
            self.worker.wait_for_and_dispatch_events(0.01)
        raise AssertionError("it did not come about")

    def turn_until_read(self, count: int) -> None:
        """Until that many requests are there as a whole, whether a thread has them or not."""
        self.turn_until(lambda: len(self.threads.given) + len(self.worker.whole_conns) == count)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.worker.poller.close()
        self.worker.method_queue.close()


@contextmanager
def at_work() -> Iterator[Desk]:
    with socket.create_server(("127.0.0.1", 0)) as listener, closing(Desk(listener)) as desk:
        yield desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_work() as desk:
        yield desk


@pytest.fixture
def patient_desk(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Desk:
    """One that waits for those that have their turn for as long as they take."""
    monkeypatch.setattr("service.worker.PATIENCE", 1000.0)
    return desk


def test_a_few_requests_have_their_turn_and_the_others_wait(patient_desk: Desk) -> None:
    for _ in range(AT_ONCE + 3):
        patient_desk.ask()
    patient_desk.turn_until_read(AT_ONCE + 3)
    given = patient_desk.threads.given
    assert len(given) == AT_ONCE
    patient_desk.threads.finish(0)
    patient_desk.turn_until(lambda: len(given) == AT_ONCE + 1)
    patient_desk.threads.finish(1)
    patient_desk.threads.finish(2)
    patient_desk.turn_until(lambda: len(given) == AT_ONCE + 3)


def test_those_that_block_hold_nobody_up(desk: Desk) -> None:
    for _ in range(AT_ONCE + 3):
        desk.ask()
    desk.turn_until(lambda: len(desk.threads.given) == AT_ONCE + 3)


def test_part_of_a_request_has_no_turn(desk: Desk) -> None:
    client = desk.ask(REQUEST[:-1])
    desk.ask()
    desk.turn_until_read(1)
    client.sendall(REQUEST[-1:])
    desk.turn_until_read(2)
    first, second = (conn.client for conn, _ in desk.threads.given)
    assert second == client.getsockname()
    assert first != second
