"""The common part of the providers' media streams: the state machine of one socket.

A stream begins with ``start``, which names the call, the stream and the encoding; then come
``media`` and ``dtmf``, and perhaps ``stop``. The details differ by provider.

A start message needs only the fields without which nothing could be heard or said: a known
encoding, on Twilio the stream's id, and elsewhere one of the ids that identify the dialect. Every
other field may be missing or of another type, because providers change what they send. It is read
where it can be, and counted where not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from binascii import b2a_base64
from collections.abc import Mapping

import orjson

from service.domain.wire import (
    SAMPLE_RATE,
    Audio,
    Command,
    Digit,
    Encoding,
    Event,
    Fence,
    Flush,
    Ignored,
    Play,
    Played,
    Started,
    Stopped,
    Unknown,
)
from service.errors import RefusedStart, RemoteError
from service.providers.base.fast_path import FastPath
from service.providers.base.json_fields import (
    Document,
    Fields,
    decode,
    envelope,
    payload,
    section,
    text,
    whole,
)
from service.providers.base.references import find_ref

MAX_NAME = 64
"""Characters kept of the name of an event that is not known."""

KEYS = frozenset("0123456789*#ABCD")

OURS = "outbound"
"""The name of the track that is played to the caller. Any other name is taken for the caller's
track, which is the only one that the markup asks for: an unknown spelling must not mute a caller.
"""

PARAMETERS = ("customParameters", "custom_parameters", "extra_headers", "extraHeaders")
"""Where a start message repeats the parameters of the markup, at its top or in ``start``."""

SPELLINGS: Mapping[str, Encoding] = {
    "mulaw": Encoding.MULAW,
    "ulaw": Encoding.MULAW,
    "pcmu": Encoding.MULAW,
    "g711u": Encoding.MULAW,
    "basic": Encoding.MULAW,  # as audio/basic, in RFC 2046
    "alaw": Encoding.ALAW,
    "pcma": Encoding.ALAW,
    "g711a": Encoding.ALAW,
    "l16": Encoding.LINEAR,
}
"""Encodings as providers write them, without ``audio/`` and ``x-`` before and a rate behind."""


class PhoneWire(ABC):
    """Base class of phone providers' wires; ``service.domain.wire.Wire`` documents each method."""

    names_call = True
    close_ends_call = False
    paces_itself = True
    order_field: bytes | None = None
    """The number that counts chunks, where chunks can overtake each other."""

    def __init__(self) -> None:
        self._fast_path = FastPath(self.order_field)
        self.audio = self._fast_path.audio
        self.kind = self._fast_path.kind
        self.template = self._fast_path.template
        self._envelope: tuple[bytes, bytes] | None = None
        self._sample_bytes = 1

    def receive(self, message: bytes) -> list[Event]:
        document = decode(message)
        name = self._name(document)
        if name != "start":
            events = self._event(name, document)
            if events and isinstance(events[0], Audio):
                self._fast_path.learn(message, document["media"]["payload"])
            return events
        if self._envelope is not None:
            raise RemoteError("start came twice.")
        fields = Fields(document)
        started = self._start(fields)
        self._sample_bytes = started.inbound.bytes_per_sample
        self._envelope = envelope(self._play())
        return [started, *map(Ignored, fields.ignored)]

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
    def _start(self, message: Fields) -> Started:
        """Read a start message and keep what the answers need of it.

        Raises ``RefusedStart`` where the stream cannot begin.
        """

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
                return self._audio(document)
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

    def _audio(self, document: Document) -> list[Event]:
        media = section(document, "media")
        track = media.get("track")
        # Our own audio would come back as an echo.
        if isinstance(track, str) and track.strip().lower().startswith(OURS):
            return [Ignored("track")]
        audio = payload(media, self._sample_bytes)
        if self.order_field is None:
            return [Audio(audio)]
        fields = Fields(media)
        order = fields.whole(self.order_field.decode())
        return [Audio(audio, order), *map(Ignored, fields.ignored)]


def require_one(start: Fields, message: Fields, stream: str, call: str) -> None:
    """Raise ``RefusedStart`` where neither id is there: the message is of another dialect."""
    documents = (start.document, message.document)
    if all(document.get(name) is None for document in documents for name in (stream, call)):
        raise RefusedStart(f"The start message has neither {stream} nor {call}.")


def sent_ref(message: Fields, start: Fields) -> str | None:
    """The reference as a start message repeats it, if it can be found there."""
    for fields in (message, start):
        for name in PARAMETERS:
            ref, is_odd = find_ref(fields.document.get(name))
            if ref is not None:
                return ref
            if is_odd:
                fields.ignored.append(name)
    return None


def encoding(
    media_format: Fields, rate_field: str, known: Mapping[Encoding, str]
) -> tuple[str, Encoding]:
    """The encoding as the provider spells it and as we do; the first of ``known``, which is what
    the markup asks for, where the start does not say.

    Raises ``RefusedStart`` with close code 1003 where it is not one of ``known`` in mono at 8 kHz.
    """
    spelling = next(iter(known.values()))
    said, _, parameters = (media_format.text("encoding") or spelling).lower().partition(";")
    name = said.strip()
    # With the rate behind a slash as in SDP, for some: PCMU/8000.
    codec, _, clock = name.removeprefix("audio/").removeprefix("x-").partition("/")
    found = SPELLINGS.get(codec)
    written = clock.partition("/")[0] or parameters.strip().removeprefix("rate=")
    rate = media_format.whole(rate_field) or whole(written)
    channels = media_format.whole("channels")
    is_ours = (rate or SAMPLE_RATE) == SAMPLE_RATE and (channels or 1) == 1
    if found is None or found not in known or not is_ours:
        allowed = ", ".join(known.values())
        sentence = f"encoding must be one of {allowed} in mono at 8000 Hz."
        raise RefusedStart(sentence, close_code=1003)
    return name, found


def played(fence: Fields) -> Event:
    """The news that a fence was reached, whose name is in ``fence``."""
    name = fence.text("name")
    return Ignored("name") if name is None else Played(name)


def _digit(dtmf: Document) -> Event:
    digit = (Fields(dtmf).symbol("digit") or "").upper()
    return Digit(digit) if digit in KEYS else Unknown("dtmf")
