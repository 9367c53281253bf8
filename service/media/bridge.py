"""The bridge: one tick's way from every leg's buffer, through the mix, to every leg's line.

A bridge is arranged once for a set of rooms and thrown away when somebody comes or leaves. What it
does fifty times a second it does for all legs at once; for each leg alone it only sends a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from service.media.bank import Bank
from service.media.g711 import Samples
from service.media.jitter import JitterBuffer
from service.media.leg import Leg
from service.media.mixer import Seating
from service.media.sheet import sheets
from service.media.voices import Voices
from service.wire import FRAME_SAMPLES, Encoding


class Bridge:
    """Rooms as sequences of legs, all of which have started."""

    def __init__(self, rooms: Iterable[Sequence[Leg]], bank: Bank) -> None:
        # By size, because the mixer takes rooms of one size together.
        ordered = sorted(rooms, key=len)
        self._legs = [leg for legs in ordered for leg in legs]
        self._seating = Seating([len(legs) for legs in ordered])
        self._heard = np.zeros((len(self._legs), FRAME_SAMPLES), np.int16)
        places: defaultdict[Encoding, list[tuple[int, Leg, JitterBuffer]]] = defaultdict(list)
        for row, leg in enumerate(self._legs):
            if leg.buffer is not None:
                places[leg.inbound].append((row, leg, leg.buffer))
        self._voices = [Voices(encoding, group, bank) for encoding, group in places.items()]
        self._sheets = sheets(self._legs)
        self._unheard = [row for row, leg in enumerate(self._legs) if not leg.heard]

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame; the legs that heard something for the first time."""
        self._heard.fill(0)
        for voices in self._voices:
            voices.collect(self._heard, at)
        mixed, clipped = self._seating.mix(self._heard)
        for row in clipped:
            self._legs[row].count_clipped()
        for sheet in self._sheets:
            sheet.play(mixed)
        return self._first_heard(mixed) if self._unheard else []

    def _first_heard(self, mixed: Samples) -> list[Leg]:
        first = [self._legs[row] for row in self._unheard if mixed[row].any()]
        for leg in first:
            leg.heard = True
        if first:
            self._unheard = [row for row in self._unheard if not self._legs[row].heard]
        return first
