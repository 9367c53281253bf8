"""The worker's main loop, run step by step: reading, threads and closing."""

from __future__ import annotations

import json
import selectors
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from service.process import turns
from service.server.clients import ClientConnection
from service.server.worker import AT_ONCE, SMALL_BODY, Worker

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
TURNS = 1000
UPLOADS = "/uploads"
LARGEST = 1024 * 1024


class Threads:
    """A thread pool that records its tasks in ``given``."""

    def __init__(self) -> None:
        self.given: list[tuple[ClientConnection, Future[bool]]] = []

    def submit(self, handle: object, conn: ClientConnection) -> Future[bool]:
        self.given.append((conn, Future()))
        return self.given[-1][1]

    def finish(self, place: int, answer: bytes = b"", reusable: bool = False) -> None:
        conn, future = self.given[place]
        if answer:
            conn.sock.sendall(answer)
        future.set_result(reusable)

    def body(self, place: int) -> bytes:
        body: bytes = next(self.given[place][0].parser).body.read()
        return body


class SteppedWorker:
    """A worker whose main loop a test runs step by step, and its clients."""

    def __init__(self, listener: socket.socket, connections: int, max_requests: int = 0) -> None:
        cfg = Config()
        cfg.set("max_requests", max_requests)
        cfg.set("limit_request_line", 0)
        cfg.set("worker_connections", connections)
        self.threads = Threads()
        self.faults = 0
        self.worker = Worker(0, 0, [listener], None, 30, cfg, Logger(cfg))
        self.worker.on_fault = self._count
        self.worker.body_limits = {UPLOADS: LARGEST}
        self.worker.tpool = self.threads
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        queue = self.worker.method_queue
        self.worker.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
        self.worker.set_accept_enabled(True)
        self._address = listener.getsockname()
        self._clients: list[socket.socket] = []

    def _count(self) -> None:
        self.faults += 1

    def ask(self, data: bytes = REQUEST) -> socket.socket:
        self._clients.append(socket.create_connection(self._address, 10))
        self._clients[-1].sendall(data)
        return self._clients[-1]

    def turn_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if holds():
                return
            self.worker.wait_for_and_dispatch_events(0.01)
        raise AssertionError("it did not come about")

    def turn_until_read(self, count: int) -> None:
        """Run the loop until that many whole requests have arrived."""
        self.turn_until(lambda: len(self.threads.given) + len(self.worker.whole_conns) == count)

    def answer(self, client: socket.socket) -> bytes:
        """Return the bytes that the client receives until the connection is closed."""
        client.setblocking(False)
        got = bytearray()

        def is_over() -> bool:
            try:
                while piece := client.recv(65_536):
                    got.extend(piece)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            return True

        self.turn_until(is_over)
        return bytes(got)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.worker.poller.close()
        self.worker.method_queue.close()


@contextmanager
def stepped_worker(connections: int = 1000, max_requests: int = 0) -> Iterator[SteppedWorker]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as listener,
        closing(SteppedWorker(listener, connections, max_requests)) as stepped,
    ):
        yield stepped


@pytest.fixture
def stepped() -> Iterator[SteppedWorker]:
    with stepped_worker() as stepped:
        yield stepped


@pytest.fixture
def patient(stepped: SteppedWorker) -> SteppedWorker:
    """A worker whose requests wait until others have returned their turn."""
    stepped.worker.patience = 1000.0
    return stepped


def refusal(answer: bytes) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert b"\r\nConnection: close\r\n" in head
    return int(head.split()[1]), json.loads(body)


def test_only_a_few_requests_run_at_a_time(patient: SteppedWorker) -> None:
    for _ in range(AT_ONCE + 3):
        patient.ask()
    patient.turn_until_read(AT_ONCE + 3)
    given = patient.threads.given
    assert len(given) == AT_ONCE
    patient.threads.finish(0)
    patient.turn_until(lambda: len(given) == AT_ONCE + 1)
    patient.threads.finish(1)
    patient.threads.finish(2)
    patient.turn_until(lambda: len(given) == AT_ONCE + 3)


