"""A server with 64 descriptors and 100 phones: connected phones stay, others hear busy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from urllib.parse import urlencode, urlsplit
from xml.etree.ElementTree import fromstring

import pytest

from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import GUNICORN, PATIENCE
from tests.support.upgrades import upgrade

PHONES = 100
FEW = ("sh", "-c", 'ulimit -n 64 && exec "$0" "$@"', *GUNICORN)


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    with running_patchbay(tmp_path_factory.mktemp("data"), command=FEW) as patchbay:
        yield patchbay


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Return the status and the body of the answer to a form.

    The request is one write: after a write, the server may close with an answer to read.
    """
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), PATIENCE) as connection:
        connection.sendall(head.encode() + body)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def call(hook: str, number: int) -> socket.socket | None:
    """Return the media socket of a call, or ``None`` if the caller hears busy."""
    fields = {"CallSid": f"CA{number}", "From": "+14155550100", "To": "+14155550199"}
    status, answer = post(hook, urlencode(fields).encode())
    if status == 503:
        return None
    markup = fromstring(answer)
    stream = next(markup.iter("Stream"), None)
    if stream is None:
        assert next(markup.iter("Reject")).get("reason") == "busy"
        return None
    status, head, connection = upgrade(str(stream.get("url")))
    if status == 101:
        return connection
    with connection:
        assert status == 503
        assert b"application/json" in head
    return None


def is_open(connection: socket.socket) -> bool:
    """Return whether the server has kept the connection open."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True


def test_connected_phones_stay_when_descriptors_run_out(patchbay: Patchbay) -> None:
    hook = patchbay.webhook("twilio", "room-1")
    with ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        inside = [
            stack.enter_context(connection)
            for connection in pool.map(lambda number: call(hook, number), range(PHONES))
            if connection is not None
        ]
        # In a rush some are refused for what others need for a moment: now one after the other.
        for number in range(PHONES, 2 * PHONES):
            if (connection := call(hook, number)) is None:
                break
            inside.append(stack.enter_context(connection))
        assert 10 <= len(inside) < 64
        # Others hold connections that they never use.
        idle = [stack.enter_context(socket.socket()) for _ in range(100)]
        for each in idle:
            each.connect_ex(inside[0].getpeername())
        for _ in range(20):
            assert patchbay.server.get("/healthz") == 200
        # Accepted or answered with busy, depending on the free descriptors.
        if (late := call(hook, 2 * PHONES)) is not None:
            stack.enter_context(late)
        assert all(map(is_open, inside))
        # A freed descriptor is used again.
        for connection in inside[:10]:
            connection.close()
        again = iter(range(3 * PHONES, 1000))
        patchbay.eventually(lambda: call(hook, next(again)) is not None)
        assert all(map(is_open, inside[10:]))
    assert patchbay.server.output.count("Booting worker") == 1
    assert "MAX_CALLS=200 needs " in patchbay.server.output
    assert "Traceback" not in patchbay.server.output
