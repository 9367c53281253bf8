"""What every simulated provider has: the shape of a dialect and how a server's messages are read.

A dialect is one call's conversation: it holds the ids and counters that its messages carry, and
does no I/O. What it says are JSON objects, what it understands are the values below; a message
that the real provider would not accept is a ``RemoteError`` with one sentence.
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
    """Play this to the caller, after what is buffered."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Say so when everything up to here has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what is buffered."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Play these keys to the caller."""

    digits: str


Said: TypeAlias = Audio | Mark | Clear | Digits


class InvalidMedia(RemoteError):
    """The message is sound, but its audio is not."""


class Dialect(ABC):
    """One call on one provider. ``caller`` and ``callee`` are E.164 or whatever stands for it."""

    name: ClassVar[str]
    readers: ClassVar[Mapping[str, Reader]]
    """The markup's elements."""
    codecs: ClassVar[tuple[Codec, ...]] = (Codec.MULAW,)
    """What this provider may be made to send, whatever the markup asks for."""
    handshakes: ClassVar[int] = 1
    """How often one stream's URL is dialled before giving up."""
    skips_unknown_verbs: ClassVar[bool] = True
    marks_outlive_clear: ClassVar[bool] = True
    """Whether marks that a clear has overtaken are returned, or forgotten."""
    buffer_seconds: ClassVar[float] = 600.0
    """How much audio may wait to be played; more is discarded."""
    account: str
    """The account that the number belongs to."""

    def __init__(self, caller: str, callee: str, clock: Clock) -> None:
        self.caller = caller
        self.callee = callee
        self.clock = clock
        self.call_id = self.new_call_id()
        self.is_outbound = False
        """Whether the call was placed through the provider's REST API."""
        self.told = 0
        self.stream_id = ""
        self.sequence = 0
        self.chunk = 0

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def open(self, stream: Stream, inbound: Codec) -> list[Message]:
        """The first messages of a new socket, on which ``inbound`` is what the provider sends."""
        self.stream_id = self.new_stream_id()
        self.sequence = 0
        self.chunk = 0
        return self.opening(stream, inbound)

    def answer_codec(self, stream: Stream, inbound: Codec) -> Codec:
        """What the server's audio is in, where the provider sends ``inbound``."""
        return stream.outbound

    def media(self, payload: bytes) -> Message:
        """The next 20 ms of the caller's voice."""
        self.chunk += 1
        return self.voice(base64.b64encode(payload).decode())

    @abstractmethod
    def webhook(self) -> dict[str, str]:
        """Form fields of the request that a ringing phone makes."""

    @abstractmethod
    def redirected(self) -> dict[str, str]:
        """Form fields of the request that a ``<Redirect>`` makes."""

    def gathered(self, keys: str) -> dict[str, str]:
        """Form fields of the request that a caller's keys make."""
        return {**self.redirected(), "Digits": keys}

    def hung_up(self) -> dict[str, str] | None:
        """Form fields that tell the webhook of the end of the call, where this provider does."""
        return None

    @abstractmethod
    def dialled(self, status: str, *, over: bool) -> dict[str, str]:
        """Form fields of the request after a dial: how it ended, and whether the call is over."""

    @abstractmethod
    def streamed(self, event: str, error: str | None = None) -> dict[str, str]:
        """Form fields that tell that the stream has ``started``, ``stopped`` or ``failed``."""

    @abstractmethod
    def fares(self, status: str) -> dict[str, str] | None:
        """Form fields that tell how a placed call fares: ``initiated``, ``ringing``, ``answered``,
        ``completed``, ``busy``, ``no-answer`` or ``failed``. ``None`` where this is not told."""

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
        """The caller pressed a key."""

    @abstractmethod
    def played(self, name: str) -> Message:
        """Everything up to the mark has been played."""

    def cleared(self) -> Message | None:
        """The answer to a clear, where there is one."""
        return None

    def stop(self) -> Message | None:
        """The last message when the caller hangs up, where there is one."""
        return None

    def complaint(self, error: RemoteError) -> Message | None:
        """What this provider says about a message it does not accept, where it says anything."""
        return None

    @abstractmethod
    def understand(self, message: Message) -> Said:
        """What the server wants. Raises ``RemoteError``."""


def load(text: str | bytes) -> Message:
    """The JSON object in a message. Raises ``RemoteError`` where it holds none."""
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
    return RemoteError(f"The server's message {event(message)} is none that {provider} reads.")
