"""Hostile clients in a separate process, so that they do not slow the measuring process down.

``python flooding.py ADDRESS TIMES HEADER PATH…`` sends each request as soon as the last one is
answered, and prints the count of each status at the end. With ``0`` times it goes on until its
input ends. ``python flooding.py ADDRESS`` opens connections with unfinished requests until it is
killed, or its parent is. Both of these print ``begun`` on a line when the attack is under way.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count, cycle, islice

BEGUN = "begun\n"
CONNECTIONS = 8
AT_FIRST = 500
"""Requests after which a flood is under way: several times as many failures as are forgiven."""

PATIENCE = 60

SIGN_IN = b"POST /console/api/session HTTP/1.1\r\nHost: x\r\n"
TEST_CALL = b"POST /console/api/trials HTTP/1.1\r\nHost: x\r\n"
HOOK = b"POST /v2/hooks/twilio/whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu HTTP/1.1\r\nHost: x\r\n"

ENDLESS = (
    SIGN_IN + b"Content-Length: 60000\r\nExpect: 100-continue\r\n\r\n",
    SIGN_IN + b"Content-Length: 60000\r\n\r\n",
    SIGN_IN + b"Transfer-Encoding: chunked\r\n\r\n0000000ea60\r\n",
    SIGN_IN + b"Transfer-Encoding: chunked\r\n\r\n00000000ea60\r\n",
    TEST_CALL + b"Content-Length: 4000000\r\n\r\n" + b"x" * 100_000,
    HOOK + b"Content-Length: 999999\r\n\r\n",
    HOOK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: ",
    b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    b"GET /console/ HTTP/1.1\r\nHost: x\r\n\r\nGET ",
)
"""Unfinished requests. Their answers are not read."""

SLOTS = 17
"""Connections for each of them: more than the server has threads."""

STORM = 60
"""Connections that are opened at once in each turn and abandoned."""

PAUSE = 0.5
"""Seconds between two turns, so that the rate does not depend on the machine."""


def flood(address: str, header: str, *paths: str, times: int = 0) -> subprocess.Popen[str]:
    """Run a process that floods ``address`` (host and port) with requests for ``paths``.

    It sends so many requests. Without a number it goes on until its ``outcome`` is asked for, and
    is under way when this returns.
    """
    command = [sys.executable, __file__, address, str(times), header, *paths]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not times:
        _await_begin(process)
    return process


@contextmanager
def besieged(address: str) -> Iterator[None]:
    """Keep connections with unfinished requests open, and open more."""
    command = [sys.executable, __file__, address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _await_begin(process)
            yield
            assert process.poll() is None
        finally:
            process.kill()


def _await_begin(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == BEGUN


def outcome(process: subprocess.Popen[str]) -> dict[int, int]:
    """Return the count of each status."""
    text, _ = process.communicate(timeout=180)
    return {int(status): count for status, count in json.loads(text).items()}


def _answers(address: str, requests: Iterable[bytes]) -> Iterator[int]:
    """Yield the status of the answer to each request."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        answer = b""
        for request in requests:
            sock.sendall(request)
            while (end := _end(answer)) is None or end > len(answer):
                piece = sock.recv(65_536)
                assert piece, "the connection was closed"
                answer += piece
            yield int(answer.split(None, 2)[1])
            answer = answer[end:]


def _end(answer: bytes) -> int | None:
    """Return the length of the answer that starts with these bytes, if its head is complete."""
    head, separator, _ = answer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    return len(head) + 4 + int(length.partition(b":")[2])


def _besiege(address: str) -> None:
    slots: list[socket.socket | None] = [None] * (SLOTS * len(ENDLESS))
    storm: list[socket.socket] = []
    for turn in count():
        for number, sock in enumerate(slots):
            try:
                if sock is None:
                    sock = slots[number] = _opened(address, ENDLESS[number % len(ENDLESS)])
                sock.send(b"0")
            except OSError:
                slots[number] = None
        for sock in storm:
            sock.close()
        storm = [
            opened
            for number in range(STORM)
            if (opened := _opened(address, ENDLESS[(turn + number) % len(ENDLESS)]))
        ]
        if not turn:
            _print_begun()
        # The pace of the attack. Nobody writes to this pipe: it is readable when the parent ended.
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            return


def _opened(address: str, data: bytes) -> socket.socket | None:
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect((host, int(port)))
        sock.setblocking(False)
        sock.send(data)
    except OSError:
        sock.close()
        return None
    return sock


def _print_begun() -> None:
    sys.stdout.write(BEGUN)
    sys.stdout.flush()


def main() -> None:
    # A real flood comes from other machines, so leave the processor to the server.
    os.nice(10)
    if len(sys.argv) == 2:
        _besiege(sys.argv[1])
        return
    address, times, header, *paths = sys.argv[1:]
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode() for path in paths]
    share = int(times) // CONNECTIONS or None
    begun, over = threading.Event(), threading.Event()
    statuses: Counter[int] = Counter()

    def work() -> None:
        for status in _answers(address, islice(cycle(requests), share)):
            statuses[status] += 1
            if statuses.total() >= AT_FIRST:
                begun.set()
            if over.is_set():
                return

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    if share is None:
        begun.wait()
        _print_begun()
        sys.stdin.read()
        over.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(statuses))


if __name__ == "__main__":
    main()
