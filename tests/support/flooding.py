"""Hostile clients in a separate process, so that they do not slow the measuring process down.

``python flooding.py ADDRESS TIMES HEADER PATH…`` sends each request as soon as the last one is
answered, and prints the count of each status at the end. ``python flooding.py ADDRESS`` opens
connections with unfinished requests, at most ``TURNS`` times.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

CONNECTIONS = 8
PATIENCE = 20

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

TURNS = 600
PAUSE = 0.2
"""Seconds between two turns, so that the rate does not depend on the machine."""


def flood(address: str, times: int, header: str, *paths: str) -> subprocess.Popen[str]:
    """Run a process that floods ``address`` (host and port) with requests for ``paths``."""
    command = [sys.executable, __file__, address, str(times), header, *paths]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def besieged(address: str) -> Iterator[None]:
    """Keep connections with unfinished requests open, and open more."""
    with subprocess.Popen([sys.executable, __file__, address]) as process:
        try:
            yield
            assert process.poll() is None
        finally:
            process.kill()


def outcome(process: subprocess.Popen[str]) -> dict[int, int]:
    """Return the count of each status."""
    text, _ = process.communicate(timeout=180)
    return {int(status): count for status, count in json.loads(text).items()}


def _ask(address: str, requests: Sequence[bytes], times: int, statuses: Counter[int]) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        answer = b""
        for number in range(times):
            sock.sendall(requests[number % len(requests)])
            while (end := _end(answer)) is None or end > len(answer):
                piece = sock.recv(65_536)
                assert piece, "the connection was closed"
                answer += piece
            statuses[int(answer.split(None, 2)[1])] += 1
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
    for turn in range(TURNS):
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
        time.sleep(PAUSE)  # The pace of the attack, in a process of its own.


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


def main() -> None:
    # A real flood comes from other machines, so leave the processor to the server.
    os.nice(10)
    if len(sys.argv) == 2:
        _besiege(sys.argv[1])
    address, times, header, *paths = sys.argv[1:]
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode() for path in paths]
    statuses: Counter[int] = Counter()
    threads = [
        threading.Thread(target=_ask, args=(address, requests, int(times) // CONNECTIONS, statuses))
        for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(statuses))


if __name__ == "__main__":
    main()
