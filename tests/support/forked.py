"""Processes that are forked by the fork server: like ``subprocess.Popen``, for gunicorn only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TextIO

from tests.support.paths import ROOT

LONGEST = 32
"""Bytes of a report: a number."""


class ForkedProcess:
    """gunicorn with these arguments, and its output in ``stdout``."""

    def __init__(
        self, arguments: Sequence[str], env: Mapping[str, str], listener: int | None
    ) -> None:
        self._reports, report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reader, writer = os.pipe()
        self.stdout: TextIO = open(reader, encoding="utf-8")  # noqa: SIM115 - closed by its reader
        request = json.dumps({"arguments": arguments, "environment": dict(env)})
        descriptors = [report.fileno(), writer, *([] if listener is None else [listener])]
        socket.send_fds(_fork_server(), [request.encode()], descriptors)
        os.close(writer)
        report.close()
        self.pid = int(self._reports.recv(LONGEST))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or ``None`` while it runs."""
        with suppress(BlockingIOError):
            return self.wait(0.0)
        return None

    def wait(self, timeout: float) -> int:
        """Return the exit code. Raises ``TimeoutError``."""
        if self.returncode is None:
            self._reports.settimeout(timeout)
            self.returncode = int(self._reports.recv(LONGEST))
            self._reports.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _fork_server() -> socket.socket:
    """Start the fork server of this process and return the socket for requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return ours
