"""Tells where an HTTP/1.1 request ends, while its bytes come in. No I/O.

This says when a request is there and nothing else of it: whether it is a good one is for the parser
to say, and what makes no sense here counts as there, so that the parser sees it.
"""

from __future__ import annotations

import re
from enum import Enum, auto

MAX_HEAD = 64 * 1024
MAX_BODY = 128 * 1024
"""Bytes. Of a longer body the rest is left to whoever reads it."""

EXPECTS = re.compile(rb"\r\nexpect[ \t]*:", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:[^\r\n]*chunked", re.IGNORECASE)
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class Standing(Enum):
    PART = auto()
    WHOLE = auto()
    HEAD = auto()
    """The head is, and its body is large, or to be asked for: whoever reads it waits for it."""
    ENDLESS = auto()
    """The head is longer than any good one."""


class Arriving:
    """One request on its way. ``data`` is what has come of it, and perhaps of the next one."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._looked = 0
        """Up to where the end of the head was looked for."""
        self._body: int | None = None
        """Where the body begins, once that is known."""
        self._end = 0
        """Where it ends or, of a chunked one, where the next chunk begins."""
        self._is_chunked = self._is_asked_for = False

    def feed(self, data: bytes) -> Standing:
        self.data += data
        if self._body is None:
            self._look_for_body()
        if self._body is None:
            return Standing.PART if len(self.data) <= MAX_HEAD else Standing.ENDLESS
        if self._is_chunked:
            return self._follow_chunks()
        return Standing.WHOLE if self._end <= len(self.data) else self._wait_until(self._end)

    def _look_for_body(self) -> None:
        # No line ends with LF alone: what has an empty line of that kind is for the parser, too.
        for blank in (b"\r\n\r\n", b"\n\n"):
            found = self.data.find(blank, max(0, self._looked - 3))
            if found >= 0:
                self._body = self._end = found + len(blank)
                break
        else:
            self._looked = len(self.data)
            return
        head = bytes(self.data[: self._body])
        self._is_asked_for = EXPECTS.search(head) is not None
        self._is_chunked = CHUNKED.search(head) is not None
        if not self._is_chunked and (length := LENGTH.search(head)):
            self._end += int(length[1])

    def _wait_until(self, end: int) -> Standing:
        """What there is to do until the body has come up to ``end``."""
        if self._is_asked_for or end - (self._body or 0) > MAX_BODY:
            return Standing.HEAD
        return Standing.PART

    def _follow_chunks(self) -> Standing:
        while (line := self.data.find(b"\r\n", self._end)) >= 0:
            size = CHUNK.fullmatch(self.data, self._end, line)
            if size is None:
                return Standing.WHOLE
            length = int(size[1], 16)
            if not length:
                # The line's own end may be half of the empty line after the trailers.
                if self.data.find(b"\r\n\r\n", line) >= 0:
                    return Standing.WHOLE
                break
            after = line + 2 + length + 2
            if after > len(self.data):
                return self._wait_until(after)
            self._end = after
        return self._wait_until(len(self.data))
