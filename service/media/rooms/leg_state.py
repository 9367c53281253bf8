"""State of a leg that moves with its socket to another engine of this machine.

The dialect's state is not sent. It follows from the start message, which the new engine parses
again. The state of the jitter buffer is not sent either: the audio that waits is enough, with its
times of arrival, as all processes of a machine have the same monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.clock import Millis
from service.domain.loudness import Loudness
from service.domain.wire import Started
from service.errors import RefusedStart
from service.media.audio.levels import Meter
from service.media.jitter.buffer import JitterBuffer
from service.media.rooms.leg import Leg

PASSING = ("bufferMs", "jitterMs")
"""Statistics that describe a moment. All others are counters, and continue."""


@dataclass(frozen=True, slots=True)
class LegState:
    """``start`` is the start message, and empty before it.

    ``unread`` is input that does not complete a message, and ``unsent`` output that the kernel has
    not accepted; both are raw bytes. ``audio`` waits for its tick: number, payload and time of
    arrival. Each of ``marks`` has the number of bytes before it. ``counters`` are the statistics so
    far.
    """

    start: bytes = field(repr=False)
    unread: bytes = field(repr=False)
    unsent: bytes = field(repr=False)
    audio: tuple[tuple[int | None, bytes, float], ...] = field(repr=False)
    marks: tuple[tuple[int, str], ...]
    topics: tuple[str, ...]
    spoke: bool
    heard: bool
    answers_pings: bool
    counters: Mapping[str, int]
    loudness: Loudness | None


def capture(leg: Leg, unread: bytes, unsent: bytes) -> LegState:
    """Return the state of a leg, with the bytes of its socket."""
    stats, buffer = leg.stats(), leg.buffer
    return LegState(
        start=b"" if buffer is None else leg.start_message,
        unread=unread,
        unsent=unsent,
        audio=() if buffer is None else buffer.chunks.rest(),
        marks=() if buffer is None else _marks(buffer),
        topics=tuple(leg.topics),
        spoke=leg.spoke,
        heard=leg.heard,
        answers_pings=leg.line.answers_pings,
        counters={name: int(value) for name, value in stats.items() if name not in PASSING},
        loudness=None if leg.meter is None else leg.meter.loudness(),
    )


def restore(leg: Leg, state: LegState, at: float, now: Millis) -> None:
    """Bring a new leg into this state. Raises ``RemoteError`` if its start message is refused."""
    leg.earlier = state.counters
    if not state.start:
        return
    started = [each for each in leg.wire.receive(state.start) if isinstance(each, Started)]
    if not started:
        raise RefusedStart("The start message of a leg that moves is none.")
    leg.start(started[0], now)
    leg.start_message = state.start
    leg.began = at
    if state.loudness is not None:
        leg.meter = Meter.continued(state.loudness)
    leg.topics.update(state.topics)
    leg.spoke, leg.heard = state.spoke, state.heard
    if leg.buffer is not None:
        _refill(leg.buffer, state, at)


def _marks(buffer: JitterBuffer) -> tuple[tuple[int, str], ...]:
    return tuple((position - buffer.chunks.passed, name) for position, name in buffer.marks)


def _refill(buffer: JitterBuffer, state: LegState, at: float) -> None:
    for number, payload, arrived in state.audio:
        buffer.push(payload, min(arrived, at), number)
    buffer.marks.extend(state.marks)
