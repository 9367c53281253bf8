"""Log handlers of an operator, with readers that have stopped."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from logging.handlers import SysLogHandler
from pathlib import Path

import pytest

from service.telemetry.log_handlers import QueuedHandler, unblock

PROGRAM = """
import json, logging, logging.handlers, os, sys
from service.telemetry import log_handlers, log_output
log = logging.getLogger("own")
log.propagate = False
kind, path = sys.argv[1:]
handler = {
    "pipe": lambda: logging.FileHandler(path),
    "unix": lambda: logging.handlers.SysLogHandler(path),
    "tcp": lambda: logging.handlers.SysLogHandler(json.loads(path), socktype=1),
}[kind]()
log.addHandler(handler)
log_handlers.unblock(log)
log_handlers.unblock(log)
for _ in range(6000):
    log.error("x" * 2000)
print(log_output.dropped() > 1000, flush=True)
if os.fork() == 0:
    print(log_output.dropped(), flush=True)
    os._exit(0)
os.wait()
"""


def outcome(*arguments: str) -> list[str]:
    """Return the output of a process that logs to a stopped reader."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
    )
    return ended.stdout.split()


def test_unread_pipe_blocks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert outcome("pipe", str(path)) == ["True", "0"]
    finally:
        os.close(reader)


def test_stalled_log_server_blocks_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        assert outcome("unix", str(tmp_path / "log")) == ["True", "0"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert outcome("tcp", json.dumps(server.getsockname())) == ["True", "0"]


def test_queued_handler_sends_the_same_as_its_target(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(30)
        log = logging.Logger("own")
        target = SysLogHandler(str(tmp_path / "log"))
        target.setLevel(logging.WARNING)
        log.addHandler(target)
        unblock(log)
        (handler,) = log.handlers
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        values = ["a"]
        log.info("not this")
        log.warning("%s", values)
        values.append("b")
        assert server.recv(100) == b"<12>own: ['a']\0"
        assert isinstance(handler, QueuedHandler)
        assert handler.drain(30)
        handler.close()


@pytest.mark.parametrize("delay", [True, False])
def test_handlers_of_regular_files_are_left_alone(tmp_path: Path, delay: bool) -> None:
    log = logging.Logger("own")
    log.addHandler(handler := logging.FileHandler(tmp_path / "log", delay=delay))
    before = handler.stream
    unblock(log)
    assert handler.stream is before
    log.warning("there at once")
    assert (tmp_path / "log").read_text() == "there at once\n"
    handler.close()
