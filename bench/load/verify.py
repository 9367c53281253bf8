"""What the sampled listeners of a run have heard, worked out when it is over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.job import SLOT
from bench.load import test_signal
from bench.load.dialects import Speaker, heard
from bench.load.frames import TEXT, split

SLOTS = 20
"""Slots in a frame of 20 ms."""

Times = NDArray[np.float64]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The frames that count: ``first`` to ``last``, the latter excluded.

    ``sent`` is when each slot of the run was sent, in order. What is sent in slot ``phase`` of
    frame ``n`` was sent at ``sent[n * SLOTS + phase]``.
    """

    sent: Times
    first: int
    last: int

    @property
    def began(self) -> float:
        return float(self.sent[self.first * SLOTS])

    @property
    def ended(self) -> float:
        return float(self.sent[self.last * SLOTS])


@dataclass(frozen=True, slots=True)
class Seat:
    """One call of a room and the slot in which it sends."""

    speaker: Speaker
    phase: int


@dataclass(frozen=True, slots=True)
class Listener:
    """``chunks`` are what its socket gave, each with the moment it was read."""

    room: Sequence[Seat]
    seat: int
    chunks: Sequence[tuple[float, bytes]]


@dataclass(frozen=True, slots=True)
class Findings:
    """``heard`` and ``exact`` are shares of one; ``latency`` and ``lateness`` are in seconds.

    ``heard`` is of the frames that were spoken, ``exact`` of those of which anything was heard.

    ``answers`` counts the frames that came within the window, and ``size`` is the bytes of each,
    0 where none came.
    """

    heard: float
    exact: float
    answers: int
    size: int
    latency: Times
    lateness: Times


def judge(listener: Listener, window: Window) -> Findings:
    times, payloads, size = _frames(listener.chunks)
    counted = (times >= window.began) & (times < window.ended)
    if not counted.any():
        return Findings(0.0, 0.0, 0, size, np.empty(0), np.empty(0))
    speakers = [seat.speaker for seat in listener.room]
    audio = test_signal.listen(
        b"".join(payloads),
        listener.seat,
        [speaker.inbound for speaker in speakers],
        speakers[listener.seat].outbound,
    )
    distinct = 0
    latency = []
    for number, seat in enumerate(listener.room):
        found = audio.numbers[:, number]
        spoken = found >= 0
        frames, delay = _trace(found[spoken], times[spoken], seat.phase, window)
        wanted = (frames >= window.first) & (frames < window.last)
        distinct += len(np.unique(frames[wanted]))
        latency.append(delay[wanted])
    expected = (len(listener.room) - 1) * (window.last - window.first)
    return Findings(
        heard=distinct / expected,
        exact=_share(audio.exact[counted], audio.present[counted]),
        answers=int(counted.sum()),
        size=size,
        latency=np.concatenate(latency),
        lateness=np.maximum(np.diff(times[counted]) - SLOTS * SLOT, 0.0),
    )


def _share(some: NDArray[np.bool_], of_these: NDArray[np.bool_]) -> float:
    return float(some.sum() / of_these.sum()) if of_these.any() else 1.0


def _frames(chunks: Sequence[tuple[float, bytes]]) -> tuple[Times, list[bytes], int]:
    """When each frame of audio was there as a whole, its payload, and the bytes it came in."""
    data = b"".join(chunk for _, chunk in chunks)
    ends = np.cumsum([len(chunk) for _, chunk in chunks])
    moments = np.array([at for at, _ in chunks])
    stops, payloads, sizes = [], [], []
    begin = 0
    for stop, opcode, message in split(data):
        payload = heard(message) if opcode == TEXT else None
        if payload is not None:
            stops.append(stop)
            payloads.append(payload)
            sizes.append(stop - begin)
        begin = stop
    if not stops:
        return np.empty(0), [], 0
    return moments[np.searchsorted(ends, stops)], payloads, sizes[-1]


def _trace(
    numbers: NDArray[np.int64], times: Times, phase: int, window: Window
) -> tuple[NDArray[np.int64], Times]:
    """Which frames of the run these were, by their numbers, and how long each was under way.

    It is the latest frame of that number which was sent before it was heard.
    """
    sent = window.sent[phase::SLOTS]
    latest = np.searchsorted(sent, times, side="right") - 1
    frames = latest - (latest - numbers) % test_signal.NUMBERS
    return frames, times - sent[np.maximum(frames, 0)]
