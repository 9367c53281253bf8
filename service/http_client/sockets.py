"""Connections to other servers: to permitted addresses, and within a deadline.

A name is resolved once. All its addresses are checked, and the connection is made to one of the
checked addresses, so that DNS rebinding cannot redirect it.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

from service.clock import Clock
from service.errors import BadGateway
from service.http_client.addresses import is_public

CONNECT_SECONDS = 3.0
"""Timeout for each address of a name. An address that does not answer leaves time for the next."""

UNRESOLVED = "the name does not resolve"
PRIVATE = "the address is private: set WEBHOOK_ALLOW_PRIVATE=on to allow it"

Resolve = Callable[..., list[tuple[Any, ...]]]
"""The signature of ``socket.getaddrinfo``."""


class Deadline:
    """The end of a wait that consists of several steps."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left. Raises ``TimeoutError`` where none are."""
        left = self._at - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def at_most(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and one ``seconds`` from now."""
        sooner = Deadline(self._clock, seconds)
        return self if self._at < sooner._at else sooner


class PlainSocket(socket.socket):
    """A socket whose ``deadline`` holds for all that is read and written, not for each call."""

    deadline: Deadline

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self.deadline.left())
        super().sendall(*arguments)


class TlsSocket(PlainSocket, ssl.SSLSocket):
    """The same over TLS."""


class Connections:
    """Open connections. Thread-safe."""

    def __init__(self, *, allow_private: bool, resolve: Resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def open(
        self, host: str, port: int, deadline: Deadline, *, tls: bool
    ) -> PlainSocket | TlsSocket:
        """Raises ``BadGateway`` where the address is not permitted or unknown, and ``OSError``."""
        plain = self._connected(self._addresses(host, port, deadline), deadline)
        if not tls:
            return plain
        try:
            plain.settimeout(deadline.left())
            secured = cast(TlsSocket, self._trust.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise
        secured.deadline = deadline
        return secured

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.sslsocket_class = TlsSocket
        return context

    def _addresses(self, host: str, port: int, deadline: Deadline) -> list[tuple[Any, ...]]:
        """Return all addresses of a name, in the order to try them. All must be permitted."""
        found: queue.SimpleQueue[list[tuple[Any, ...]] | None] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(self._resolve(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError):
                found.put(None)

        # The resolver has no timeout, and an unreachable name server blocks it for half a minute.
        # So it runs in a thread, which ends by itself.
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        try:
            addresses = found.get(timeout=deadline.left())
        except queue.Empty:
            raise TimeoutError from None
        if not addresses:
            raise BadGateway(UNRESOLVED)
        if not self._allow_private and not all(is_public(address[4][0]) for address in addresses):
            raise BadGateway(PRIVATE)
        return addresses

    @staticmethod
    def _connected(addresses: list[tuple[Any, ...]], deadline: Deadline) -> PlainSocket:
        trouble = OSError()
        for family, kind, protocol, _, address in addresses:
            plain = PlainSocket(family, kind, protocol)
            try:
                plain.deadline = deadline
                plain.settimeout(min(deadline.left(), CONNECT_SECONDS))
                plain.connect(address)
                # With Nagle's algorithm a body waits until its headers are acknowledged.
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return plain
            except OSError as error:
                plain.close()
                trouble = error
        raise trouble
