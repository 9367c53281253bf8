"""The vocabulary of media sockets: audio formats, events, commands and the ``Wire`` protocol.

A wire is one provider's dialect on one socket: text messages in, events out; commands in,
text messages out. It does no I/O, owns no clock and never looks inside audio: payloads are
encoded bytes here, and arithmetic on samples belongs to ``media``.
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


# What a peer says.


@dataclass(frozen=True, slots=True)
class Started:
    """The peer is ready. ``inbound`` is what it sends, ``outbound`` what it wants to hear.

    ``call_id`` is the provider's id of the call and ``ref`` the reference as it came in
    band, where the dialect has them.
    """

    inbound: Encoding
    outbound: Encoding
    call_id: str | None = None
    ref: str | None = None


class Audio(NamedTuple):
    """Encoded audio of any length. ``order`` counts chunks where their order is not assured."""

    payload: bytes
    order: int | None = None


@dataclass(frozen=True, slots=True)
class Digit:
    """A key the caller pressed: one of ``0-9 * # A-D``."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The peer asks to be told when its audio up to here has been mixed."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """The peer takes back what it has sent and is not yet mixed."""


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
    """The peer has dropped what it had buffered."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The peer says the stream is over."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """The provider reports an error in what we sent."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message this dialect does not define; counted, never fatal."""

    name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """An optional part that was left out: a field that could not be read, or audio of another
    track than the caller's. Counted, never fatal."""

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


# What we tell a peer. A command that a dialect cannot express yields no message.


@dataclass(frozen=True, slots=True)
class Play:
    """Audio in the encoding that ``Started.outbound`` named."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Drop what you have buffered and not yet played."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Tell me when everything up to here has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Marked:
    """The answer to ``Mark``: your audio up to there has been mixed."""

    name: str


@dataclass(frozen=True, slots=True)
class MeetingJoined:
    room_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class MeetingLeft:
    message: str


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
"""Where something begins and ends, in bytes of a message."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """What ordinary audio messages of one length have in common, by the example of one of them.

    A message says the same as ``sample`` with other values where it is equal to it but for what
    stands in ``payload`` (base64, padded like the sample's), in ``digits`` (0-9; no leading zero
    in those of ``bare``) and in ``texts`` (ASCII that needs no escapes). ``order`` is the one of
    ``digits`` that counts the chunks, where the dialect needs it.
    """

    sample: bytes
    payload: Span
    order: Span | None
    digits: tuple[Span, ...]
    bare: tuple[Span, ...]
    texts: tuple[Span, ...]


class Wire(Protocol):
    """One socket's dialect and what it has learned from the stream so far.

    ``names_call``: the start message carries the very call id of the webhook, so a start for
    another call can be refused. ``close_ends_call``: a clean close without a stop message means
    that the caller hung up. ``paces_itself``: the peer sends in real time, so a long backlog is
    lateness; otherwise it may send faster than real time and expects to be played out in full.
    """

    names_call: bool
    close_ends_call: bool
    paces_itself: bool

    def receive(self, message: bytes) -> list[Event]:
        """Events of one text message (UTF-8). Raises ``RemoteError`` where it is malformed."""
        ...

    def audio(self, message: bytes) -> tuple[bytes, int | None] | None:
        """The lean path: payload and order of an ordinary audio message, without parsing it.

        ``None`` where the message is anything else or merely unusual: then ask ``receive``, which
        understands every message, these included.
        """
        ...

    def kind(self) -> int:
        """A number that wires have in common whose ordinary audio messages have the same shapes.

        0 as long as no audio message has been ordinary.
        """
        ...

    def template(self, message: bytes) -> MessageTemplate | None:
        """The shape of a message that ``audio`` understands; ``None`` for any other."""
        ...

    def send(self, command: Command) -> list[bytes]:
        """Text messages (UTF-8) that say ``command``; none where the dialect has no word for it."""
        ...

    def envelope(self) -> tuple[bytes, bytes]:
        """What stands around the base64 payload in ``send(Play(...))``; fixed once started."""
        ...
