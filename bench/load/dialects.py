"""The four dialects as the load generator speaks them: a call's frames, all made beforehand."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Protocol

from bench.load import test_signal
from bench.load.frames import Numbered, masked
from service.clock import SystemClock
from service.domain.wire import Encoding
from service.simulator.audio.codec import Codec
from service.simulator.providers.dialect import Message
from service.simulator.providers.markup import Stream
from service.simulator.providers.registry import DIALECTS

FIRST_CHUNK = 10_000_000
"""Chunks are counted from here, so that their numbers are all of one length."""


class Speaker(Protocol):
    """One call. ``inbound`` is what it sends and ``outbound`` what it is sent.

    ``numbers_chunks`` says that a frame cannot be sent twice, because its chunk is numbered and a
    server may sort by that.
    """

    name: str
    numbers_chunks: bool
    inbound: Encoding
    outbound: Encoding

    def opening(self) -> list[Message]: ...

    def media(self, chunk: int, payload: bytes) -> Message: ...


class Phone:
    """A call on one of the simulator's providers."""

    def __init__(self, provider: str, stream: Stream | None = None) -> None:
        self.name = provider
        self.numbers_chunks = provider == "telnyx"
        self.dialect = DIALECTS[provider]("+14155550100", "+14155550199", SystemClock())
        self.stream = stream or Stream("")
        # Outside North America Telnyx sends the A-law of the telephone line.
        self._codec = Codec.ALAW if provider == "telnyx" else Codec.MULAW
        self.inbound = Encoding.ALAW if provider == "telnyx" else Encoding.MULAW
        self.outbound = Encoding.MULAW

    def opening(self) -> list[Message]:
        return self.dialect.open(self.stream, self._codec)

    def media(self, chunk: int, payload: bytes) -> Message:
        self.dialect.chunk = chunk - 1
        return self.dialect.media(payload)


class Program:
    """A participant on the custom WebSocket."""

    name = "websocket"
    numbers_chunks = False
    inbound = outbound = Encoding.LINEAR

    def opening(self) -> list[Message]:
        return [{"event": "start"}]

    def media(self, chunk: int, payload: bytes) -> Message:
        return {"event": "media", "payload": base64.b64encode(payload).decode()}


def compact(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def opening(speaker: Speaker) -> bytes:
    """The frames with which a socket begins."""
    return b"".join(masked(compact(message)) for message in speaker.opening())


def repeated(speaker: Speaker, seat: int) -> Sequence[bytes]:
    """A frame for every number; they are sent over and over."""
    return [masked(compact(message)) for message in _messages(speaker, seat)]


def numbered(speaker: Speaker, seat: int) -> Sequence[Numbered]:
    """The same for a dialect that counts its chunks."""
    frames = []
    for chunk, message in enumerate(_messages(speaker, seat), FIRST_CHUNK):
        text = compact(message)
        frames.append(Numbered(masked(text), text, b"%d" % chunk))
    return frames


def _messages(speaker: Speaker, seat: int) -> list[Message]:
    return [
        speaker.media(FIRST_CHUNK + number, test_signal.say(seat, number, speaker.inbound))
        for number in range(test_signal.NUMBERS)
    ]


def heard(message: bytes) -> bytes | None:
    """The audio in a message of the server, in any dialect; ``None`` where it has none."""
    document = json.loads(message)
    media = document.get("media", document)
    payload = media.get("payload") if isinstance(media, dict) else None
    return None if payload is None else base64.b64decode(payload, validate=True)
