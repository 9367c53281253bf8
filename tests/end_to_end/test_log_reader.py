"""A server whose log is not read: it answers, its calls have audio, and it stops on request."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from service.security import access_tokens
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from service.telemetry.log_output import MOST_LINES
from tests.support.flooding import flood, outcome
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.servers import GUNICORN, PATIENCE, environment

PIPE = 4096
"""Bytes that the pipe holds."""

DROPPED = 400
"""Lines that are dropped at least."""

MANY = MOST_LINES + 2 * DROPPED
"""Requests: more lines than the pipe and the log queue hold."""


class Unread:
    """A gunicorn whose output goes into a pipe that is read only on request."""

    def __init__(self, data: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        env = environment(data, {"PORT": self.address.rpartition(":")[2]})
        self._reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
        self.process = subprocess.Popen(
            [*GUNICORN, "--access-logfile", "-"], cwd=ROOT, env=env, stdout=writer, stderr=writer
        )
        os.close(writer)
        self.token = access_tokens.mint("key", "secret" * 8, time.time_ns() // 1_000_000)
        self._wait()

    def _wait(self) -> None:
        host, _, port = self.address.rpartition(":")
        pause = threading.Event()
        for _ in range(20 * PATIENCE):
            with socket.socket() as probe:
                if not probe.connect_ex((host, int(port))):
                    return
            pause.wait(0.05)
        raise AssertionError("it does not listen")

    def ask(self, path: str, body: bytes | None = None) -> str:
        headers = {"Authorization": self.token, "Content-Type": "application/json"}
        request = Request(f"http://{self.address}{path}", body, headers)
        with urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def read_until(self, text: str) -> str:
        got = ""
        while text not in got:
            piece = os.read(self._reader, 65_536)
            assert piece, got[-1000:]
            got += piece.decode()
        return got

    def flood(self) -> dict[int, int]:
        return outcome(flood(self.address, "X: y", "/healthz", times=MANY))

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._reader)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Unread]:
    server = Unread(tmp_path)
    try:
        yield server
    finally:
        server.close()


def test_an_unread_log_blocks_nothing(server: Unread) -> None:
    made = server.ask(
        "/v2/connectors", b'{"provider": "telnyx", "defaultRoomId": "demo-room-0001"}'
    )
    hook = re.search(r'"webhookUrl":"([^"]+)"', made)
    assert hook
    assert server.flood() == {200: MANY}
    phone = Phone(Scenario(webhook_url=hook[1], loop=True)).start()
    phone.wait_for("first-audio")
    phone.hang_up()
    phone.join(PATIENCE)
    dropped = re.search(r"\npatchbay_log_lines_dropped_total ([0-9.]+)", server.ask("/metrics"))
    assert dropped
    assert float(dropped[1]) > DROPPED
    log = server.read_until(" lines of the log were dropped")
    assert "Booting worker" in log
    assert server.flood() == {200: MANY}
    # Neither the master nor the worker waits for the reader on its way out.
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
