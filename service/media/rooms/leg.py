"""A leg: a participant's live media connection, without its socket.

It holds the wire, the jitter buffer and the counters of one connection, and says things to its
peer through a ``Transport``, which the engine implements on a socket and tests implement as a list.
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
from service.media.rooms.faults import Faults
from service.media.rooms.transport import Transport
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MUTE_SECONDS = 30.0
"""How long a phone may send nothing. One that sends other things but no audio may do so; its call's
ladder says so after that time."""

UNHEARD_SECONDS = 10.0
"""The same for one that has sent none at all and answers pings."""

NO_AUDIO = "no audio comes, though the socket is alive"

MAX_TOPICS = 64

TEXTS_A_SECOND = 100
"""Texts that a peer may publish for long. Each is sent to all who have subscribed."""

TEXTS_AT_ONCE = 500
"""Texts that it may publish at once."""

MAX_FAULTS = 100
"""Malformed messages a peer may send on one leg before it is closed."""

EARLY = "came before start."
"""The fault of every message that follows a start message which was not understood."""


@dataclass(frozen=True, slots=True)
class LegSpec:
    """What the engine needs to know of a claimed call before its socket speaks.

    ``session_id`` is the session the call was in before its socket was lost, if it was in one, or
    else one of its room that waits for those who have lost theirs.
    ``ref`` and ``provider_call_id`` are what a phone's start message is compared with. ``dtmf``
    says whether the room is told of keys.
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
        """The ``extra`` of a line in the log about this leg."""
        return about(self.call_id, self.room_id, leg_id=self.leg_id)


