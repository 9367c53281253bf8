"""Fast path: decode audio messages by a pattern, without parsing JSON.

A peer sends fifty audio messages a second that differ in their counters and their audio only, and
all calls of a provider have the same form of message. A parsed message becomes the pattern. A
message that matches it would parse to the same fields. All others take the general path.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from service.domain.wire import MessageTemplate, Span

TEXT = rb"[ !#-\[\]-~]*"
"""Strings of ASCII without escapes."""

VALUE = re.compile(
    rb'"(?P<name>[a-zA-Z_]+)": ?'
    rb'(?:(?P<quote>"?)(?P<number>[0-9]{1,18})(?P=quote)|"(?P<text>' + TEXT + rb')")(?= ?[,}])'
)
"""A field whose value is a whole number, bare or in quotes, or a string."""

TELLING = frozenset((b"event", b"track"))
"""Fields whose values define the message, and so must stay equal."""

MAX_AROUND = 512
"""Bytes around the payload of a pattern. Making one takes 30 µs for each number in them."""

PATIENCE = 50
"""Messages that may fail to match before another pattern is made: making one is slow."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. ``number`` identifies it."""

    number: int
    match: re.Pattern[bytes]


class FastPath:
    """Pattern of one socket. ``order_field`` is the field that numbers chunks, if one does."""

    __slots__ = ("_order_field", "_pattern", "_wait")

    def __init__(self, order_field: bytes | None = None) -> None:
        self._order_field = order_field
        self._pattern: Pattern | None = None
        self._wait = 0

    def kind(self) -> int:
        """Return the pattern's number; 0 if there is none."""
        return self._pattern.number if self._pattern else 0

    def audio(self, message: bytes) -> tuple[bytes, int | None] | None:
        """Return payload and order of a matching message; ``None`` for all others."""
        found = self._pattern.match.fullmatch(message) if self._pattern else None
        if found is None:
            return None
        try:
            payload = a2b_base64(found["payload"], strict_mode=True)
        except ValueError:
            return None
        return payload, int(found["order"]) if self._order_field else None

    def learn(self, message: bytes, encoded: str) -> None:
        """Make a pattern of an audio message, unless the message is ambiguous.

        ``encoded`` is its payload in base64.
        """
        if self._wait:
            self._wait -= 1
            return
        self._wait = PATIENCE
        self._pattern = self._generalised(message, encoded.encode())

    def template(self, message: bytes) -> MessageTemplate | None:
        """Return a template of a matching message, whose matches all match the pattern."""
        found = self._pattern.match.fullmatch(message) if self._pattern else None
        if found is None:
            return None
        start, stop = found.span("payload")
        values = [*_values(message, 0, start - 1), *_values(message, stop + 1, len(message))]
        return MessageTemplate(
            sample=message,
            payload=(start, stop),
            order=found.span("order") if self._order_field else None,
            digits=tuple(span for span, value in values if value["text"] is None),
            bare=tuple(span for span, value in values if value["number"] and not value["quote"]),
            texts=tuple(span for span, value in values if value["text"] is not None),
        )

    def _generalised(self, message: bytes, encoded: bytes) -> Pattern | None:
        quoted = b'"' + encoded + b'"'
        if len(message) - len(quoted) > MAX_AROUND:
            return None
        # With escapes, or repeated keys, the same bytes could mean something else.
        if b"\\" in message or message.count(b'"payload"') != 1 or message.count(quoted) != 1:
            return None
        before, after = message.split(quoted)
        if not before.rstrip(b" ").endswith(b":"):
            return None
        head, tail = self._generalise(before), self._generalise(after)
        if self._order_field and (tail + head).count(b"(?P<order>") != 1:
            return None
        # The same padding gives the same number of bytes, and so whole samples.
        bare = encoded.rstrip(b"=")
        padding = encoded.removeprefix(bare)
        payload = b'"(?P<payload>.{%d}(?<!=)%s)"' % (len(bare), padding)
        return _compiled(head + payload + tail)

    def _generalise(self, text: bytes) -> bytes:
        """Return a pattern for ``text`` with any values, except in ``TELLING`` fields."""
        parts, done = [], 0
        for (start, stop), value in _values(text, 0, len(text)):
            like = _like(value)
            parts.append(re.escape(text[done:start]))
            is_order = value["number"] and value["name"] == self._order_field
            parts.append(b"(?P<order>%s)" % like if is_order else like)
            done = stop
        return b"".join(parts) + re.escape(text[done:])


def _values(text: bytes, start: int, stop: int) -> Iterator[tuple[Span, re.Match[bytes]]]:
    """Yield the variable values between two positions, each with its span."""
    for value in VALUE.finditer(text, start, stop):
        if value["name"] not in TELLING:
            yield value.span("number" if value["text"] is None else "text"), value


def _like(value: re.Match[bytes]) -> bytes:
    """Return a pattern for values of this one's type."""
    if value["text"] is not None:
        return TEXT
    # A bare number has no leading zeros in JSON.
    return b"[0-9]{1,18}" if value["quote"] else b"(?:0|[1-9][0-9]{0,17})"


_numbers = count(1)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Pattern:
    """Return the compiled pattern, cached because a provider's calls share it."""
    return Pattern(next(_numbers), re.compile(pattern, re.DOTALL))
