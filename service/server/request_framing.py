"""Assemble one HTTP/1.1 request from bytes as they arrive. No I/O.

Each part of a request has one reader, so that two readers cannot disagree on where it ends:
gunicorn's parser reads the head and this module reads the body. The application gets the bytes of
the body and never a socket. Input outside the grammar is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gunicorn.http import errors
from gunicorn.http.body import CHUNK_EXT_RE, ChunkedReader

from service.server.refusals import Refused

MAX_LINE = 32 * 1024
"""Bytes of the request line, which contains the parameters of a webhook by GET."""

MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 1024
MAX_TRAILERS = 8 * 1024

MAX_CHUNK_OVERHEAD = 64 * 1024
"""Bytes of a chunked body besides its content. Chunks of one byte have five each."""

HEAD_END = re.compile(rb"\n\r?\n")
"""The second form is not a valid end. It is passed to the parser, which refuses the head."""

CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")

FORMS = {
    errors.LimitRequestLine: (414, "The request line is too long."),
    errors.LimitRequestHeaders: (431, "The request's header fields are too large."),
    errors.UnsupportedTransferCoding: (501, "Transfer-Encoding may only be chunked."),
    errors.ExpectationFailed: (417, "Expect may only be 100-continue."),
    errors.ForbiddenProxyRequest: (403, "The PROXY protocol is not allowed from this address."),
    errors.InvalidRequestLine: (400, "The request line is not valid."),
    errors.InvalidRequestMethod: (400, "The request's method is not valid."),
    errors.InvalidHTTPVersion: (400, "The request's HTTP version is not supported."),
}
MALFORMED = (400, "The request is not valid HTTP/1.1.")
BAD_CHUNK = (400, "The request's chunked body is not valid.")


def refusal(error: Exception) -> Refused:
    """Map an exception of gunicorn's parser to an answer, which quotes nothing of the request."""
    return Refused(*FORMS.get(type(error), MALFORMED))


class Incoming:
    """One request. Raises ``Refused`` from ``feed`` where it cannot be accepted.

    ``parse`` turns a complete head into gunicorn's request. ``limit_of`` returns the longest body
    in bytes that is read for a path. A longer one is left unread: the application refuses it with
    its documented error. Beyond ``largest`` the request is refused here.
    """

    def __init__(
        self, parse: Callable[[bytes], Any], limit_of: Callable[[str], int], largest: int
    ) -> None:
        self._parse = parse
        self._limit_of = limit_of
        self._largest = largest
        self._head = bytearray()
        self._body: LengthBody | ChunkedBody | None = None
        self.request: Any = None
        """gunicorn's request, once the head is complete."""

    @property
    def is_complete(self) -> bool:
        return self._body is not None and self._body.is_complete

    @property
    def longest(self) -> int:
        """The greatest length of the body in bytes; 0 before it is known."""
        return 0 if self._body is None else self._body.longest

    @property
    def body(self) -> bytes:
        return b"" if self._body is None else bytes(self._body.content)

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._head) + (0 if self._body is None else len(self._body.content))

    def wants(self, at_most: int) -> int | None:
        """Return how many of the next bytes belong to this request; ``None`` if unknown."""
        if isinstance(self._body, LengthBody):
            return min(self._body.missing, at_most)
        return None

    def feed(self, data: bytes) -> int:
        """Consume the bytes of ``data`` that belong to this request. Return their number."""
        used = 0
        if self._body is None:
            used = self._feed_head(data)
        if self._body is not None and not self._body.is_complete:
            used += self._body.feed(data[used:])
        return used

    def _feed_head(self, data: bytes) -> int:
        before = len(self._head)
        self._head += data
        end = HEAD_END.search(self._head, max(0, before - 2))
        size = end.end() if end else len(self._head)
        line = self._head.find(b"\n", 0, MAX_LINE + 4)
        if line < 0 and size > MAX_LINE + 4:
            raise refusal(errors.LimitRequestLine(size))
        if size > MAX_HEAD:
            raise refusal(errors.LimitRequestHeaders(""))
        if end is None:
            return len(data)
        try:
            self.request = self._parse(bytes(self._head[:size]))
        except errors.ParseException as error:
            raise refusal(error) from None
        self._head.clear()
        self._body = self._body_of(self.request)
        return size - before

    def _body_of(self, request: Any) -> LengthBody | ChunkedBody:
        limit, reader = self._limit_of(request.path), request.body.reader
        if isinstance(reader, ChunkedReader):
            return ChunkedBody(request, limit)
        if reader.length > self._largest:
            raise Refused(413, f"The request's body is larger than {self._largest // 1024} KB.")
        if reader.length > limit:
            request.force_close()
            return LengthBody(0)
        return LengthBody(reader.length)


