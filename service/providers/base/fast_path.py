"""The lean path: the audio of a message that is like an earlier one but for a few values.

A peer sends fifty audio messages a second that are alike to the letter but for their counters and
their audio, and all calls of a provider have messages of one shape. One of them, once parsed, is
made a pattern; what matches it needs no parsing, because it would parse to the same thing.
Everything else goes the general way.
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
"""What a string may hold that needs no escapes and no second byte."""

VALUE = re.compile(
    rb'"(?P<name>[a-zA-Z_]+)": ?'
    rb'(?:(?P<quote>"?)(?P<number>[0-9]{1,18})(?P=quote)|"(?P<text>' + TEXT + rb')")(?= ?[,}])'
)
"""A field whose value is a whole number, bare or in quotes, or a string."""

TELLING = frozenset((b"event", b"track"))
"""Fields whose values say what the message is."""

MAX_AROUND = 512
"""Bytes around the payload of a pattern. To make one takes 30 µs for each number in them."""

PATIENCE = 50
"""Messages that may fail to match before another one is made the pattern: making one is slow."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """``number`` tells one pattern from another without a look at them."""

    number: int
    match: re.Pattern[bytes]


class FastPath:
    """``order_field`` names the number that counts the chunks, where a dialect needs it."""

    __slots__ = ("_order_field", "_pattern", "_wait")

    def __init__(self, order_field: bytes | None = None) -> None:
        self._order_field = order_field
        self._pattern: Pattern | None = None
        self._wait = 0

    def kind(self) -> int:
        """The pattern's number; 0 where there is none."""
        return self._pattern.number if self._pattern else 0

    def audio(self, message: bytes) -> tuple[bytes, int | None] | None:
        """Payload and order of a message that fits the pattern; ``None`` for all others."""
        found = self._pattern.match.fullmatch(message) if self._pattern else None
        if found is None:
            return None
        try:
            payload = a2b_base64(found["payload"], strict_mode=True)
        except ValueError:
            return None
        return payload, int(found["order"]) if self._order_field else None

    def learn(self, message: bytes, encoded: str) -> None:
        """Make a message that was found to be audio the pattern, if it is clear enough for one.

        ``encoded`` is its payload as it was written.
        """
        if self._wait:
            self._wait -= 1
            return
        self._wait = PATIENCE
        self._pattern = self._generalised(message, encoded.encode())

    def template(self, message: bytes) -> MessageTemplate | None:
        """What fits this fits the pattern, because each value in it is of the same sort."""
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
        # Escapes, and keys that come twice, could make the same bytes mean something else.
        if b"\\" in message or message.count(b'"payload"') != 1 or message.count(quoted) != 1:
            return None
        before, after = message.split(quoted)
        if not before.rstrip(b" ").endswith(b":"):
            return None
        head, tail = self._generalise(before), self._generalise(after)
        if self._order_field and (tail + head).count(b"(?P<order>") != 1:
            return None
        # As much padding, and no more, makes as many bytes: whole samples, like those learned from.
        bare = encoded.rstrip(b"=")
        padding = encoded.removeprefix(bare)
        payload = b'"(?P<payload>.{%d}(?<!=)%s)"' % (len(bare), padding)
        return _compiled(head + payload + tail)

    def _generalise(self, text: bytes) -> bytes:
        """A pattern for ``text`` with other values in it, but for those of ``TELLING`` fields."""
        parts, done = [], 0
        for (start, stop), value in _values(text, 0, len(text)):
            like = _like(value)
            parts.append(re.escape(text[done:start]))
            is_order = value["number"] and value["name"] == self._order_field
            parts.append(b"(?P<order>%s)" % like if is_order else like)
            done = stop
        return b"".join(parts) + re.escape(text[done:])


def _values(text: bytes, start: int, stop: int) -> Iterator[tuple[Span, re.Match[bytes]]]:
    """The values between two places that may be others another time, and where they stand."""
    for value in VALUE.finditer(text, start, stop):
        if value["name"] not in TELLING:
            yield value.span("number" if value["text"] is None else "text"), value


def _like(value: re.Match[bytes]) -> bytes:
    """A pattern for values of this one's kind."""
    if value["text"] is not None:
        return TEXT
    # A bare number has no leading zeros in JSON.
    return b"[0-9]{1,18}" if value["quote"] else b"(?:0|[1-9][0-9]{0,17})"


_numbers = count(1)


@lru_cache(maxsize=256)
def _compiled(pattern: bytes) -> Pattern:
    """Kept, because the calls of a provider all come to the same pattern, and making it is slow."""
    return Pattern(next(_numbers), re.compile(pattern, re.DOTALL))
