"""The frames of a call in each of the four dialects, prepared in advance."""

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
"""Number of the first chunk, so that all numbers have the same length."""


class Participant(Protocol):
    """One call. ``inbound`` is the encoding that it sends and ``outbound`` the one it receives.

    ``numbers_chunks`` is set if a frame cannot be sent twice, because its chunk is numbered and a
    server may sort by the number.
    """

    name: str
    numbers_chunks: bool
    inbound: Encoding
    outbound: Encoding

    def opening(self) -> list[Message]: ...

    def media(self, chunk: int, payload: bytes) -> Message: ...


class Phone:
    """A call through one of the simulator's providers."""

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


class Agent:
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


def opening(participant: Participant) -> bytes:
    """Return the first frames of a socket."""
    return b"".join(masked(compact(message)) for message in participant.opening())


def repeated(participant: Participant, seat: int) -> Sequence[bytes]:
    """Return a frame for every number; they are sent repeatedly."""
    return [masked(compact(message)) for message in _messages(participant, seat)]


def numbered(participant: Participant, seat: int) -> Sequence[Numbered]:
    """Return a frame for every number in a dialect that numbers its chunks."""
    frames = []
    for chunk, message in enumerate(_messages(participant, seat), FIRST_CHUNK):
        text = compact(message)
        frames.append(Numbered(masked(text), text, b"%d" % chunk))
    return frames


def _messages(participant: Participant, seat: int) -> list[Message]:
    return [
        participant.media(
            FIRST_CHUNK + number, test_signal.encode(seat, number, participant.inbound)
        )
        for number in range(test_signal.NUMBERS)
    ]


def audio_of(message: bytes) -> bytes | None:
    """Return the audio in a server's message of any dialect; ``None`` if it has none."""
    document = json.loads(message)
    media = document.get("media", document)
    payload = media.get("payload") if isinstance(media, dict) else None
    return None if payload is None else base64.b64decode(payload, validate=True)