class Leg:
    """The state of one leg. ``buffer`` and ``meter`` exist from the peer's start message on."""

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
        "taken_back",
        "topics",
        "wire",
    )

    def __init__(self, spec: LegSpec, line: Transport, faults: Faults | None = None) -> None:
        self.spec = spec
        self.line = line
        self.wire = spec.wire
        self.inbound = self.outbound = Encoding.MULAW
        self.buffer: JitterBuffer | None = None
        self.meter: Meter | None = None
        self.kind = 0
        """The kind of the wire's ordinary audio messages, once one of them was heard."""
        self.frame_size = 0
        """Bytes of the WebSocket frame in which audio came last."""
        self.topics: set[str] = set()
        self.spoke = False
        """Whether audio has come from the peer."""
        self.heard = False
        """Whether anything but silence has been sent to the peer."""
        self.left = False
        """Whether the peer has been told to go."""
        self.taken_back = 0
        """Frames of this leg that had been mixed when its peer last took something back."""
        self.began = 0.0
        """When its stream began, in monotonic seconds."""
        self.misunderstood = ""
        """Why a message was not understood: the last one that did not just come too early."""
        self.overran = False
        """Whether the peer has been found to send faster than real time for long."""
        self._is_mute = False
        self.failed = False
        """Whether a fault of ours has made this leg unusable."""
        self._faults = faults or Faults()
        self._texts = 0
        self.frames_out = 0
        self._clipped = 0
        self._unknown = 0
        self._ignored = 0
        self._malformed = 0

    @property
    def names(self) -> tuple[str, str]:
        """What a report knows this leg by: its call first."""
        return self.spec.call_id, self.spec.leg_id

    def start(self, started: Started, at: Millis) -> None:
        """Raises ``RefusedStart`` where the stream belongs to another call than the reference.

        The reference in the URL has let the peer in. What the message says besides is compared
        where it can be read, and a call id counts for more than a repeated reference: by itself,
        another reference is only warned of.
        """
        same_call = started.call_id in (None, self.spec.provider_call_id or started.call_id)
        same_ref = started.ref in (None, self.spec.ref or started.ref)
        if not same_call and (self.wire.names_call or not same_ref):
            raise RefusedStart("The stream belongs to another call.", close_code=1008)
        if not same_ref:
            logger.warning(
                "the start message repeats another reference than its URL, which counts",
                extra=self.spec.fields,
            )
        self.inbound, self.outbound = started.inbound, started.outbound
        self.buffer = JitterBuffer(started.inbound, paced=self.wire.paces_itself)
        self.meter = Meter(self.spec.leg_id, at)

    def around(self, length: int) -> tuple[bytes, bytes]:
        """What stands on the line around ``length`` bytes of base64; only after the start."""
        return self.line.around(*self.wire.envelope(), length)

    def say(self, command: Command) -> None:
        """Send a command. An exception fails this leg, and not its sender."""
        try:
            for message in self.wire.send(command):
                self.line.text(message)
        except Exception:
            self.fail()

    def flush(self) -> None:
        """Have the peer drop what it has not played, where its dialect has a word for that."""
        try:
            for message in self.wire.send(Flush()):
                # The peer would drop this as well, and it would only keep the word waiting.
                self.line.forget_audio()
                self.line.text(message)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """Fail the leg for the exception that is being handled, a fault of ours.

        It is closed by the engine, and the call goes on: its provider asks again.
        """
        if not self.failed:
            self.failed = True
            self._faults.legs.append(self)
            self._faults.note("a leg failed", self.spec.fields)

    def falls_mute(self, at: float) -> bool:
        """Whether the peer is a phone without audio for long. True once."""
        if self._is_mute or self.buffer is None or not self.wire.paces_itself:
            return False
        is_unheard = not self.spoke and self.line.answers_pings
        since = max(self.began, self.buffer.heard_at(at))
        self._is_mute = at > since + (UNHEARD_SECONDS if is_unheard else MUTE_SECONDS)
        return self._is_mute

    def leave(self, text: str) -> None:
        """Tell a peer that is in a room that it no longer is."""
        self.left = True
        if self.buffer is not None:
            self.say(MeetingLeft(text))

    def play(self, frame: bytes) -> None:
        """Send one audio message, with what is ``around`` its audio."""
        self.frames_out += 1
        self.line.audio(frame)

    def subscribe(self, topic: str) -> None:
        if topic not in self.topics and len(self.topics) >= MAX_TOPICS:
            raise RemoteError(f"More than {MAX_TOPICS} topics are subscribed to.", close_code=1008)
        self.topics.add(topic)

    def count_text(self) -> None:
        """Count a published text. Raises ``RemoteError`` where there are too many."""
        self._texts += 1
        if self._texts > TEXTS_AT_ONCE:
            raise RemoteError(
                f"More than {TEXTS_A_SECOND} texts a second were published for too long.",
                close_code=1008,
            )

    def allow_texts(self) -> None:
        """To be called once a second."""
        self._texts = max(0, self._texts - TEXTS_A_SECOND)

    def count_clipped(self) -> None:
        """Count a frame for this leg in which the others together were too loud."""
        self._clipped += 1

    def count_unknown(self, name: str) -> None:
        self._unknown += 1
        self.misunderstood = f'there is no event "{name}".'

    def count_ignored(self) -> None:
        self._ignored += 1

    def count_fault(self, sentence: str) -> bool:
        """Count a malformed message; True when the peer has sent too many to go on.

        ``sentence`` is what is wrong with it.
        """
        self._malformed += 1
        if not (self.misunderstood and sentence.endswith(EARLY)):
            self.misunderstood = sentence
        return self._malformed > MAX_FAULTS

    def last_stats(self) -> Mapping[str, Any]:
        """``stats``, or nothing where a fault has made them unreadable."""
        try:
            return self.stats()
        except Exception:
            self.fail()
            return {}

    def stats(self) -> Mapping[str, Any]:
        """Counters since this leg began. Frames are 20 ms; durations are in milliseconds."""
        buffer = self.buffer
        if buffer is not None:
            buffer.reclaim()
        heard = buffer.stats if buffer else None
        return {
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
