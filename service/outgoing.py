"""The one client of other people's HTTP: it sends a request value and returns a response value.

Time-outs on connecting, on each read and on the whole answer; no redirects, no retries, and no more
of a body than is wanted. No sentence of it quotes a URL, a header or a body.
"""

from __future__ import annotations

import urllib3

from service.errors import BadGateway
from service.rest import HttpRequest, HttpResponse
from service.times import Clock

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
WHOLE_SECONDS = 10.0

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read; the rest of a longer one is not looked at."""


class Outgoing:
    """Thread-safe. Connections are kept and used again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool = urllib3.PoolManager(
            maxsize=4,
            block=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )

    def send(self, request: HttpRequest) -> HttpResponse:
        """Raises ``BadGateway`` where no whole answer comes in time."""
        deadline = self._clock.monotonic() + WHOLE_SECONDS
        try:
            response = self._pool.request(
                request.method,
                request.url,
                body=request.body,
                headers=request.headers,
                redirect=False,
                preload_content=False,
            )
            try:
                return HttpResponse(response.status, self._body(response, deadline))
            finally:
                # What is unread would be taken for the next answer: such a connection is not kept.
                response.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise BadGateway(f"no answer ({type(error).__name__})") from None

    def close(self) -> None:
        self._pool.clear()

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        body = b""
        while len(body) < MAX_BODY and (piece := response.read1(4096)):
            body += piece
            if self._clock.monotonic() > deadline:
                raise BadGateway("no whole answer in time")
        return body[:MAX_BODY]
