"""gunicorn without the second that its imports take.

A process has imported everything that a server imports, and forks one for each request. What it
forks is gunicorn's master with its own environment, arguments and output, as if it had just been
executed. Its parent reports its process id and its end, and kills it when the tests are gone.
At its end no process clears its modules, which would copy all memory that it shares.

``python -m tests.support.fork_server DESCRIPTOR`` takes requests from a Unix socket.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import gunicorn.app.wsgiapp

import service.app
import service.cli.console
import service.cli.migrate
import service.cli.quickstart
import service.server.worker

__all__ = ("service",)

LARGEST = 1 << 17
"""Bytes of a request: an environment."""

FIRST_LISTENER = 3
"""The descriptor at which systemd passes a socket."""


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        # What was imported stays for good, and is shared with the servers.
        gc.collect()
        gc.freeze()
        # Nobody waits for the parents of the servers, and Ctrl-C is for the tests.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            data, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 3)
            if not data:
                return
            if not os.fork():
                break
            for each in descriptors:
                os.close(each)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = json.loads(data)
    report, output, *listeners = descriptors
    with socket.socket(fileno=report) as reports:
        if pid := os.fork():
            for each in (output, *listeners):
                os.close(each)
            _watch(pid, reports)
            os._exit(0)
    signal.signal(signal.SIGINT, interrupt)
    _become_gunicorn(request["arguments"], request["environment"], output, listeners)


def _watch(pid: int, reports: socket.socket) -> None:
    """Report the process id and the exit code; kill the server if nobody listens any more."""
    reports.sendall(b"%d" % pid)
    end = os.pidfd_open(pid)
    ready, _, _ = select.select([end, reports], [], [])
    if end not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if end in ready:
        reports.sendall(b"%d" % os.waitstatus_to_exitcode(status))


def _become_gunicorn(
    arguments: Sequence[str], environment: dict[str, str], output: int, listeners: Sequence[int]
) -> None:
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    for listener in listeners:
        if listener != FIRST_LISTENER:
            os.dup2(listener, FIRST_LISTENER)
            os.close(listener)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    sys.argv = ["gunicorn", *arguments]
    # Its workers leave here as well.
    try:
        gunicorn.app.wsgiapp.run(prog="gunicorn")
    except SystemExit as end:
        _exit(end.code)
    _exit(0)


def _exit(code: str | int | None) -> NoReturn:
    """End as the interpreter does, except that the memory is left to the kernel."""
    if isinstance(code, str):
        sys.stderr.write(code + "\n")
        code = 1
    # multiprocessing ends its forked processes by the same two calls: Python has no public ones.
    threading._shutdown()  # type: ignore[attr-defined] # typeshed lacks it.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main()
