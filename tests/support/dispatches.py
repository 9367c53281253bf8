"""The examples in separate processes, and dispatches to them."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.patchbays import Patchbay
from tests.support.ports import free_port
from tests.support.servers import PATIENCE, Server


@contextmanager
def running(name: str, *arguments: str) -> Iterator[str]:
    """Run an example in a separate process; yield its URL."""
    env = {**os.environ, "PORT": str(free_port())}
    command = [sys.executable, f"examples/{name}.py", "--port", env["PORT"], *arguments]
    example = Server(command, env)
    try:
        example.wait_for("Listening at ")
        yield example.url
    finally:
        example.stop()


def dispatch(url: str, body: bytes, signature: bytes = b"") -> int:
    """Dispatch an example as Patchbay does; return the status of its answer."""
    headers = {"videosdk-signature": base64.b64encode(signature).decode(), "x-patchbay-key": "1"}
    try:
        with urlopen(Request(url, body, headers), timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def invitation(patchbay: Patchbay, room: str) -> tuple[str, bytes]:
    """Return the agent's call id, and the fields of a dispatch that the agent uses."""
    session = patchbay.invite(room)
    return session["callId"], json.dumps({"roomId": room, "wsUrl": session["wsUrl"]}).encode()
