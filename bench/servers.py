"""Start the servers under test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from bench import process_stats
from service.security import access_tokens
from service.settings import Settings

ROOT = Path(__file__).parent.parent
ALTERNATIVES = Path(__file__).parent / "alternatives"

API_KEY = "bench"
API_SECRET = "s" * 32
MAX_CALLS = 5000
START_TIMEOUT = 30
"""Seconds until a server must accept requests."""


@dataclass(frozen=True, slots=True)
class Start:
    """The command that starts a server, its folder and its environment."""

    command: list[str]
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServerType:
    """A server that can be tested.

    ``uses_webhooks`` is set if calls need a webhook and a reference, as only Patchbay's do.
    ``missing`` returns why the server cannot start on this machine, or an empty string.
    """

    name: str
    start: Callable[[int, Path], Start]
    uses_webhooks: bool = False
    missing: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pids: list[int]
    token: str


def _patchbay(port: int, data: Path) -> Start:
    settings = {field.name.upper(): "" for field in fields(Settings)}
    own = {
        "API_KEY": API_KEY,
        "API_SECRET": API_SECRET,
        "DATA_DIR": str(data),
        "LOG_LEVEL": "warning",
        "MAX_CALLS": str(MAX_CALLS),
        "PORT": str(port),
        # gunicorn reads it as well, and takes no empty value.
        "WEB_CONCURRENCY": "1",
    }
    return Start([sys.executable, "-m", "gunicorn"], ROOT, settings | own)


def _two_workers(port: int, data: Path) -> Start:
    start = _patchbay(port, data)
    return replace(start, environment={**start.environment, "WEB_CONCURRENCY": "2"})


def _flask_sock(port: int, data: Path) -> Start:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--threads", str(MAX_CALLS)]
    command += ["--worker-connections", str(2 * MAX_CALLS), "--no-control-socket"]
    return Start([*command, "flask_sock_app:app"], ALTERNATIVES, {"PYTHONPATH": str(ROOT)})


def _asyncio(port: int, data: Path) -> Start:
    command = [sys.executable, "asyncio_server.py", str(port)]
    return Start(command, ALTERNATIVES, {"PYTHONPATH": str(ROOT)})


def _node(port: int, data: Path) -> Start:
    return Start(["node", "node_server.js", str(port)], ALTERNATIVES, {})


def _node_missing() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    if not (ALTERNATIVES / "node_modules" / "ws").is_dir():
        return "its ws package is not installed (`make bench` does that where npm is)"
    return ""


PATCHBAY = ServerType("Patchbay", _patchbay, uses_webhooks=True)

TWO_WORKERS = ServerType("Patchbay, two workers", _two_workers, uses_webhooks=True)

SERVER_TYPES = (
    PATCHBAY,
    ServerType("flask-sock, a thread per socket", _flask_sock),
    ServerType("asyncio websockets", _asyncio),
    ServerType("Node ws", _node, missing=_node_missing),
)


@contextmanager
def serving(
    server_type: ServerType, cores: tuple[int, int] | None, **settings: str
) -> Iterator[Server]:
    """Run a fresh server with all its threads on one core; runs share no state."""
    with (
        TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as data,
        TemporaryFile("w+") as log,
    ):
        port = _free_port()
        start = server_type.start(port, Path(data))
        own = os.sched_getaffinity(0)
        if cores is not None:
            # A process inherits its parent's cores.
            os.sched_setaffinity(0, {cores[0]})
        try:
            process = subprocess.Popen(  # noqa: S603 - one of the commands above
                start.command,
                cwd=start.folder,
                env={**os.environ, **start.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        finally:
            os.sched_setaffinity(0, own)
        try:
            _await_answer(port, process)
            now = time.time_ns() // 1_000_000
            token = (
                access_tokens.mint(API_KEY, API_SECRET, now) if server_type.uses_webhooks else ""
            )
            yield Server(port, process_stats.family(process.pid), token)
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:])
            raise
        finally:
            # Its data is discarded, and a graceful end of thousands of calls takes long.
            for pid in process_stats.family(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the server sends any HTTP response."""
    deadline = time.monotonic() + START_TIMEOUT
    pause = threading.Event()
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                if probe.recv(1):
                    return
        except OSError:
            pass
        pause.wait(0.05)
    raise RuntimeError("The server under test did not start.")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
