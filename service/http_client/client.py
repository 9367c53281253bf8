"""The HTTP client: sends a request value and returns a response value.

One timeout covers the whole request, from name resolution to the last byte. There are no retries.
A received status counts even where the body breaks off, because the server has acted by then. No
error message contains a URL, a header or a body.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection as PlainConnection
from http.client import HTTPException, HTTPMessage
from http.client import HTTPResponse as PlainResponse
from threading import Lock
from urllib.parse import urljoin

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from service.clock import Clock
from service.errors import BadGateway
from service.http_client.messages import HttpRequest, HttpResponse
from service.http_client.sockets import Connections, Deadline, PlainSocket, Resolve, TlsSocket
from service.process import turns

WHOLE_SECONDS = 10.0

BODY_SECONDS = 1.0
"""Seconds for which a body that is not needed is read, so that its connection can be reused."""

MAX_BODY = 64 * 1024
"""Bytes of a body that are read at most."""

KEPT_SECONDS = 4.0
"""Seconds for which an idle connection is kept. Most servers close theirs after 5 s."""

MOST_KEPT = 64

MOST_REDIRECTS = 3

SAME_REQUEST_THERE = (301, 302, 307, 308)

MOST_INTERIM = 10
"""Interim responses (1xx) that are read before the final one."""

SWITCHING = 101

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class IdleConnection:
    """An open connection without a request in progress."""

    origin: Origin
    http: HTTPConnection
    socket: PlainSocket | TlsSocket
    since: float


class Answer(PlainResponse):
    """Read the final response. The standard library takes a 103 for it.

    Its status counts, even where its headers exceed the standard library's limits or the connection
    breaks within them.
    """

    def begin(self) -> None:
        for _ in range(MOST_INTERIM):
            try:
                super().begin()
            except TimeoutError:
                raise
            except (HTTPException, OSError):
                if not isinstance(self.status, int) or self.status < 200:
                    raise
                self.headers = self.msg = HTTPMessage()
                self.chunked, self.length, self.will_close = False, 0, True
            if self.status >= 200 or self.status == SWITCHING:
                return
            # ``begin`` does nothing where there are headers.
            vars(self).update(headers=None, msg=None)
        raise HTTPException(f"more than {MOST_INTERIM} interim answers")


class HttpClient:
    """Thread-safe. Idle connections are kept for ``KEPT_SECONDS`` and reused.

    Without ``allow_private``, addresses outside the public internet are refused.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        allow_private: bool = True,
        resolve: Resolve = socket.getaddrinfo,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self._clock = clock
        self._most_kept = most_kept
        self._connections = Connections(allow_private=allow_private, resolve=resolve)
        self._lock = Lock()
        self._kept: list[IdleConnection] = []

    def send(
        self,
        request: HttpRequest,
        *,
        seconds: float = WHOLE_SECONDS,
        redirects: bool = False,
        wanted: int = MAX_BODY,
        needs_body: bool = False,
    ) -> HttpResponse:
        """Send the request. Raises ``BadGateway`` where no status arrives in time.

        Return at most the first ``wanted`` bytes of the body: fewer where the connection breaks
        or, unless ``needs_body``, after ``BODY_SECONDS``. With ``redirects`` the same request,
        including body and headers, follows each redirect.
        """
        body_seconds = seconds if needs_body else BODY_SECONDS
        with turns.waiting():
            return self._send(request, seconds, redirects, wanted, body_seconds)

    def _send(
        self,
        request: HttpRequest,
        seconds: float,
        redirects: bool,
        wanted: int,
        body_seconds: float,
    ) -> HttpResponse:
        deadline = Deadline(self._clock, seconds)
        url = request.url
        try:
            for _ in range(1 + MOST_REDIRECTS):
                response, headers = self._ask(request, url, deadline, wanted, body_seconds)
                if not redirects or response.status not in SAME_REQUEST_THERE:
                    return response
                url = _redirected(url, headers.get("location"))
        except TimeoutError:
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
        self, request: HttpRequest, url: str, deadline: Deadline, wanted: int, body_seconds: float
    ) -> tuple[HttpResponse, Message]:
        origin, target = _split(url)
        connection = self._taken(origin) or self._opened(origin, deadline)
        connection.socket.deadline = deadline
        http, is_sent, is_done = connection.http, False, False
        try:
            http.timeout = deadline.left()
            # A server may answer and close before it has read the whole request.
            with suppress(BrokenPipeError, ConnectionResetError):
                http.request(
                    request.method, target, request.body, request.headers, preload_content=False
                )
                is_sent = True
            # The standard library's response: urllib3's can fail for more reasons.
            answer = PlainConnection.getresponse(http)
            connection.socket.deadline = deadline.at_most(body_seconds)
            with answer:
                body, is_done = _body(answer, wanted)
        finally:
            # An unread rest would be taken for the next response. The socket is None where the
            # server wants the connection closed.
            if is_sent and is_done and http.sock is not None:
                self._keep(connection)
            else:
                http.close()
        return HttpResponse(answer.status, body), answer.headers

    def _opened(self, origin: Origin, deadline: Deadline) -> IdleConnection:
        is_tls = origin.scheme == "https"
        opened = self._connections.open(origin.host, origin.port, deadline, tls=is_tls)
        http = (HTTPSConnection if is_tls else HTTPConnection)(origin.host, origin.port)
        http.response_class = Answer
        http.sock = opened
        return IdleConnection(origin, http, opened, self._clock.monotonic())

    def _taken(self, origin: Origin) -> IdleConnection | None:
        """Return a kept connection that is still usable."""
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

    def _keep(self, connection: IdleConnection) -> None:
        """Keep a connection. Beyond ``most_kept`` the oldest is closed."""
        now = self._clock.monotonic()
        with self._lock:
            self._kept.insert(
                0, IdleConnection(connection.origin, connection.http, connection.socket, now)
            )
            surplus, self._kept = self._kept[self._most_kept :], self._kept[: self._most_kept]
        for one in surplus:
            one.http.close()


def _split(url: str) -> tuple[Origin, str]:
    """Return the origin of a URL and the request target."""
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


def _body(answer: PlainResponse, wanted: int) -> tuple[bytes, bool]:
    """Return the bytes read of the body, and whether it was read to its end."""
    body = bytearray()
    try:
        while piece := answer.read1(4096):
            body += piece
            if len(body) >= wanted:
                return bytes(body[:wanted]), False
    except (HTTPException, OSError, ValueError):
        return bytes(body), False
    return bytes(body), not answer.length
