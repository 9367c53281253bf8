"""The bridge: one tick's way from every leg's buffer, through the mix, to every leg's line.

A bridge is arranged once for a set of rooms and thrown away when somebody comes or leaves. What it
does fifty times a second it does for all legs at once; for each leg alone it only sends a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from service.media.bank import Bank
from service.media.g711 import Samples
from service.media.gauges import Gauge, gauges
from service.media.jitter import QUIET, JitterBuffer
from service.media.leg import Leg
from service.media.levels import Levels
from service.media.mixer import Seating
from service.media.sheet import sheets
from service.media.voices import Voices
from service.wire import FRAME_SAMPLES, Encoding


class Bridge:
    """Rooms as sequences of legs, all of which have started.

    ``before`` is the bridge that this one takes over from.
    """

    def __init__(
        self, rooms: Iterable[Sequence[Leg]], bank: Bank, before: Bridge | None = None
    ) -> None:
        # By size, because the mixer takes rooms of one size together.
        ordered = sorted(rooms, key=len)
        self._legs = [leg for legs in ordered for leg in legs]
        self._seating = Seating([len(legs) for legs in ordered])
        self._bank = bank
        self._heard = np.zeros((len(self._legs), FRAME_SAMPLES), np.int16)
        places: defaultdict[Encoding, list[tuple[int, Leg, JitterBuffer]]] = defaultdict(list)
        for row, leg in enumerate(self._legs):
            if leg.buffer is not None:
                places[leg.inbound].append((row, leg, leg.buffer))
        self._voices = [Voices(encoding, group, bank) for encoding, group in places.items()]
        self._sheets = sheets(self._legs)
        self._unheard = [row for row, leg in enumerate(self._legs) if not leg.heard]
        # Rooms of one or two come first, and nobody there ever asks for a third voice.
        self._crowd = sum(len(legs) for legs in ordered if len(legs) < 3)
        self._rows = {leg: row for row, leg in enumerate(self._legs)}
        self._audible = np.full(len(self._legs), -np.inf)
        meters = [leg.meter for leg in self._legs if leg.meter is not None]
        self._levels: Levels = Levels(meters, None if before is None else before._levels)
        if before is not None:
            self._audible[:] = [before.audible_at(leg) for leg in self._legs]

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame; the legs that heard something for the first time."""
        self._heard.fill(0)
        for voices in self._voices:
            voices.collect(self._heard, at)
        if self._crowd < len(self._legs):
            # Sound swings to both sides, so that its highest sample will do.
            audible = self._heard[self._crowd :].max(axis=1) >= QUIET
            self._audible[self._crowd :][audible] = at
        mixed, clipped = self._seating.mix(self._heard)
        self._levels.measure(self._heard, mixed)
        for row in clipped:
            self._legs[row].count_clipped()
        for sheet in self._sheets:
            sheet.play(mixed)
        return self._first_heard(mixed) if self._unheard else []

    def gauges(self) -> Mapping[str, Gauge]:
        """What can be read off each leg now, by call id."""
        return gauges(self._legs, self._levels, self._bank)

    def audible_at(self, leg: Leg) -> float:
        """The last tick at which a leg was audible to the others in a room of three or more."""
        row = self._rows.get(leg)
        return -np.inf if row is None else float(self._audible[row])

    def _first_heard(self, mixed: Samples) -> list[Leg]:
        first = [self._legs[row] for row in self._unheard if mixed[row].any()]
        for leg in first:
            leg.heard = True
        if first:
            self._unheard = [row for row in self._unheard if not self._legs[row].heard]
        return first
