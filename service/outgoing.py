"""The one client of other people's HTTP: it sends a request value and returns a response value.

One time-out on the whole answer, from the look-up of the name to the last byte; no retries, and no
more of a body than is wanted. No sentence of it quotes a URL, a header or a body.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from threading import Lock
from urllib.parse import urljoin

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as ReadTimeoutError
from urllib3.response import HTTPResponse
from urllib3.util import parse_url

from service import turns
from service.connections import Connections, Limit, PlainSocket, Resolve, TlsSocket
from service.errors import BadGateway
from service.rest import HttpRequest, HttpResponse
from service.times import Clock

WHOLE_SECONDS = 10.0

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read; the rest of a longer one is not looked at."""

KEPT_SECONDS = 4.0
"""How long an idle connection is used again: the most common servers close theirs after 5 s."""

MOST_KEPT = 64

MOST_REDIRECTS = 3

SAME_REQUEST_THERE = (301, 302, 307, 308)

PORTS = {"http": 80, "https": 443}

# It would log the URL of an answer whose headers it cannot read.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Origin:
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An open connection on which nothing is under way."""

    origin: Origin
    http: HTTPConnection
    socket: PlainSocket | TlsSocket
    since: float


class Outgoing:
    """Thread-safe. Connections are kept for a moment and used again.

    Without ``allow_private``, addresses that are not of the public internet are refused.
    """

    def __init__(
        self, clock: Clock, *, allow_private: bool = True, resolve: Resolve = socket.getaddrinfo
    ) -> None:
        self._clock = clock
        self._connections = Connections(allow_private=allow_private, resolve=resolve)
        self._lock = Lock()
        self._kept: list[Kept] = []

    def send(
        self,
        request: HttpRequest,
        *,
        seconds: float = WHOLE_SECONDS,
        redirects: bool = False,
        wanted: int = MAX_BODY,
    ) -> HttpResponse:
        """Raises ``BadGateway`` where no whole answer comes in time.

        ``wanted`` is how many bytes of its body are. With ``redirects`` the same request goes
        where the answer points to, body and headers included, and where that points to.
        """
        with turns.waiting():
            return self._send(request, seconds, redirects, wanted)

    def _send(
        self, request: HttpRequest, seconds: float, redirects: bool, wanted: int
    ) -> HttpResponse:
        limit = Limit(self._clock, seconds)
        url = request.url
        try:
            for _ in range(1 + MOST_REDIRECTS):
                response, headers = self._ask(request, url, limit, wanted)
                if not redirects or response.status not in SAME_REQUEST_THERE:
                    return response
                url = _redirected(url, headers.get("location"))
        except (TimeoutError, ReadTimeoutError):
            raise BadGateway("no whole answer in time") from None
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise BadGateway(f"no answer ({type(error).__name__})") from None
        raise BadGateway(f"it redirects more than {MOST_REDIRECTS} times")

    def close(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, []
        for one in kept:
            one.http.close()

    def _ask(
        self, request: HttpRequest, url: str, limit: Limit, wanted: int
    ) -> tuple[HttpResponse, Mapping[str, str]]:
        origin, target = _split(url)
        connection = self._taken(origin) or self._opened(origin, limit)
        connection.socket.limit = limit
        http, is_done = connection.http, False
        try:
            http.timeout = limit.left()
            http.request(
                request.method, target, request.body, request.headers, preload_content=False
            )
            answer = http.getresponse()
            try:
                body, is_done = _body(answer, wanted)
            finally:
                answer.close()
        finally:
            # What is unread would be taken for the next answer. One without a socket is to be
            # closed, its server says.
            if is_done and http.sock is not None:
                self._keep(connection)
            else:
                http.close()
        return HttpResponse(answer.status, body), answer.headers

    def _opened(self, origin: Origin, limit: Limit) -> Kept:
        is_tls = origin.scheme == "https"
        opened = self._connections.open(origin.host, origin.port, limit, tls=is_tls)
        http = (HTTPSConnection if is_tls else HTTPConnection)(origin.host, origin.port)
        http.sock = opened
        return Kept(origin, http, opened, self._clock.monotonic())

    def _taken(self, origin: Origin) -> Kept | None:
        """A kept connection that is still good."""
        while True:
            with self._lock:
                found = next((one for one in self._kept if one.origin == origin), None)
                if found is None:
                    return None
                self._kept.remove(found)
            is_fresh = self._clock.monotonic() - found.since < KEPT_SECONDS
            if is_fresh and found.http.is_connected:
                return found
            found.http.close()

    def _keep(self, connection: Kept) -> None:
        """Newest first, so that the oldest is the one too many."""
        now = self._clock.monotonic()
        with self._lock:
            self._kept.insert(0, Kept(connection.origin, connection.http, connection.socket, now))
            surplus, self._kept = self._kept[MOST_KEPT:], self._kept[:MOST_KEPT]
        for one in surplus:
            one.http.close()


def _split(url: str) -> tuple[Origin, str]:
    """Whom to connect to, and what to ask for there."""
    parts = parse_url(url)
    if parts.scheme not in PORTS or not parts.host:
        raise BadGateway("the address does not begin with http:// or https://")
    host = parts.host.removeprefix("[").removesuffix("]")
    return Origin(parts.scheme, host, parts.port or PORTS[parts.scheme]), parts.request_uri


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise BadGateway("it redirects without saying where")
    there = urljoin(url, location)
    if url.lower().startswith("https:") and not there.lower().startswith("https:"):
        raise BadGateway("it redirects from https to something else")
    return there


def _body(answer: HTTPResponse, wanted: int) -> tuple[bytes, bool]:
    """As much of it as is wanted, and whether it was read to its end."""
    body = b""
    while piece := answer.read1(4096):
        body += piece
        if len(body) >= wanted:
            return body[:wanted], False
    return body, True
