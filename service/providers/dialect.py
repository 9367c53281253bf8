"""What the media streams of phone providers have in common: the state machine of one socket.

A stream begins with ``start``, which names the call, the stream and the encoding; then come
``media`` and ``dtmf``, and perhaps ``stop``. The words around these are each provider's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from binascii import b2a_base64
from collections.abc import Mapping

import orjson

from service.errors import RemoteError
from service.providers.lean import Lean
from service.providers.messages import (
    Document,
    decode,
    envelope,
    optional_text,
    optional_whole,
    payload,
    section,
    symbol,
    text,
)
from service.wire import (
    SAMPLE_RATE,
    Audio,
    Command,
    Digit,
    Encoding,
    Event,
    Fence,
    Flush,
    Play,
    Started,
    Stopped,
    Unknown,
)

MAX_NAME = 64
"""Characters kept of the name of an event that is not known."""

KEYS = frozenset("0123456789*#ABCD")


class PhoneWire(ABC):
    """A ``Wire`` for a phone provider. See ``service.wire.Wire`` for what each part promises."""

    names_call = True
    close_ends_call = False
    paces_itself = True
    order_field: bytes | None = None
    """The number that counts chunks, where chunks can overtake each other."""

    def __init__(self) -> None:
        self._lean = Lean(self.order_field)
        self.audio = self._lean.audio
        self.kind = self._lean.kind
        self.shape = self._lean.shape
        self._envelope: tuple[bytes, bytes] | None = None
        self._sample_bytes = 1

    def receive(self, message: bytes) -> list[Event]:
        document = decode(message)
        name = self._name(document)
        if name != "start":
            events = self._event(name, document)
            if name == "media" and events:
                self._lean.learn(message, document["media"]["payload"])
            return events
        if self._envelope is not None:
            raise RemoteError("start came twice.")
        started = self._start(document)
        self._sample_bytes = started.inbound.bytes_per_sample
        self._envelope = envelope(self._play())
        return [started]

    def send(self, command: Command) -> list[bytes]:
        """Nothing can be said before the start message has named the stream."""
        if self._envelope is None:
            return []
        match command:
            case Play(audio):
                prefix, suffix = self._envelope
                return [prefix + b2a_base64(audio, newline=False) + suffix]
            case Flush():
                return [orjson.dumps(self._flush())]
            case Fence(name):
                return [orjson.dumps(self._fence(name))]
            case _:
                return []

    def envelope(self) -> tuple[bytes, bytes]:
        if self._envelope is None:
            raise RuntimeError("There is no envelope before the start message.")
        return self._envelope

    @abstractmethod
    def _start(self, document: Document) -> Started:
        """Read a start message and keep what the answers need of it."""

    @abstractmethod
    def _play(self) -> Document:
        """The message that plays audio, ending in an empty ``payload``."""

    @abstractmethod
    def _flush(self) -> Document: ...

    @abstractmethod
    def _fence(self, name: str) -> Document: ...

    def _name(self, document: Document) -> str:
        return text(document, "event")

    def _event(self, name: str, document: Document) -> list[Event]:
        """The events of a message that is no ``start``; dialects add their own words."""
        match name:
            case "media":
                self._require_start(name)
                audio = self._audio(document)
                return [] if audio is None else [audio]
            case "dtmf":
                self._require_start(name)
                return [_digit(section(document, "dtmf"))]
            case "stop":
                return [Stopped()]
            case _:
                return [Unknown(name[:MAX_NAME])]

    def _require_start(self, name: str) -> None:
        if self._envelope is None:
            raise RemoteError(f"{name} came before start.")

    def _audio(self, document: Document) -> Audio | None:
        media = section(document, "media")
        # The outbound track is what we played ourselves: mixed in, it would be an echo.
        if media.get("track", "inbound") != "inbound":
            return None
        order = optional_whole(media, self.order_field.decode()) if self.order_field else None
        return Audio(payload(media, self._sample_bytes), order)


def encoding(
    media_format: Document, rate_field: str, known: Mapping[str, Encoding], asked: str
) -> tuple[str, Encoding]:
    """The encoding as the provider spells it and as we do; ``asked`` where the start says nothing.

    Raises ``RemoteError`` with close code 1003 where it is not one of ``known`` in mono at 8 kHz.
    """
    name = (optional_text(media_format, "encoding") or asked).partition(";")[0].strip().lower()
    rate = optional_whole(media_format, rate_field)
    channels = optional_whole(media_format, "channels")
    if name not in known or rate not in (None, SAMPLE_RATE) or channels not in (None, 1):
        allowed = ", ".join(known)
        raise RemoteError(f"encoding must be one of {allowed} in mono at 8000 Hz.", close_code=1003)
    return name, known[name]


def _digit(dtmf: Document) -> Event:
    digit = symbol(dtmf, "digit").upper()
    return Digit(digit) if digit in KEYS else Unknown("dtmf")
