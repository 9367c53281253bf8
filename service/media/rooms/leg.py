"""A leg: a participant's live media connection, without its socket.

It holds the wire, the jitter buffer and the counters of one connection. It sends to its peer
through a ``Transport``, which is a socket in the engine and a list in tests.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.clock import Millis
from service.domain.calls import Participant
from service.domain.wire import Command, Encoding, Flush, MeetingLeft, Started, Wire
from service.errors import RefusedStart, RemoteError
from service.media.audio.levels import Meter
from service.media.jitter.buffer import JitterBuffer
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.transport import Transport
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MUTE_SECONDS = 30.0
"""Seconds without audio after which a phone counts as mute, and its call's ladder says so."""

UNHEARD_SECONDS = 10.0
"""The same for a phone that has never sent audio but answers pings."""

NO_AUDIO = "no audio comes, though the socket is alive"

MAX_TOPICS = 64

TEXTS_A_SECOND = 100
"""Sustained rate of texts that a peer may publish. Each is sent to all subscribers."""

TEXTS_AT_ONCE = 500
"""Texts that a peer may publish in a burst."""

MAX_FAULTS = 100
"""Malformed messages a peer may send on one leg before it is closed."""

EARLY = "came before start."
"""End of the error for every message after a start message that was not understood."""


@dataclass(frozen=True, slots=True)
class LegSpec:
    """A claimed call as the engine needs it before the socket's first message.

    ``session_id`` is the session that the call was in before its socket was lost. Otherwise it is a
    session of the room that waits for participants without sockets, if there is one. ``ref`` and
    ``provider_call_id`` are compared with a phone's start message. ``dtmf`` says whether pressed
    keys are sent to the room.
    """

    leg_id: str
    call_id: str
    room_id: str
    participant: Participant
    wire: Wire = field(repr=False)
    session_id: str | None = None
    provider_call_id: str | None = None
    ref: str | None = field(default=None, repr=False)
    dtmf: bool = True

    @property
    def fields(self) -> Mapping[str, str]:
        """Fields of a log line about this leg, for ``extra``."""
        return about(self.call_id, self.room_id, leg_id=self.leg_id)


