"""Base class of the providers' media streams: the state machine of one socket.

A stream begins with ``start``, which names the call, the stream and the encoding. Then follow
``media`` and ``dtmf``, and perhaps ``stop``. The details differ by provider.

A start message needs only the fields without which there is no audio: a known encoding, on Twilio
the stream's id, and elsewhere one of the ids that identify the dialect. Every other field may be
missing or of another type, because providers change their messages. An unreadable one is counted.
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
"""Characters kept of the name of an unknown event."""

KEYS = frozenset("0123456789*#ABCD")

OURS = "outbound"
"""Name of the track that is played to the caller. Any other name counts as the caller's track, the
only one that the markup requests: an unknown spelling must not mute a caller.
"""

PARAMETERS = ("customParameters", "custom_parameters", "extra_headers", "extraHeaders")
"""Fields in which a start message repeats the markup's parameters, at its top or in ``start``."""

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
"""Encodings in the providers' spellings, without the prefixes ``audio/`` and ``x-`` or a rate."""


class PhoneWire(ABC):
    """Base class of phone providers' wires; ``service.domain.wire.Wire`` documents each method."""

    names_call = True
    close_ends_call = False
    paces_itself = True
    order_field: bytes | None = None
    """Field that numbers chunks, if they can be reordered."""

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
        """Return no message before the start message, which names the stream."""
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
        """Parse a start message and keep the fields that commands need.

        Raises ``RefusedStart`` if the stream cannot begin.
        """

    @abstractmethod
    def _play(self) -> Document:
        """Return the message that plays audio, with an empty ``payload`` as its last field."""

    @abstractmethod
    def _flush(self) -> Document: ...

    @abstractmethod
    def _fence(self, name: str) -> Document: ...

    def _name(self, document: Document) -> str:
        return text(document, "event")

    def _event(self, name: str, document: Document) -> list[Event]:
        """Return the events of a message other than ``start``; dialects add their own."""
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
        # The audio sent to the caller would come back as an echo.
        if isinstance(track, str) and track.strip().lower().startswith(OURS):
            return [Ignored("track")]
        audio = payload(media, self._sample_bytes)
        if self.order_field is None:
            return [Audio(audio)]
        fields = Fields(media)
        order = fields.whole(self.order_field.decode())
        return [Audio(audio, order), *map(Ignored, fields.ignored)]


def require_one(start: Fields, message: Fields, stream: str, call: str) -> None:
    """Raise ``RefusedStart`` if neither id is present: the message is of another dialect."""
    documents = (start.document, message.document)
    if all(document.get(name) is None for document in documents for name in (stream, call)):
        raise RefusedStart(f"The start message has neither {stream} nor {call}.")


def sent_ref(message: Fields, start: Fields) -> str | None:
    """Return the reference repeated in a start message, if there is one."""
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
    """Return the encoding in the provider's spelling, and as ``Encoding``.

    The default is the first of ``known``, which the markup requests. Raises ``RefusedStart`` with
    close code 1003 unless it is one of ``known`` in mono at 8 kHz.
    """
    spelling = next(iter(known.values()))
    said, _, parameters = (media_format.text("encoding") or spelling).lower().partition(";")
    name = said.strip()
    # Some append the rate after a slash, as in SDP: PCMU/8000.
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
    """Return the event that the fence named in ``fence`` was reached."""
    name = fence.text("name")
    return Ignored("name") if name is None else Played(name)


def _digit(dtmf: Document) -> Event:
    digit = (Fields(dtmf).symbol("digit") or "").upper()
    return Digit(digit) if digit in KEYS else Unknown("dtmf")
