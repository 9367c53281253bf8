"""One tick: from every leg's buffer, through the mix, to every leg's transport.

Every leg has a row in the matrices of a tick for as long as it stays in its room. A leg that joins
or leaves changes the rows of that room only. Each tick is computed for all legs at once; only
sending a frame is done leg by leg.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio.g711 import Samples
from service.media.audio.levels import Levels
from service.media.audio.mixer import MixLayout
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.buffer import QUIET
from service.media.rooms.decode import InputGroup
from service.media.rooms.encode import OutputGroups
from service.media.rooms.gate import LOUD, UNGATED, Gate
from service.media.rooms.leg import Leg
from service.media.rooms.live_levels import LiveLevels, live_levels

SPARSE = 64
"""Empty rows beyond the number of legs at which the rows are compacted."""


class MixPlan:
    """Rows of all legs for a tick. ``rooms`` are sequences of started legs.

    ``before`` is the plan that this one replaces.
    """

    def __init__(
        self,
        rooms: Iterable[Sequence[Leg]],
        buffers: BatchJitterBuffer,
        before: MixPlan | None = None,
    ) -> None:
        self._buffers = buffers
        self._rows: dict[Leg, int] = {}
        self._free: list[int] = []
        self._heard = np.zeros((0, FRAME_SAMPLES), np.int16)
        self._top = 0  # all rows from here on are empty
        self._layout = MixLayout()
        self._inputs: dict[Encoding, InputGroup] = {}
        self._outputs = OutputGroups()
        self._levels = Levels()
        self._gate = Gate()
        self._unheard: dict[Leg, int] = {}
        self._audible = np.zeros(0)
        self.change((), tuple(rooms))
        if before is not None:
            self._take_over(before)

    @property
    def rows(self) -> Mapping[Leg, int]:
        """Each leg's row in the matrices of a tick."""
        return self._rows

    @property
    def heard(self) -> Samples:
        """Samples of the last tick, by row; valid until the next one."""
        return self._heard[: self._top]

    @property
    def is_sparse(self) -> bool:
        """Whether too many rows are empty, so that a new plan would be faster."""
        return self._top > 2 * len(self._rows) + SPARSE

    def change(self, before: Sequence[Sequence[Leg]], after: Sequence[Sequence[Leg]]) -> None:
        """Replace some rooms, ``before`` by ``after``. A leg may have moved between them."""
        for legs in before:
            self._layout.remove([self._rows[leg] for leg in legs])
        stay = {leg for legs in after for leg in legs}
        for legs in before:
            for leg in legs:
                if leg not in stay:
                    self._remove(leg)
        for legs in after:
            for leg in legs:
                if leg not in self._rows:
                    self._seat(leg)
            self._layout.assign([self._rows[leg] for leg in legs])

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame. Returns the legs that were sent audio for the first time."""
        heard = self._heard[: self._top]
        heard.fill(0)
        for group in self._inputs.values():
            group.collect(heard, at)
        mixed, clipped = self._layout.mix(heard, self._gated(heard, at))
        self._levels.measure(heard, mixed)
        if clipped:
            loud = set(clipped)
            for leg, row in self._rows.items():
                if row in loud:
                    leg.count_clipped()
        for output in self._outputs:
            output.play(mixed)
        return self._first_heard(mixed) if self._unheard else []

    def live_levels(self) -> Mapping[str, LiveLevels]:
        """Return each leg's levels and buffer statistics by call id."""
        return live_levels(self._rows, self._levels, self._buffers)

    def audible_at(self, leg: Leg) -> float:
        """Return the last tick at which a leg was audible, if its room has three legs or more."""
        row = self._rows.get(leg)
        return -np.inf if row is None else float(self._audible[row])

    def _gated(self, heard: Samples, at: float) -> Samples | None:
        """Record which legs are audible. Returns the gated samples of rooms of three or more."""
        rows, small = self._layout.large_rooms(UNGATED)
        if not len(rows):
            # In smaller rooms nothing asks which other voices are audible.
            return None
        there = heard.take(rows, axis=0)
        # Sound swings to both sides, so the highest sample suffices.
        highest = there.max(axis=1)
        self._audible[rows[highest >= QUIET]] = at
        if small == len(rows):
            return there
        peaks = highest[small:].astype(np.int32)
        soft = np.flatnonzero(peaks < LOUD)
        if len(soft):
            # If the highest sample has not opened the gate, the lowest may.
            lowest = there[small + soft].min(axis=1).astype(np.int32)
            peaks[soft] = np.maximum(peaks[soft], -lowest)
        shut = self._gate.closed(rows[small:], peaks)
        if shut.any():
            there[small:][shut] = 0
        return there

    def _seat(self, leg: Leg) -> None:
        if not self._free:
            self._grow()
        row = self._rows[leg] = heapq.heappop(self._free)
        self._top = max(self._top, row + 1)
        self._audible[row] = -np.inf
        if leg.buffer is not None:
            group = self._inputs.get(leg.inbound)
            if group is None:
                group = self._inputs[leg.inbound] = InputGroup(leg.inbound, self._buffers)
            group.assign(row, leg, leg.buffer)
        self._levels.assign(row, leg.meter)
        self._gate.assign(row)
        self._outputs.assign(row, leg)
        if not leg.heard:
            self._unheard[leg] = row

    def _remove(self, leg: Leg) -> None:
        row = self._rows.pop(leg)
        if leg.buffer is not None:
            self._inputs[leg.inbound].remove(row)
        self._levels.assign(row, None)
        self._outputs.remove(row)
        self._unheard.pop(leg, None)
        heapq.heappush(self._free, row)
        if row + 1 == self._top:
            self._top = max(self._rows.values(), default=-1) + 1

    def _grow(self) -> None:
        size = len(self._heard)
        more = size + SPARSE
        self._free.extend(range(size, size + more))
        heapq.heapify(self._free)
        self._heard = np.zeros((size + more, FRAME_SAMPLES), np.int16)
        self._audible = np.concatenate((self._audible, np.full(more, -np.inf)))

    def _take_over(self, before: MixPlan) -> None:
        for leg, row in self._rows.items():
            there = before._rows.get(leg)
            if there is not None:
                self._audible[row] = before._audible[there]
                self._levels.take_over(row, before._levels, there)
                self._gate.take_over(row, before._gate, there)

    def _first_heard(self, mixed: Samples) -> list[Leg]:
        first = [leg for leg, row in self._unheard.items() if mixed[row].any()]
        for leg in first:
            leg.heard = True
            del self._unheard[leg]
        return first
