"""Clients that stall before their socket belongs to a call do not delay others."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE

MANY = 40
"""More than twice the number of threads."""


calls = itertools.count()

POST = b"POST /v2/connectors HTTP/1.1\r\nHost: x\r\n"
HOOK = b"POST HOOK HTTP/1.1\r\nHost: x\r\n"

STALLED = {
    "nothing": b"",
    "half a header": POST + b"Content-Le",
    "half a body": POST + b"Content-Length: 90\r\n\r\n{",
    "half a webhook's body": HOOK + b"Content-Length: 90\r\n\r\nCallSid=",
    "half a chunk": HOOK + b"Transfer-Encoding: chunked\r\n\r\n5a\r\nCallSid=",
    "half a large body": HOOK + b"Content-Length: 900000\r\n\r\nCallSid=",
    "no body after Expect": POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    "half a handshake": b"GET /videosdk?ref=vs_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
    "no end of what is over": b"GET /healthz HTTP/1.0\r\n\r\n",
    "half of a second request": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HT",
}

ENDED_BY_THE_SERVER = ("half a large body", "no end of what is over")
"""Requests that are answered before their client ends them."""

TRIES = 3


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    data: Path = tmp_path_factory.mktemp("data")
    with running_patchbay(data) as patchbay:
        yield patchbay


@pytest.fixture(scope="module")
def hook(patchbay: Patchbay) -> str:
    return patchbay.webhook("twilio", "room-1")


def connect(patchbay: Patchbay) -> socket.socket:
    parts = urlsplit(patchbay.url)
    return socket.create_connection((parts.hostname, parts.port), PATIENCE)


@contextmanager
def stalled(patchbay: Patchbay, data: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(patchbay)) for _ in range(MANY)]
        for each in sockets:
            each.sendall(data)
        yield sockets


def assert_served(patchbay: Patchbay, hook: str) -> None:
    assert patchbay.server.get("/healthz") == 200
    call = {"CallSid": f"CA{next(calls)}", "From": "+14155550100", "To": "+14155550199"}
    fields = urlencode(call)
    with urlopen(hook, fields.encode(), timeout=PATIENCE) as answer:
        assert b"<Stream" in answer.read()


def is_awaited(sock: socket.socket) -> bool:
    """Return whether the server has not closed its side of the connection."""
    sock.setblocking(False)
    try:
        while sock.recv(65_536):
            pass
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("name", STALLED)
def test_calls_are_answered_while_other_clients_stall(
    patchbay: Patchbay, hook: str, name: str
) -> None:
    data = STALLED[name].replace(b"HOOK", urlsplit(hook).path.encode())
    for _ in range(TRIES):
        with stalled(patchbay, data) as sockets:
            for _ in range(3):
                assert_served(patchbay, hook)
            # Otherwise they were answered only after the server had given the stalled ones up,
            # which a slow machine may be late for once.
            if name in ENDED_BY_THE_SERVER or all(map(is_awaited, sockets)):
                break
    else:
        pytest.fail("calls are answered only after the stalled clients")
    assert "ERROR" not in patchbay.server.output
    assert "Traceback" not in patchbay.server.output


def test_a_client_that_takes_too_long_is_disconnected(patchbay: Patchbay, hook: str) -> None:
    with stalled(patchbay, STALLED["half a header"]) as sockets:
        for each in sockets:
            assert each.recv(1) == b""
    assert_served(patchbay, hook)
    assert "ERROR" not in patchbay.server.output


def test_a_client_that_does_not_read_its_answer_occupies_no_thread(
    patchbay: Patchbay, hook: str
) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with ExitStack() as stack:
        for _ in range(MANY):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            parts = urlsplit(patchbay.url)
            deaf.connect((parts.hostname, parts.port))
            deaf.sendall(asked)
        patchbay.eventually(lambda: served(patchbay, hook))
    assert "ERROR" not in patchbay.server.output


def served(patchbay: Patchbay, hook: str) -> bool:
    assert_served(patchbay, hook)
    return True


def test_idle_connections_are_closed_at_the_limit(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, "--worker-connections", "50") as patchbay, ExitStack() as stack:
        hook = patchbay.webhook("twilio", "room-1")
        for data in (b"", STALLED["half a header"]):
            for _ in range(60):
                stack.enter_context(connect(patchbay)).sendall(data)
            assert_served(patchbay, hook)


def everything(sock: socket.socket) -> bytes:
    got = b""
    while piece := sock.recv(65_536):
        got += piece
    return got


def test_pipelined_requests_are_answered_in_their_order(patchbay: Patchbay) -> None:
    paths = ["/healthz", "/nowhere", "/readyz", "/v2/connectors", "/healthz"]
    together = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths)
    for cut in (1, 20, len(together) // 2, len(together)):
        with connect(patchbay) as sock:
            sock.sendall(together[:cut])
            patchbay.server.get("/healthz")
            sock.sendall(together[cut:])
            sock.shutdown(socket.SHUT_WR)
            got = everything(sock)
        statuses = [int(answer[:3]) for answer in got.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 404, 200, 401, 200]


@pytest.mark.parametrize("size", [10, 60_000, 70_000, 700_000])
def test_a_chunked_body_is_read_or_refused_as_a_whole(patchbay: Patchbay, size: int) -> None:
    body = json.dumps({"provider": "twilio", "name": "x" * size}).encode()
    status, answer = patchbay.ask("POST", "/v2/connectors", json.loads(body))
    with connect(patchbay) as sock:
        head = f"POST /v2/connectors HTTP/1.1\r\nHost: x\r\nAuthorization: {patchbay.token}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\n".encode())
        sock.sendall(b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 9_000):
            sock.sendall(body[start : start + 9_000])
        sock.shutdown(socket.SHUT_WR)
        got = everything(sock)
        assert int(got.split()[1]) == status
        assert answer["message"].encode() in got


def test_a_client_that_waits_for_100_continue_receives_it(patchbay: Patchbay) -> None:
    with connect(patchbay) as sock:
        sock.sendall(
            f"POST /v2/connectors HTTP/1.1\r\nHost: x\r\nAuthorization: {patchbay.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 22\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert sock.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"provider": "twilio"}')
        assert sock.recv(65_536).startswith(b"HTTP/1.1 201 ")


def test_an_endless_head_is_refused(patchbay: Patchbay) -> None:
    with connect(patchbay) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(70):
            sock.sendall(b"X: " + b"x" * 1000 + b"\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 431 ")


def test_a_connection_is_kept_for_the_next_request(patchbay: Patchbay) -> None:
    parts = urlsplit(patchbay.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.connect()
        first = connection.sock.getsockname()
        for _ in range(3):
            connection.request("POST", "/v2/connectors", b"{}", {"Authorization": patchbay.token})
            with connection.getresponse() as answer:
                answer.read()
                assert answer.status == 400
        assert connection.sock.getsockname() == first
    finally:
        connection.close()


def test_a_stalled_client_does_not_delay_the_end_of_the_server(tmp_path: Path) -> None:
    with (
        running_patchbay(tmp_path, "--graceful-timeout", "600") as patchbay,
        stalled(patchbay, STALLED["half a header"]),
    ):
        patchbay.server.get("/healthz")
        assert patchbay.server.stop() == 0
