"""Typed access to the JSON messages of media sockets.

A required field that cannot be read raises ``RemoteError``, and nothing else, with a sentence that
names the field. Optional ones are read through ``Fields``, which raises nothing.
Values are never quoted: they may hold secrets.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from typing import Any, TypeAlias

import orjson

from service.errors import RemoteError

Document: TypeAlias = dict[str, Any]

LIMIT = 10**18
"""Whole numbers are below this: they fit into 64 bits, and so does their sum with another."""

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape in JSON, both where a character has two; ``half`` is one of two without the other."""

REPLACEMENT = rb"\ufffd"

NUMBER = re.compile(r" *([0-9]{1,18})(?:\.0*)? *")


def decode(message: bytes) -> Document:
    """The JSON object in ``message``. orjson limits the depth, so that nothing recurses here."""
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        document = _decode_mended(message)
    if not isinstance(document, dict):
        raise RemoteError("The message is not a JSON object.")
    return document


def _decode_mended(message: bytes) -> Document:
    """A message that JavaScript has written of text with half a character, as cut names have."""
    mended = ESCAPE.sub(lambda found: REPLACEMENT if found["half"] else found[0], message)
    try:
        document = orjson.loads(mended)
    except orjson.JSONDecodeError:
        document = None
    # What the message is must be whole.
    if not isinstance(document, dict) or "\ufffd" in str(document.get("event")):
        raise RemoteError("The message is not JSON.")
    return document


def section(document: Document, name: str) -> Document:
    """The object ``name``, which must be there."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise RemoteError(f"{name} must be an object.")
    return value


def text(document: Document, name: str) -> str:
    """The string ``name``, which must be there and not be empty."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise RemoteError(f"{name} must be a string that is not empty.")
    return value


def whole(value: Any) -> int | None:
    """Read a whole number from 0 out of a number or a string; ``None`` where it is neither.

    Peers write 8000 as ``8000``, ``8000.0``, ``"8000"`` and ``"8000.0"``.
    """
    if isinstance(value, str):
        written = NUMBER.fullmatch(value)
        return int(written[1]) if written else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < LIMIT and value % 1 == 0 else None


class Fields:
    """The optional fields of a document, each of any type.

    ``ignored`` are the names of fields that are present and could not be read.
    """

    def __init__(self, document: Document, ignored: list[str] | None = None) -> None:
        self.document = document
        self.ignored: list[str] = [] if ignored is None else ignored

    def section(self, name: str) -> Fields:
        """The object ``name``; an empty one where it cannot be read."""
        value = self.document.get(name)
        if not isinstance(value, dict):
            self._ignore(name)
            value = {}
        return Fields(value, self.ignored)

    def text(self, name: str) -> str | None:
        """The string ``name``; ``None`` where it is empty."""
        value = self.document.get(name)
        if not isinstance(value, str):
            self._ignore(name)
            return None
        return value or None

    def symbol(self, name: str) -> str | None:
        """The id, key or code ``name``, as a string or as a whole number."""
        value = self.document.get(name)
        number = None if isinstance(value, str) else whole(value)
        return self.text(name) if number is None else str(number)

    def whole(self, name: str) -> int | None:
        """The whole number ``name``, in any spelling."""
        number = whole(self.document.get(name))
        if number is None:
            self._ignore(name)
        return number

    def _ignore(self, name: str) -> None:
        if self.document.get(name) is not None:
            self.ignored.append(name)


def payload(document: Document, sample_bytes: int) -> bytes:
    """The audio in ``payload``: base64 of whole samples."""
    try:
        audio = a2b_base64(document["payload"], strict_mode=True)
    except (KeyError, TypeError, ValueError):
        raise RemoteError("payload must be a string of base64.") from None
    if len(audio) % sample_bytes:
        raise RemoteError("payload must hold whole samples.")
    return audio


def envelope(document: Document) -> tuple[bytes, bytes]:
    """What ``document`` says before and after its ``payload``: the last field, and empty here."""
    message = orjson.dumps(document)
    cut = message.rindex(b'""') + 1
    return message[:cut], message[cut:]
