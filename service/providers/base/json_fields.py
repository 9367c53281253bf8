"""Typed access to the JSON messages of media sockets.

An unreadable required field raises ``RemoteError`` with a sentence that names the field. Optional
fields are read through ``Fields``, which raises nothing. Errors never quote values, which may be
secret.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from typing import Any, TypeAlias

import orjson

from service.errors import RemoteError

Document: TypeAlias = dict[str, Any]

LIMIT = 10**18
"""Limit of whole numbers: they, and the sum of two, fit into 64 bits."""

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape in JSON, or a surrogate pair of two; ``half`` is a lone surrogate."""

REPLACEMENT = rb"\ufffd"

NUMBER = re.compile(r" *([0-9]{1,18})(?:\.0*)? *")


def decode(message: bytes) -> Document:
    """Return the JSON object in ``message``. orjson limits the depth of nesting."""
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        document = _decode_mended(message)
    if not isinstance(document, dict):
        raise RemoteError("The message is not a JSON object.")
    return document


def _decode_mended(message: bytes) -> Document:
    """Decode a message with lone surrogates, as JavaScript writes them for truncated names."""
    mended = ESCAPE.sub(lambda found: REPLACEMENT if found["half"] else found[0], message)
    try:
        document = orjson.loads(mended)
    except orjson.JSONDecodeError:
        document = None
    # The name of the event must be intact.
    if not isinstance(document, dict) or "\ufffd" in str(document.get("event")):
        raise RemoteError("The message is not JSON.")
    return document


def section(document: Document, name: str) -> Document:
    """Return the required object ``name``."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise RemoteError(f"{name} must be an object.")
    return value


def text(document: Document, name: str) -> str:
    """Return the required string ``name``, which must not be empty."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise RemoteError(f"{name} must be a string that is not empty.")
    return value


def whole(value: Any) -> int | None:
    """Return a non-negative whole number from a number or a string; else ``None``.

    Peers write 8000 as ``8000``, ``8000.0``, ``"8000"`` and ``"8000.0"``.
    """
    if isinstance(value, str):
        written = NUMBER.fullmatch(value)
        return int(written[1]) if written else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < LIMIT and value % 1 == 0 else None


class Fields:
    """Optional fields of a document, each of any type.

    ``ignored`` are the names of present fields that could not be read.
    """

    def __init__(self, document: Document, ignored: list[str] | None = None) -> None:
        self.document = document
        self.ignored: list[str] = [] if ignored is None else ignored

    def section(self, name: str) -> Fields:
        """Return the object ``name``; an empty one if it cannot be read."""
        value = self.document.get(name)
        if not isinstance(value, dict):
            self._ignore(name)
            value = {}
        return Fields(value, self.ignored)

    def text(self, name: str) -> str | None:
        """Return the string ``name``; ``None`` if it is empty or cannot be read."""
        value = self.document.get(name)
        if not isinstance(value, str):
            self._ignore(name)
            return None
        return value or None

    def symbol(self, name: str) -> str | None:
        """Return the id, key or code ``name``, sent as a string or a whole number."""
        value = self.document.get(name)
        number = None if isinstance(value, str) else whole(value)
        return self.text(name) if number is None else str(number)

    def whole(self, name: str) -> int | None:
        """Return the whole number ``name``, in any spelling."""
        number = whole(self.document.get(name))
        if number is None:
            self._ignore(name)
        return number

    def _ignore(self, name: str) -> None:
        if self.document.get(name) is not None:
            self.ignored.append(name)


def payload(document: Document, sample_bytes: int) -> bytes:
    """Return the audio in ``payload``: base64 of whole samples."""
    try:
        audio = a2b_base64(document["payload"], strict_mode=True)
    except (KeyError, TypeError, ValueError):
        raise RemoteError("payload must be a string of base64.") from None
    if len(audio) % sample_bytes:
        raise RemoteError("payload must hold whole samples.")
    return audio


def envelope(document: Document) -> tuple[bytes, bytes]:
    """Return the JSON before and after ``payload``, which is the last field and empty."""
    message = orjson.dumps(document)
    cut = message.rindex(b'""') + 1
    return message[:cut], message[cut:]