@pytest.fixture
def terminations() -> Iterator[list[int]]:
    """The SIGTERM signals that this process has got."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, before)


def test_a_worker_drains_once_it_has_answered_as_many_requests_as_it_may(
    terminations: list[int],
) -> None:
    with stepped_worker(max_requests=2) as stepped:
        for number in range(3):
            client = stepped.ask()
            stepped.turn_until_read(number + 1)
            stepped.worker.nr += 1
            stepped.threads.finish(number)
            client.shutdown(socket.SHUT_WR)
            assert stepped.answer(client) == b""
            assert terminations == [signal.SIGTERM][:number]
            assert stepped.worker.alive


def test_blocked_requests_delay_no_others(stepped: SteppedWorker) -> None:
    for _ in range(AT_ONCE + 3):
        stepped.ask()
    stepped.turn_until(lambda: len(stepped.threads.given) == AT_ONCE + 3)


def test_request_that_waits_for_io_gives_its_turn_away(patient: SteppedWorker) -> None:
    for _ in range(AT_ONCE + 2):
        patient.ask()
    patient.turn_until_read(AT_ONCE + 2)
    given = patient.threads.given
    assert len(given) == AT_ONCE
    with turns.taken(given[0][0].turn), turns.waiting():
        patient.turn_until(lambda: len(given) == AT_ONCE + 1)
    patient.threads.finish(1)
    patient.worker.wait_for_and_dispatch_events(0.01)
    assert len(given) == AT_ONCE + 1, "the first one runs again"
    patient.threads.finish(0)
    patient.turn_until(lambda: len(given) == AT_ONCE + 2)


def test_incomplete_request_has_no_turn(stepped: SteppedWorker) -> None:
    client = stepped.ask(REQUEST[:-1])
    stepped.ask()
    stepped.turn_until_read(1)
    client.sendall(REQUEST[-1:])
    stepped.turn_until_read(2)
    first, second = (conn.client for conn, _ in stepped.threads.given)
    assert second == client.getsockname()
    assert first != second


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 60000\r\n\r\n",
        b"Content-Length: 60000\r\nExpect: 100-continue\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n00000000003\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n000000000ea60;x=y\r\n",
    ],
)
def test_no_thread_waits_for_a_body(stepped: SteppedWorker, head: bytes) -> None:
    for _ in range(20):
        stepped.ask(POST + head + b"x")
    stepped.ask()
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 20)
    stepped.turn_until_read(1)


def test_expect_100_continue_is_answered_once(stepped: SteppedWorker) -> None:
    client = stepped.ask(POST + b"Expect: 100-continue\r\nContent-Length: 6\r\n\r\n")
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 1)
    client.sendall(b"abc")
    stepped.turn_until(lambda: stepped.worker.held >= 3)
    client.sendall(b"def")
    stepped.turn_until_read(1)
    assert stepped.threads.body(0) == b"abcdef"
    stepped.threads.finish(0, b"answer")
    assert stepped.answer(client) == b"HTTP/1.1 100 Continue\r\n\r\nanswer"


def test_pipelined_requests_are_answered_in_order(stepped: SteppedWorker) -> None:
    first = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    client = stepped.ask(first + POST + b"Content-Length: 1\r\n\r\nb" + REQUEST)
    for place, body in enumerate((b"a", b"b", b"")):
        stepped.turn_until_read(place + 1)
        assert stepped.threads.body(place) == body
        stepped.threads.finish(place, b"%d" % place, reusable=place < 2)
    assert stepped.answer(client) == b"012"


def test_bytes_after_an_upgrade_stay_in_the_socket(stepped: SteppedWorker) -> None:
    stepped.ask(REQUEST[:-2] + b"Upgrade: websocket\r\n\r\n" + b"\x81\x80early")
    stepped.turn_until_read(1)
    assert stepped.threads.given[0][0].sock.recv(100) == b"\x81\x80early"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"GET /" + b"x" * 40_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: yyyyyyyy\r\n" * 6000, 431),
        (POST + b"Content-Length: 99999999\r\n\r\n" + b"x" * 100_000, 413),
        (POST + b"Transfer-Encoding: gzip, br\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    ],
)
def test_invalid_request_is_refused_in_json_without_a_thread(
    stepped: SteppedWorker, data: bytes, status: int
) -> None:
    client = stepped.ask(data)
    got, document = refusal(stepped.answer(client))
    assert (got, document["statusCode"]) == (status, status)
    assert document["message"].endswith(".")
    assert not stepped.threads.given


def test_long_body_is_read_only_where_it_is_allowed(stepped: SteppedWorker) -> None:
    length = b"Content-Length: %d\r\n\r\n" % (SMALL_BODY + 1)
    stepped.ask(POST + length)
    stepped.turn_until_read(1)
    assert stepped.threads.body(0) == b""
    upload = stepped.ask(POST.replace(b"POST /", b"POST /below" + UPLOADS.encode()) + length)
    stepped.turn_until(lambda: len(stepped.worker.upload_conns) == 1)
    upload.sendall(b"x" * (SMALL_BODY + 1))
    stepped.turn_until_read(2)
    assert len(stepped.threads.body(1)) == SMALL_BODY + 1


def test_client_that_reads_no_answer_occupies_no_thread(stepped: SteppedWorker) -> None:
    answer = b"x" * 8_000_000
    client = stepped.ask()
    stepped.turn_until_read(1)
    stepped.threads.finish(0, answer)
    stepped.turn_until(lambda: len(stepped.worker.answering_conns) == 1)
    assert 0 < stepped.worker.held < len(answer)
    assert stepped.answer(client) == answer
    assert stepped.worker.held == 0


def test_memory_of_clients_is_bounded(stepped: SteppedWorker) -> None:
    stepped.worker.memory = 100_000
    deaf = [stepped.ask(POST + b"Content-Length: 60000\r\n\r\n" + b"x" * 40_000) for _ in range(5)]
    stepped.turn_until(lambda: stepped.worker.nr_conns == 2)
    assert stepped.worker.held <= 100_000
    for client in deaf[:3]:
        assert refusal(stepped.answer(client))[0] == 503
    served = stepped.ask()
    stepped.turn_until_read(1)
    stepped.threads.finish(0, b"answer")
    assert stepped.answer(served) == b"answer"


def test_callback_of_a_closed_connection_is_not_called(stepped: SteppedWorker) -> None:
    victim, killer = stepped.ask(b"G"), stepped.ask(b"G")
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 2)
    for client in (killer, victim):
        client.sendall(b"E")
    keys = [key for key, _ in stepped.worker.poller.select(5)]
    assert len(keys) == 2
    for conn in tuple(stepped.worker.pending_conns):
        stepped.worker.close_conn(conn)
    # Another connection may have the same descriptor by then.
    stepped.ask(b"G")
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 1)
    for key in keys:
        stepped.worker.dispatch(key)
    assert len(stepped.worker.pending_conns) == 1
    assert stepped.faults == 0


def test_oldest_connection_is_closed_beyond_the_limit() -> None:
    with stepped_worker(connections=10) as stepped:
        for round_ in range(30):
            old = [stepped.ask(b"G") for _ in range(12)]
            for client in old:
                client.sendall(b"E")
            stepped.worker.wait_for_and_dispatch_events(0.01)
            asked = stepped.ask()
            stepped.turn_until_read(round_ + 1)
            stepped.threads.finish(round_, b"answer")
            assert stepped.answer(asked) == b"answer"
        assert stepped.worker.nr_conns <= 10
        assert stepped.faults == 0


def test_idle_connections_are_closed_before_requests(stepped: SteppedWorker) -> None:
    stepped.worker.worker_connections = 5
    for _ in range(4):
        stepped.ask(b"")
    stepped.turn_until(lambda: stepped.worker.nr_conns == 4)
    begun = stepped.ask(POST + b"Content-Length: 1\r\n\r\n")
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 1)
    stepped.ask(b"")
    stepped.turn_until(lambda: stepped.worker.nr_conns == 4)
    begun.sendall(b"x")
    stepped.turn_until_read(1)


def test_client_that_may_have_asked_is_answered_when_its_connection_makes_room() -> None:
    with stepped_worker(connections=2) as stepped:
        silent = stepped.ask(b"")
        stepped.turn_until(lambda: stepped.worker.nr_conns == 1)
        begun = stepped.ask(b"GET / HT")
        assert refusal(stepped.answer(silent))[0] == 503
        stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 1)
        stepped.ask(b"")
        assert refusal(stepped.answer(begun))[0] == 503


@pytest.mark.parametrize("sent", [b"", REQUEST])
def test_kept_connection_makes_room_with_an_answer_only_to_a_request(
    stepped: SteppedWorker, sent: bytes
) -> None:
    client = stepped.ask()
    stepped.turn_until_read(1)
    stepped.threads.finish(0, b"answer", reusable=True)
    stepped.turn_until(lambda: len(stepped.worker.keepalived_conns) == 1)
    stepped.worker.worker_connections = 2
    client.sendall(sent)
    stepped.ask(b"")
    stepped.worker.accept(stepped.worker.sockets[0])
    answer = stepped.answer(client)
    assert answer.startswith(b"answer")
    if sent:
        assert refusal(answer.removeprefix(b"answer"))[0] == 503
    else:
        assert answer == b"answer"


def test_a_fault_of_one_connection_is_counted_and_ends_that_connection_only(
    stepped: SteppedWorker,
) -> None:
    def broken(conn: ClientConnection) -> None:
        raise ValueError("deque.remove(x): x not in deque")

    client, other = stepped.ask(b"G"), stepped.ask(REQUEST[:-1])
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 2)
    stepped.worker.pending_conns[0].watched.callback = broken
    client.sendall(b"E")
    stepped.turn_until(lambda: stepped.faults == 1)
    assert stepped.worker.nr_conns == 1
    assert stepped.answer(client) == b""
    other.sendall(REQUEST[-1:])
    stepped.turn_until_read(1)


def test_connection_unknown_to_the_poller_does_not_end_the_process(stepped: SteppedWorker) -> None:
    client = stepped.ask(b"G")
    stepped.turn_until(lambda: len(stepped.worker.pending_conns) == 1)
    conn = stepped.worker.pending_conns[0]
    stepped.worker.poller.unregister(conn.sock)
    conn.timeout = 0
    stepped.worker.murder_pending()
    assert (stepped.worker.nr_conns, stepped.faults) == (0, 1)
    assert stepped.answer(client) == b""


def test_reset_by_the_client_is_not_a_fault(stepped: SteppedWorker) -> None:
    asked = POST + b"Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"
    for number in range(20):
        client = stepped.ask(asked[: 30 + number])
        stepped.worker.wait_for_and_dispatch_events(0.01)
        client.sendall(asked[30 + number :])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    stepped.turn_until(lambda: stepped.worker.nr_conns == 0)
    assert stepped.faults == 0


def test_full_thread_pool_does_not_end_the_process(stepped: SteppedWorker) -> None:
    def submit(handle: object, conn: ClientConnection) -> Future[bool]:
        raise RuntimeError("can't start new thread")

    stepped.worker.tpool = SimpleNamespace(submit=submit)
    client = stepped.ask()
    assert stepped.answer(client) == b""
    assert stepped.faults == 1
    stepped.worker.tpool = stepped.threads
    stepped.ask()
    stepped.turn_until_read(1)


def test_connection_of_a_failed_request_is_closed(stepped: SteppedWorker) -> None:
    client = stepped.ask()
    stepped.turn_until_read(1)
    stepped.threads.given[0][1].set_exception(MemoryError())
    assert stepped.answer(client) == b""
    client.close()
    stepped.turn_until(lambda: stepped.worker.nr_conns == 0)