class LengthBody:
    def __init__(self, length: int) -> None:
        self.longest = length
        self.content = bytearray()

    @property
    def missing(self) -> int:
        return self.longest - len(self.content)

    @property
    def is_complete(self) -> bool:
        return not self.missing

    def feed(self, data: bytes) -> int:
        taken = data[: self.missing]
        self.content += taken
        return len(taken)


class ChunkedBody:
    """Decode a chunked body (RFC 9112, 7.1).

    A body longer than ``limit`` is complete one byte beyond it. The connection is then not reused,
    because the start of the next request is unknown.
    """

    def __init__(self, request: Any, limit: int) -> None:
        self._request = request
        self.longest = limit
        self._rest = bytearray()
        """Bytes not decoded yet: part of a line, of a chunk's end or of the trailers."""
        self._missing = 0
        self._ends_chunk = self._is_in_trailers = False
        self._overhead = 0
        self.is_complete = False
        self.content = bytearray()

    def feed(self, data: bytes) -> int:
        before = len(self._rest)
        self._rest += data
        used = 0
        while not self.is_complete and (step := self._step(used)):
            used += step
        del self._rest[:used]
        return used - before if self.is_complete else len(data)

    def _step(self, at: int) -> int:
        """Decode one piece at ``at``. Return its length, or 0 where more bytes are needed."""
        if self._missing:
            return self._content(at)
        if self._ends_chunk:
            return self._chunk_end(at)
        step = self._trailers(at) if self._is_in_trailers else self._size(at)
        self._overhead += step
        if self._overhead > MAX_CHUNK_OVERHEAD:
            raise Refused(*BAD_CHUNK)
        return step

    def _content(self, at: int) -> int:
        piece = self._rest[at : at + self._missing]
        self.content += piece
        self._missing -= len(piece)
        self._ends_chunk = not self._missing
        if len(self.content) > self.longest:
            del self.content[self.longest + 1 :]
            self._request.force_close()
            self.is_complete = True
        return len(piece)

    def _chunk_end(self, at: int) -> int:
        end = self._rest[at : at + 2]
        if not b"\r\n".startswith(end):
            raise Refused(*BAD_CHUNK)
        if len(end) < 2:
            return 0
        self._ends_chunk = False
        return 2

    def _size(self, at: int) -> int:
        end = self._rest.find(b"\r\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(self._rest) - at >= MAX_CHUNK_LINE:
                raise Refused(*BAD_CHUNK)
            return 0
        line = bytes(self._rest[at:end])
        size, semicolon, extension = line.partition(b";")
        # White space is allowed before a semicolon only.
        digits = size.rstrip(b" \t") if semicolon else size
        if not CHUNK_SIZE.fullmatch(digits) or not CHUNK_EXT_RE.fullmatch(semicolon + extension):
            raise Refused(*BAD_CHUNK)
        self._missing = int(digits, 16)
        self._is_in_trailers = not self._missing
        return end + 2 - at

    def _trailers(self, at: int) -> int:
        """Check and drop the lines after the last chunk."""
        if self._rest.startswith(b"\r\n", at):
            self.is_complete = True
            return 2
        end = self._rest.find(b"\r\n\r\n", at)
        if (len(self._rest) if end < 0 else end) - at > MAX_TRAILERS:
            raise refusal(errors.LimitRequestHeaders(""))
        if end < 0:
            return 0
        try:
            self._request.parse_headers(bytes(self._rest[at:end]), from_trailer=True)
        except errors.ParseException as error:
            raise refusal(error) from None
        self.is_complete = True
        return end + 4 - at