class Leg:
    """State of one leg. ``buffer`` and ``meter`` exist from the peer's start message on."""

    __slots__ = (
        "_clipped",
        "_faults",
        "_ignored",
        "_is_mute",
        "_malformed",
        "_texts",
        "_unknown",
        "began",
        "buffer",
        "earlier",
        "failed",
        "frame_size",
        "frames_out",
        "heard",
        "inbound",
        "kind",
        "left",
        "line",
        "meter",
        "misunderstood",
        "outbound",
        "overran",
        "spec",
        "spoke",
        "start_message",
        "taken_back",
        "topics",
        "wire",
    )

    def __init__(self, spec: LegSpec, line: Transport, faults: FaultLog | None = None) -> None:
        self.spec = spec
        self.line = line
        self.wire = spec.wire
        self.inbound = self.outbound = Encoding.MULAW
        self.buffer: JitterBuffer | None = None
        self.meter: Meter | None = None
        self.kind = 0
        """Kind of the wire's ordinary audio messages, known after the first one."""
        self.frame_size = 0
        """Bytes of the last WebSocket frame with audio."""
        self.start_message = b""
        """The last message up to the one with which the leg has started."""
        self.earlier: Mapping[str, int] = {}
        """Counters of this leg on other engines."""
        self.topics: set[str] = set()
        self.spoke = False
        """Whether the peer has sent audio."""
        self.heard = False
        """Whether audio other than silence was sent to the peer."""
        self.left = False
        """Whether the peer was told to leave."""
        self.taken_back = 0
        """Frames of this leg mixed so far when its peer last cleared its audio."""
        self.began = 0.0
        """Start of its stream, in monotonic seconds."""
        self.misunderstood = ""
        """The reason why the last message was not understood, unless it came before start."""
        self.overran = False
        """Whether an overrun of this leg was reported."""
        self._is_mute = False
        self.failed = False
        """Whether an exception has made this leg unusable."""
        self._faults = faults or FaultLog()
        self._texts = 0
        self.frames_out = 0
        self._clipped = 0
        self._unknown = 0
        self._ignored = 0
        self._malformed = 0

    @property
    def names(self) -> tuple[str, str]:
        """Call id and leg id, as in reports."""
        return self.spec.call_id, self.spec.leg_id

    def start(self, started: Started, at: Millis) -> None:
        """Start the leg. Raises ``RefusedStart`` if the stream belongs to another call.

        The reference in the URL has admitted the peer. The call id and the repeated reference in
        the message are compared if they can be read. A different reference with the right call id
        only causes a warning.
        """
        same_call = started.call_id in (None, self.spec.provider_call_id or started.call_id)
        same_ref = started.ref in (None, self.spec.ref or started.ref)
        if not same_call and (self.wire.names_call or not same_ref):
            raise RefusedStart("The stream belongs to another call.", close_code=1008)
        if not same_ref:
            logger.warning(
                "the start message has another reference than the URL; the URL is used",
                extra=self.spec.fields,
            )
        self.inbound, self.outbound = started.inbound, started.outbound
        self.buffer = JitterBuffer(started.inbound, paced=self.wire.paces_itself)
        self.meter = Meter(self.spec.leg_id, at)

    def around(self, length: int) -> tuple[bytes, bytes]:
        """Return the bytes sent around ``length`` bytes of base64; only after the start."""
        return self.line.around(*self.wire.envelope(), length)

    def say(self, command: Command) -> None:
        """Send a command. An exception fails this leg only, not the leg that caused the command."""
        try:
            for message in self.wire.send(command):
                self.line.text(message)
        except Exception:
            self.fail()

    def flush(self) -> None:
        """Make the peer drop audio that it has not played, if its dialect can say so."""
        try:
            for message in self.wire.send(Flush()):
                # The peer would drop this audio too, and it would delay the message.
                self.line.forget_audio()
                self.line.text(message)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Fail the leg for the exception being handled.

        The engine closes the leg. The call goes on, because its provider asks again.
        """
        if not self.failed:
            self.failed = True
            self._faults.leg_has_failed = True
            self._faults.note("leg failed", self.spec.fields)

    def falls_mute(self, at: float) -> bool:
        """Whether the peer is a phone that has become mute. Returns true once."""
        if self._is_mute or self.buffer is None or not self.wire.paces_itself:
            return False
        is_unheard = not self.spoke and self.line.answers_pings
        since = max(self.began, self.buffer.heard_at(at))
        self._is_mute = at > since + (UNHEARD_SECONDS if is_unheard else MUTE_SECONDS)
        return self._is_mute

    def leave(self, text: str, moved_to: str | None = None) -> None:
        """Tell the peer that it has left its room, and the room of its next socket."""
        self.left = True
        if self.buffer is not None:
            self.say(MeetingLeft(text, moved_to))

    def play(self, frame: bytes) -> None:
        """Send one audio message, complete with the bytes ``around`` its audio."""
        self.frames_out += 1
        self.line.audio(frame)

    def subscribe(self, topic: str) -> None:
        if topic not in self.topics and len(self.topics) >= MAX_TOPICS:
            raise RemoteError(f"More than {MAX_TOPICS} topics are subscribed to.", close_code=1008)
        self.topics.add(topic)

    def count_text(self) -> None:
        """Count a published text. Raises ``RemoteError`` if there are too many."""
        self._texts += 1
        if self._texts > TEXTS_AT_ONCE:
            raise RemoteError(
                f"More than {TEXTS_A_SECOND} texts a second were published for too long.",
                close_code=1008,
            )

    def allow_texts(self) -> None:
        """Renew the allowance of texts; once a second."""
        self._texts = max(0, self._texts - TEXTS_A_SECOND)

    def count_clipped(self) -> None:
        """Count a frame for this leg in which the sum of the others was clipped."""
        self._clipped += 1

    def count_unknown(self, name: str) -> None:
        self._unknown += 1
        self.misunderstood = f'there is no event "{name}".'

    def count_ignored(self) -> None:
        self._ignored += 1

    def count_fault(self, sentence: str) -> bool:
        """Count a malformed message. Returns whether the peer has sent too many.

        ``sentence`` is the error.
        """
        self._malformed += 1
        if not (self.misunderstood and sentence.endswith(EARLY)):
            self.misunderstood = sentence
        return self._malformed > MAX_FAULTS

    def last_stats(self) -> Mapping[str, Any]:
        """Return ``stats``, or nothing if that raises."""
        try:
            return self.stats()
        except Exception:
            self.fail()
            return {}

    def stats(self) -> Mapping[str, Any]:
        """Return counters since the leg began. Frames are 20 ms; durations are in milliseconds."""
        buffer = self.buffer
        if buffer is not None:
            buffer.reclaim()
        heard = buffer.stats if buffer else None
        stats: dict[str, Any] = {
            "framesIn": heard.taken if heard else 0,
            "framesOut": self.frames_out,
            "framesUnsent": self.line.dropped,
            "gaps": heard.gaps if heard else 0,
            "lost": buffer.chunks.lost if buffer else 0,
            "late": buffer.chunks.late if buffer else 0,
            "renumbered": buffer.chunks.renumbered if buffer else 0,
            "dropped": heard.dropped if heard else 0,
            "jitterMs": round(heard.jitter * 1000, 1) if heard else 0.0,
            "clipped": self._clipped,
            "bufferMs": round(buffer.depth * 1000) if buffer else 0,
            "malformed": self._malformed,
            "unknown": self._unknown,
            "ignored": self._ignored,
        }
        return stats | {name: stats[name] + count for name, count in self.earlier.items()}
