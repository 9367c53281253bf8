"""Vocabulary of media sockets: audio formats, events, commands and the ``Wire`` protocol.

A wire is one provider's dialect on one socket. It turns text messages into events, and commands
into text messages. It does no I/O, owns no clock and does not decode audio: payloads are encoded
bytes, and arithmetic on samples belongs to ``media``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from service.domain.calls import Participant

PERIOD = 0.02
"""Seconds between ticks."""


FRAME_SAMPLES = 160
"""Samples in one frame: 20 ms of mono audio at 8 kHz."""

SAMPLE_RATE = 8000


class Encoding(StrEnum):
    MULAW = "mulaw"
    ALAW = "alaw"
    LINEAR = "linear"
    """Signed 16-bit PCM, little endian."""

    @property
    def bytes_per_sample(self) -> int:
        return 2 if self is Encoding.LINEAR else 1


# Events: messages from a peer.


@dataclass(frozen=True, slots=True)
class Started:
    """The stream begins. The peer sends ``inbound`` and expects ``outbound``.

    ``call_id`` is the provider's id of the call, and ``ref`` the reference repeated in the message,
    if the dialect has them.
    """

    inbound: Encoding
    outbound: Encoding
    call_id: str | None = None
    ref: str | None = None


class Audio(NamedTuple):
    """Encoded audio of any length. ``order`` numbers chunks if they may be reordered."""

    payload: bytes
    order: int | None = None


@dataclass(frozen=True, slots=True)
class Digit:
    """A pressed key: one of ``0-9 * # A-D``."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The peer asks for a message once its audio so far has been mixed."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """The peer withdraws the audio that was not mixed yet."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Played:
    """The peer has played everything up to the ``Fence`` of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """The peer has dropped its buffered audio."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream ends."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """The provider reports an error in the messages sent to it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that the dialect does not define; counted, never fatal."""

    name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """An optional part that is ignored: an unreadable field, or audio of another track than the
    caller's. Counted, never fatal."""

    name: str


Event: TypeAlias = (
    Started
    | Audio
    | Digit
    | Mark
    | Clear
    | Subscribe
    | Unsubscribe
    | Publish
    | Played
    | Flushed
    | Stopped
    | Complaint
    | Unknown
    | Ignored
)


# Commands: messages to a peer. A command that the dialect cannot express gives no message.


@dataclass(frozen=True, slots=True)
class Play:
    """Audio in the encoding of ``Started.outbound``."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Drop the buffered audio that was not played yet."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Answer with ``Played`` once all audio so far has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Marked:
    """Answer to ``Mark``: the audio up to the mark has been mixed."""

    name: str


@dataclass(frozen=True, slots=True)
class MeetingJoined:
    room_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class MeetingLeft:
    """``moved_to`` is the room to which the peer was moved, and for which it needs a new socket."""

    message: str
    moved_to: str | None = None


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    participant: Participant


@dataclass(frozen=True, slots=True)
class Message:
    """A pub/sub message for a topic the peer has subscribed to."""

    topic: str
    data: Mapping[str, Any]


Command: TypeAlias = (
    Play
    | Flush
    | Fence
    | Marked
    | MeetingJoined
    | MeetingLeft
    | ParticipantJoined
    | ParticipantLeft
    | Message
)


Span: TypeAlias = tuple[int, int]
"""Start and end of a part, in bytes of a message."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """Common form of ordinary audio messages of one length, given by a ``sample``.

    A message matches if it equals the sample outside these spans: ``payload`` (base64, padded like
    the sample's), ``digits`` (0-9; no leading zero in those of ``bare``) and ``texts`` (ASCII
    without escapes). ``order`` is the span of ``digits`` that numbers the chunks, if the dialect
    needs it.
    """

    sample: bytes
    payload: Span
    order: Span | None
    digits: tuple[Span, ...]
    bare: tuple[Span, ...]
    texts: tuple[Span, ...]


class Wire(Protocol):
    """Dialect and state of one socket.

    ``names_call``: the start message has the same call id as the webhook, so that a start for
    another call can be refused. ``close_ends_call``: a clean close without a stop message means
    that the caller hung up. ``paces_itself``: the peer sends in real time, so that a long backlog
    is delay. Any other peer may send faster than real time, and all of its audio is played.
    """

    names_call: bool
    close_ends_call: bool
    paces_itself: bool

    def receive(self, message: bytes) -> list[Event]:
        """Return the events of one text message (UTF-8). Raises ``RemoteError`` if malformed."""
        ...

    def audio(self, message: bytes) -> tuple[bytes, int | None] | None:
        """Return payload and order of an ordinary audio message without parsing it (fast path).

        ``None`` for any other or unusual message, which must go to ``receive``. ``receive`` accepts
        all messages, ordinary ones included.
        """
        ...

    def kind(self) -> int:
        """Return a number that is equal for wires whose ordinary messages share their templates.

        0 before the first ordinary audio message.
        """
        ...

    def template(self, message: bytes) -> MessageTemplate | None:
        """Return the template of a message that ``audio`` accepts; ``None`` for any other."""
        ...

    def send(self, command: Command) -> list[bytes]:
        """Return text messages (UTF-8) for ``command``; none if the dialect cannot express it."""
        ...

    def envelope(self) -> tuple[bytes, bytes]:
        """Return the text around the base64 payload of ``Play``; constant after the start."""
        ...
