"""nginx and Caddy on loopback, each started with its file of ``deploy/``.

Host name, ports and paths in the files are replaced, and the texts that a test changes.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path

from tests.support.installed import installed
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.servers import PATIENCE

HOST = "voice.example.com"
BACKEND = "127.0.0.1:8000"


Changes = tuple[tuple[str, str], ...]


def replaced(file: str, changes: Changes) -> str:
    """Return a file of ``deploy/`` with ``changes``; it must contain each replaced text."""
    text = (ROOT / "deploy" / file).read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Proxy(ABC):
    """A proxy for localhost, with the certificate and key in ``pem`` and a file of ``deploy/``.

    ``backends`` are pairs: an address of Patchbay in the file, and the one in its place.
    """

    name: str
    file: str

    def __init__(
        self, folder: Path, backends: Changes, pem: Path, changes: Changes, port: int | None = None
    ) -> None:
        self.port, self.plain_port = port or free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self._folder = folder
        self._pem = pem
        self._changes = (*backends, *changes)
        command = self._prepare()
        with (folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                command, env=self._environment(), stdout=output, stderr=output
            )
        for port in (self.port, self.plain_port):
            self._wait(port)

    @classmethod
    def program(cls) -> str:
        """Path of the program, without which the test is skipped or fails."""
        return installed(cls.name, required_by="REQUIRE_PROXIES")

    @property
    def log(self) -> str:
        """The log so far."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("*.log")))

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def ask(
        self, path: str, body: bytes | None = None, *, method: str = "GET", **headers: str
    ) -> tuple[int, HTTPMessage, bytes]:
        """Status, header fields and body of the answer to a request over TLS."""
        return self._ask(HTTPSConnection("localhost", self.port), method, path, body, headers)

    def ask_plainly(self, path: str) -> tuple[int, HTTPMessage, bytes]:
        """Send the request over plain HTTP."""
        return self._ask(HTTPConnection("localhost", self.plain_port), "GET", path, None, {})

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()

    @abstractmethod
    def _prepare(self) -> Sequence[str]:
        """Write the configuration and return the command that uses it."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _wait(self, port: int) -> None:
        while True:
            assert self._process.poll() is None, self.log
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return

    @staticmethod
    def _ask(
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, HTTPMessage, bytes]:
        connection.timeout = PATIENCE
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, fields)
            with connection.getresponse() as answer:
                return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


class Nginx(Proxy):
    name = "nginx"
    file = "nginx.conf"

    def _prepare(self) -> Sequence[str]:
        letsencrypt = f"/etc/letsencrypt/live/{HOST}"
        text = replaced(
            self.file,
            (
                ("listen [::]:80;", ""),
                ("listen [::]:443 ssl;", ""),
                ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
                ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
                (f"{letsencrypt}/fullchain.pem", str(self._pem)),
                (f"{letsencrypt}/privkey.pem", str(self._pem)),
                ("/var/log/nginx/patchbay.log", f"{self._folder}/patchbay.log"),
                (f"server_name {HOST}", "server_name localhost"),
                *self._changes,
            ),
        )
        (self._folder / "patchbay.conf").write_text(text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {self._folder}/{kind};\n" for kind in kinds)
        # In the place of the operator's own /etc/nginx/nginx.conf.
        (self._folder / "nginx.conf").write_text(
            f"user {getpass.getuser()};\npid {self._folder}/pid;\nerror_log stderr;\ndaemon off;\n"
            f"events {{}}\nhttp {{\n{folders}include {self._folder}/patchbay.conf;\n}}\n"
        )
        return [self.program(), "-p", str(self._folder), "-c", "nginx.conf"]


class NginxOfMachines(Nginx):
    file = "nginx-machines.conf"


class Caddy(Proxy):
    name = "caddy"
    file = "Caddyfile"

    def _prepare(self) -> Sequence[str]:
        # Another Caddy of the machine may have the port for its administrator.
        own = "admin off\n\tdefault_bind 127.0.0.1"
        text = replaced(
            self.file,
            (
                ("http_port 80", f"{own}\n\thttp_port {self.plain_port}"),
                ("https_port 443", f"https_port {self.port}"),
                (f"\n{HOST} {{", "\nlocalhost {"),
                ("# For a certificate of your own: tls", "tls"),
                (f"/etc/ssl/{HOST}.pem", str(self._pem)),
                *self._changes,
            ),
        )
        (self._folder / "Caddyfile").write_text(text)
        return [self.program(), "run", "--config", str(self._folder / "Caddyfile")]

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        own = {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        return {**super()._environment(), **own}


class CaddyOfMachines(Caddy):
    file = "Caddyfile.machines"


@contextmanager
def proxying(
    kind: type[Proxy], folder: Path, backend: int, pem: Path, changes: Changes = ()
) -> Iterator[Proxy]:
    """Run a proxy in front of a server with this port."""
    with running(kind, folder, ((BACKEND, f"127.0.0.1:{backend}"),), pem, changes) as proxy:
        yield proxy


@contextmanager
def running(
    kind: type[Proxy],
    folder: Path,
    backends: Changes,
    pem: Path,
    changes: Changes = (),
    port: int | None = None,
) -> Iterator[Proxy]:
    folder.mkdir()
    proxy = kind(folder, backends, pem, changes, port)
    try:
        yield proxy
    finally:
        proxy.stop()
