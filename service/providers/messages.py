"""Typed access to the JSON messages of media sockets.

Every function raises ``RemoteError`` with a sentence that names the field, and nothing else,
whatever the peer sent. Values are never quoted: they may hold secrets.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any, TypeAlias

import orjson

from service.errors import RemoteError

Document: TypeAlias = dict[str, Any]


def decode(message: bytes, name: str = "The message") -> Document:
    """The JSON object in ``message``. orjson limits the depth, so that nothing recurses here."""
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise RemoteError(f"{name} is not JSON.") from None
    if not isinstance(document, dict):
        raise RemoteError(f"{name} is not a JSON object.")
    return document


def section(document: Document, name: str) -> Document:
    """The object ``name``, which must be there."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise RemoteError(f"{name} must be an object.")
    return value


def optional_section(document: Document, name: str) -> Document:
    """The object ``name``; an empty one where it is absent or null."""
    return {} if document.get(name) is None else section(document, name)


def text(document: Document, name: str) -> str:
    """The string ``name``, which must be there and not be empty."""
    value = optional_text(document, name)
    if not value:
        raise RemoteError(f"{name} must be a string that is not empty.")
    return value


def optional_text(document: Document, name: str) -> str | None:
    """The string ``name``; None where it is absent or null."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise RemoteError(f"{name} must be a string.")
    return value


def symbol(document: Document, name: str) -> str:
    """The key or code ``name``, written as a string or as a whole number."""
    value = document.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(document, name)


def optional_whole(document: Document, name: str) -> int | None:
    """The whole number ``name`` from 0, written as a number or as a string of digits."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise RemoteError(f"{name} must be a whole number.")


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
