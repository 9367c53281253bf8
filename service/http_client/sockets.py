"""Connections to other people's servers: to an address that may be reached, and within a time.

A name is resolved once. Every address that it has is judged, and the connection is made to one of
those that were: a name with another address a moment later (DNS rebinding) leads nowhere else.
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
"""For each address of a name, so that one where nobody answers leaves time for the next."""

UNRESOLVED = "the name does not resolve"
PRIVATE = "the address is private: set WEBHOOK_ALLOW_PRIVATE=on to allow it"

Resolve = Callable[..., list[tuple[Any, ...]]]
"""What ``socket.getaddrinfo`` is."""


class Limit:
    """Until when something is waited for, however many steps it takes."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then. Raises ``TimeoutError`` where there are none."""
        left = self._at - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def at_most(self, seconds: float) -> Limit:
        """Return the earlier of this deadline and one ``seconds`` from now."""
        sooner = Limit(self._clock, seconds)
        return self if self._at < sooner._at else sooner


class PlainSocket(socket.socket):
    """A socket whose ``limit`` holds for all that is read and written, and not for each piece."""

    limit: Limit

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self.limit.left())
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self.limit.left())
        super().sendall(*arguments)


class TlsSocket(ssl.SSLSocket):
    """The same over TLS."""

    limit: Limit

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self.limit.left())
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self.limit.left())
        super().sendall(*arguments)


class Connections:
    """Thread-safe. Makes connections, and keeps none."""

    def __init__(self, *, allow_private: bool, resolve: Resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def open(self, host: str, port: int, limit: Limit, *, tls: bool) -> PlainSocket | TlsSocket:
        """Raises ``BadGateway`` with a sentence where it may not be, and ``OSError``."""
        plain = self._connected(self._addresses(host, port, limit), limit)
        if not tls:
            return plain
        try:
            plain.settimeout(limit.left())
            secured = cast(TlsSocket, self._trust.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise
        secured.limit = limit
        return secured

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.sslsocket_class = TlsSocket
        return context

    def _addresses(self, host: str, port: int, limit: Limit) -> list[tuple[Any, ...]]:
        """All of the name's, in the order to try them, where each of them may be reached."""
        found: queue.SimpleQueue[list[tuple[Any, ...]] | None] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(self._resolve(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError):
                found.put(None)

        # No time-out can be given to the resolver, and a name server that is away holds it for
        # half a minute. So it is waited for in a thread of its own, which then ends by itself.
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        try:
            addresses = found.get(timeout=limit.left())
        except queue.Empty:
            raise TimeoutError from None
        if not addresses:
            raise BadGateway(UNRESOLVED)
        if not self._allow_private and not all(is_public(address[4][0]) for address in addresses):
            raise BadGateway(PRIVATE)
        return addresses

    @staticmethod
    def _connected(addresses: list[tuple[Any, ...]], limit: Limit) -> PlainSocket:
        trouble = OSError()
        for family, kind, protocol, _, address in addresses:
            plain = PlainSocket(family, kind, protocol)
            try:
                plain.limit = limit
                plain.settimeout(min(limit.left(), CONNECT_SECONDS))
                plain.connect(address)
                # Or a body would wait until the headers before it are acknowledged.
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return plain
            except OSError as error:
                plain.close()
                trouble = error
        raise trouble
