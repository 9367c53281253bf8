"""A client that asks as fast as it is answered: ``python flooding.py ADDRESS TIMES HEADER PATH…``.

A process of its own, so that it takes nothing from what a test measures; it ends by printing how
often each status came.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence

CONNECTIONS = 8
PATIENCE = 20


def flood(address: str, times: int, header: str, *paths: str) -> subprocess.Popen[str]:
    """A process that floods ``address`` (host and port) with requests for each of ``paths``."""
    command = [sys.executable, __file__, address, str(times), header, *paths]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> dict[int, int]:
    """How often each status came."""
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
    """Where an answer ends of which this is the beginning, once its head is there."""
    head, separator, _ = answer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    return len(head) + 4 + int(length.partition(b":")[2])


def main() -> None:
    # A flood comes from elsewhere, and takes no processor that the server has.
    os.nice(10)
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
