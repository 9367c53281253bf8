"""Analyse the audio that the sampled listeners of a run have heard. This file does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.job import SLOT
from bench.load import test_signal
from bench.load.dialects import Participant, audio_of
from bench.load.frames import TEXT, split

SLOTS = 20
"""Slots in a frame of 20 ms."""

Times = NDArray[np.float64]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The measured frames: ``first`` to ``last``, the latter excluded.

    ``sent`` has the time of each slot of the run, in order. Slot ``phase`` of frame ``n`` was sent
    at ``sent[n * SLOTS + phase]``.
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

    participant: Participant
    phase: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A sampled call. ``chunks`` has the data of its socket, each with the time of the read."""

    room: Sequence[Seat]
    seat: int
    chunks: Sequence[tuple[float, bytes]]


@dataclass(frozen=True, slots=True)
class Findings:
    """Shares are between 0 and 1; ``latency`` and ``lateness`` are in seconds.

    ``heard`` is the share of the sent frames, ``exact`` the share of the frames that were heard at
    least in part. ``answers`` counts the frames that arrived within the window, and ``size`` is the
    bytes of each, 0 if none arrived.
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
    participants = [seat.participant for seat in listener.room]
    audio = test_signal.decode(
        b"".join(payloads),
        listener.seat,
        [participant.inbound for participant in participants],
        participants[listener.seat].outbound,
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
    """Return the arrival time and payload of each audio frame, and the size of the last one."""
    data = b"".join(chunk for _, chunk in chunks)
    ends = np.cumsum([len(chunk) for _, chunk in chunks])
    moments = np.array([at for at, _ in chunks])
    stops, payloads, sizes = [], [], []
    begin = 0
    for stop, opcode, message in split(data):
        payload = audio_of(message) if opcode == TEXT else None
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
    """Return which frames of the run these numbers are, and the delay of each.

    A number means the latest frame with that number that was sent before it was heard.
    """
    sent = window.sent[phase::SLOTS]
    latest = np.searchsorted(sent, times, side="right") - 1
    frames = latest - (latest - numbers) % test_signal.NUMBERS
    return frames, times - sent[np.maximum(frames, 0)]
