"""nginx on loopback, with the part of its configuration that a test writes."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.installed import installed
from tests.support.servers import PATIENCE

WHOLE = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  {temporary}
  access_log off;
  {part}
}}
"""


class Nginx:
    """A running nginx, whose configuration may be replaced."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._process = process

    def reload(self, part: str) -> None:
        """Have it read another configuration. It takes effect a moment later."""
        _write(self._folder, part)
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def nginx(folder: Path, port: int, part: str) -> Iterator[Nginx]:
    """Run it. It listens on ``port`` when this returns; ``part`` is the text inside ``http``."""
    folder.mkdir(parents=True)
    _write(folder, part)
    program = installed("nginx", required_by="REQUIRE_PROXIES")
    with (folder / "output.log").open("wb") as output:
        command = [program, "-p", str(folder), "-c", "nginx.conf"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        pause = threading.Event()
        while True:
            assert process.poll() is None, (folder / "output.log").read_text()
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            pause.wait(0.02)
        yield Nginx(folder, process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _write(folder: Path, part: str) -> None:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    text = WHOLE.format(folder=folder, temporary=temporary, part=part)
    (folder / "nginx.conf").write_text(text)
