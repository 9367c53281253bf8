"""A real gunicorn on loopback, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from urllib.request import Request, urlopen

from service.settings import Settings
from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT
from tests.support.ports import free_port

FORKED = ()
"""gunicorn as ``fork_server`` starts it. Then a setting ``LISTENER`` is a socket of systemd's."""

GUNICORN = (sys.executable, "-m", "gunicorn")
ACTIVATED = (
    sys.executable,
    "-c",
    """
import os, sys
os.dup2(int(os.environ["LISTENER"]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "gunicorn"])
""",
)
"""gunicorn on an inherited socket, as with systemd's socket activation."""
PATIENCE = 60
"""Seconds to wait for the state that a test expects."""


def environment(data: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that sets every setting, so that ``.env`` has no effect."""
    unset = {field.name.upper(): "" for field in fields(Settings)}
    own = {"API_KEY": "key", "API_SECRET": "secret" * 8, "DATA_DIR": str(data)}
    # gunicorn reads it as well, and takes no empty value.
    own["WEB_CONCURRENCY"] = "1"
    # Do not wait for calls that a test has left behind.
    own["DRAIN_SECONDS"] = "1"
    own["DIAL_ALLOWED"] = "*"
    # Addresses without a listener: no test connects to a provider.
    own |= {f"{name}_API_URL": "http://127.0.0.1:9" for name in ("TWILIO", "PLIVO", "TELNYX")}
    return {**os.environ, **unset, **own, "PYTHONUNBUFFERED": "1", **changes}


def _started(
    command: Sequence[str], arguments: Sequence[str], env: Mapping[str, str]
) -> subprocess.Popen[str] | ForkedProcess:
    listener = int(env["LISTENER"]) if "LISTENER" in env else None
    if not command:
        return ForkedProcess(arguments, env, listener)
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        pass_fds=() if listener is None else [listener],
    )


class Server:
    """A running gunicorn. ``output`` is complete after its end."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> None:
        self.url = f"http://127.0.0.1:{env['PORT']}"
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._process = _started(command, arguments, env)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    def wait_for(self, text: str) -> None:
        """Return when ``text`` was printed; fail if the server ends or does not print it."""
        with self._news:
            self._news.wait_for(
                lambda: text in "".join(self._lines) or not self._reader.is_alive(), PATIENCE
            )
            assert text in "".join(self._lines), "".join(self._lines)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Return the status of a GET; raise ``urllib.error.HTTPError`` for an error."""
        request = Request(self.url + path, headers=dict(headers or {}))
        with urlopen(request, timeout=PATIENCE) as answer:
            status: int = answer.status
            return status

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """Stop it with SIGTERM and return its exit code."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._reader.join(PATIENCE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def serving(
    data: Path, *arguments: str, command: Sequence[str] = FORKED, **changes: str
) -> Iterator[Server]:
    """Run a server with the given settings and gunicorn arguments."""
    env = environment(data, {"PORT": str(free_port()), **changes})
    server = Server(command, env, arguments)
    try:
        server.wait_for("Listening at: ")
        yield server
    finally:
        server.stop()


def refused(
    data: Path, *arguments: str, command: Sequence[str] = FORKED, **changes: str
) -> tuple[int, str]:
    """Return exit code and output of a server that must not start."""
    server = Server(command, environment(data, {"PORT": str(free_port()), **changes}), arguments)
    return server.wait(), server.output
