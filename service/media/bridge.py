"""The bridge: one tick's way from every leg's buffer, through the mix, to every leg's line.

A bridge is arranged once for a set of rooms and thrown away when somebody comes or leaves. What it
does fifty times a second it does for all legs at once; for each leg alone it only takes a frame,
and sends one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from service.media import g711
from service.media.g711 import Samples
from service.media.jitter import Effect, JitterBuffer
from service.media.leg import Leg
from service.media.mixer import Seating
from service.wire import FRAME_SAMPLES, Encoding, Marked

_FADE_IN: NDArray[np.float64] = np.minimum(np.arange(FRAME_SAMPLES) / 40, 1.0)
"""5 ms up, then flat."""

_FADE_OUT: NDArray[np.float64] = np.linspace(1.0, 0.0, FRAME_SAMPLES)


class Bridge:
    """Rooms as sequences of legs, all of which have started."""

    def __init__(self, rooms: Iterable[Sequence[Leg]]) -> None:
        # By size, because the mixer takes rooms of one size together.
        ordered = sorted(rooms, key=len)
        self._legs = [leg for legs in ordered for leg in legs]
        self._seating = Seating([len(legs) for legs in ordered])
        self._heard = np.zeros((len(self._legs), FRAME_SAMPLES), np.int16)
        self._speakers: list[tuple[Encoding, list[tuple[int, Leg, JitterBuffer]]]] = [
            (encoding, [(row, leg, leg.buffer) for row, leg in group if leg.buffer is not None])
            for encoding, group in _grouped(self._legs, [leg.inbound for leg in self._legs])
        ]
        self._listeners: list[tuple[Encoding, NDArray[np.intp], list[Leg]]] = [
            (encoding, np.array([row for row, _ in group]), [leg for _, leg in group])
            for encoding, group in _grouped(self._legs, [leg.outbound for leg in self._legs])
        ]
        self._unheard = [row for row, leg in enumerate(self._legs) if not leg.heard]

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame; the legs that heard something for the first time."""
        self._heard.fill(0)
        for encoding, speakers in self._speakers:
            self._collect(encoding, speakers, at)
        mixed = self._seating.mix(self._heard)
        for encoding, rows, legs in self._listeners:
            audible = mixed if len(rows) == len(mixed) else mixed[rows]
            encoded = g711.encode(audible, encoding)
            size = FRAME_SAMPLES * encoding.bytes_per_sample
            start = 0
            for leg in legs:
                leg.play(encoded[start : start + size])
                start += size
        return self._first_heard(mixed) if self._unheard else []

    def _collect(
        self, encoding: Encoding, speakers: list[tuple[int, Leg, JitterBuffer]], at: float
    ) -> None:
        """Put the next frame of each speaker into its row; rows without one stay silent."""
        plain = Effect.PLAIN
        rows: list[int] = []
        payloads: list[bytes] = []
        special: list[tuple[int, JitterBuffer]] = []
        for row, leg, buffer in speakers:
            frame = buffer.take(at)
            if frame is not None:
                rows.append(row)
                payloads.append(frame)
                if buffer.effect is not plain:
                    special.append((row, buffer))
            if buffer.marks:
                for name in buffer.reached():
                    leg.say(Marked(name))
        if rows:
            samples = g711.decode(b"".join(payloads), encoding)
            self._heard[rows] = samples.reshape(-1, FRAME_SAMPLES)
        for row, buffer in special:
            self._heard[row] = _blend(self._heard[row], buffer, encoding)

    def _first_heard(self, mixed: Samples) -> list[Leg]:
        first = [self._legs[row] for row in self._unheard if mixed[row].any()]
        for leg in first:
            leg.heard = True
        if first:
            self._unheard = [row for row in self._unheard if not self._legs[row].heard]
        return first


def _grouped(
    legs: Sequence[Leg], encodings: Sequence[Encoding]
) -> Iterable[tuple[Encoding, list[tuple[int, Leg]]]]:
    """Rows and legs by encoding, each group in the order of its rows."""
    rows = sorted(range(len(legs)), key=lambda row: encodings[row])
    for encoding, group in groupby(rows, key=lambda row: encodings[row]):
        yield encoding, [(row, legs[row]) for row in group]


def _blend(samples: Samples, buffer: JitterBuffer, encoding: Encoding) -> Samples:
    """The buffer's last frame with its effect, so that a gap or a cut is faded and not clicked."""
    if buffer.effect is Effect.CONCEAL:
        # The last frame backwards goes on from the very sample on which the audio stopped.
        return (samples[::-1] * _FADE_OUT).astype(np.int16)
    if buffer.effect is Effect.SPLICE and buffer.spliced is not None:
        before = g711.decode(buffer.spliced, encoding)
        return (before * _FADE_OUT + samples * (1.0 - _FADE_OUT)).astype(np.int16)
    return (samples * _FADE_IN).astype(np.int16)
