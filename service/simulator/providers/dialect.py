"""The interface of a simulated provider, and helpers that parse the server's messages.

A dialect holds the ids and counters of one call's messages, and does no I/O. It builds messages as
JSON objects, and parses the server's messages into the values below. A message that the real
provider would reject raises ``RemoteError`` with one sentence.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from service.clock import Clock
from service.errors import RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers.markup import Reader, Stream

Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audio:
    """Play audio to the caller after the buffered audio."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Send the mark back once all earlier audio has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop the buffered audio."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Play key tones to the caller."""

    digits: str


ServerCommand: TypeAlias = Audio | Mark | Clear | Digits


class InvalidMedia(RemoteError):
    """The message is well-formed, but its audio is not."""


class Dialect(ABC):
    """One call on one provider. ``caller`` and ``callee`` are E.164 numbers or substitutes."""

    name: ClassVar[str]
    readers: ClassVar[Mapping[str, Reader]]
    """Readers of the markup's elements by name."""
    codecs: ClassVar[tuple[Codec, ...]] = (Codec.MULAW,)
    """Codecs that a scenario may set in place of the one that the markup requests."""
    handshakes: ClassVar[int] = 1
    """Attempts to open a stream's URL."""
    skips_unknown_verbs: ClassVar[bool] = True
    marks_outlive_clear: ClassVar[bool] = True
    """Whether a clear returns the pending marks, instead of dropping them."""
    buffer_seconds: ClassVar[float] = 600.0
    """Size of the playback buffer; further audio is discarded."""
    account: str
    """The account that owns the number."""

    def __init__(self, caller: str, callee: str, clock: Clock) -> None:
        self.caller = caller
        self.callee = callee
        self.clock = clock
        self.call_id = self.new_call_id()
        self.is_outbound = False
        """Whether the call was placed through the provider's REST API."""
        self.statuses_sent = 0
        self.stream_id = ""
        self.sequence = 0
        self.chunk = 0

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def open(self, stream: Stream, inbound: Codec) -> list[Message]:
        """Return the first messages of a new socket, on which the provider sends ``inbound``."""
        self.stream_id = self.new_stream_id()
        self.sequence = 0
        self.chunk = 0
        return self.opening(stream, inbound)

    def answer_codec(self, stream: Stream, inbound: Codec) -> Codec:
        """Return the codec of the server's audio if the provider sends ``inbound``."""
        return stream.outbound

    def media(self, payload: bytes) -> Message:
        """Return a message with the next 20 ms of the caller's audio."""
        self.chunk += 1
        return self.voice(base64.b64encode(payload).decode())

    @abstractmethod
    def webhook(self) -> dict[str, str]:
        """Return the form fields of the first request for markup."""

    @abstractmethod
    def redirected(self) -> dict[str, str]:
        """Return the form fields of the request after a ``<Redirect>``."""

    def gathered(self, keys: str) -> dict[str, str]:
        """Return the form fields of the request after the caller pressed keys."""
        return {**self.redirected(), "Digits": keys}

    def hung_up(self) -> dict[str, str] | None:
        """Return the form fields of the webhook for the end of the call, if there is one."""
        return None

    @abstractmethod
    def dial_ended(self, status: str, *, over: bool) -> dict[str, str]:
        """Return the form fields of the request after a dial; ``over`` if the call ended too."""

    @abstractmethod
    def stream_status(self, event: str, error: str | None = None) -> dict[str, str]:
        """Return the form fields of a stream's status: ``started``, ``stopped`` or ``failed``."""

    @abstractmethod
    def call_status(self, status: str) -> dict[str, str] | None:
        """Return the form fields of a placed call's status, or ``None`` if it is not reported.

        The statuses are ``initiated``, ``ringing``, ``answered``, ``completed``, ``busy``,
        ``no-answer`` and ``failed``.
        """

    @abstractmethod
    def new_call_id(self) -> str: ...

    @abstractmethod
    def new_stream_id(self) -> str: ...

    @abstractmethod
    def opening(self, stream: Stream, inbound: Codec) -> list[Message]: ...

    @abstractmethod
    def voice(self, payload: str) -> Message: ...

    @abstractmethod
    def digit(self, digit: str) -> Message:
        """Return the message for a key that the caller pressed."""

    @abstractmethod
    def played(self, name: str) -> Message:
        """Return the message for a mark that playback has reached."""

    def cleared(self) -> Message | None:
        """Return the reply to a clear, if there is one."""
        return None

    def stop(self) -> Message | None:
        """Return the last message when the caller hangs up, if there is one."""
        return None

    def error_message(self, error: RemoteError) -> Message | None:
        """Return the message that reports a rejected message, if there is one."""
        return None

    @abstractmethod
    def parse(self, message: Message) -> ServerCommand:
        """Parse a message of the server. Raises ``RemoteError``."""


def load(text: str | bytes) -> Message:
    """Parse the JSON object in a message. Raises ``RemoteError``."""
    if isinstance(text, bytes):
        raise RemoteError("The server sent a binary message; providers only read text.")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteError("The server sent a message that is not JSON.") from None
    if not isinstance(message, dict):
        raise RemoteError("The server sent JSON that is not an object.")
    return message


def member(message: Message, name: str) -> Message:
    value = message.get(name)
    if not isinstance(value, dict):
        raise RemoteError(f"The server's {event(message)} message lacks the object {name!r}.")
    return value


def string(message: Message, name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value:
        raise RemoteError(f"The server's message lacks the text {name!r}.")
    return value


def audio(media: Message) -> Audio:
    try:
        return Audio(base64.b64decode(string(media, "payload"), validate=True))
    except ValueError:
        raise InvalidMedia("The server's audio payload is not base64.") from None


def event(message: Message) -> str:
    return repr(message.get("event"))[:40]


def unknown(provider: str, message: Message) -> RemoteError:
    return RemoteError(f"The server's message {event(message)} is unknown to {provider}.")
