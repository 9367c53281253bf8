"""Tap of the mix: copies what the room heard of recorded calls, in blocks of a second.

The samples are those of the tick, after the jitter buffer, encoded as the leg sends them. A block
covers consecutive ticks, and ticks without a leg in the room are in no block. Pure: blocks go to a
callable, which must not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711
from service.media.audio.g711 import Codes, Samples
from service.media.rooms.leg import Leg

BLOCK_TICKS = 50
"""Ticks in a whole block: one second."""

FEWEST = 16
"""Initial number of places of a group."""


@dataclass(frozen=True, slots=True)
class Track:
    """One call of one room that is recorded. ``id`` names its spool.

    While the call is in another room, or has no leg, there is nothing to record.
    """

    id: str
    call_id: str
    room_id: str


@dataclass(frozen=True, slots=True)
class Block:
    """Encoded audio of several tracks for the ticks from ``tick`` on.

    ``codes`` has the bytes of a tick by track and tick. The second value of each of ``parts`` is
    the first index of that track's ticks: it began to be heard there.
    """

    encoding: Encoding
    tick: int
    parts: tuple[tuple[str, int], ...]
    codes: Codes = field(repr=False)

    def payload(self, part: int) -> tuple[int, bytes]:
        """Return the first tick of a part, and its bytes."""
        start = self.parts[part][1]
        return self.tick + start, self.codes[part, start:].tobytes()


class Tap:
    """Used by the engine's thread only. ``sink`` returns false if it cannot take a block.

    The tracks of a block that was not taken end: nobody waits for a slow disk.
    """

    def __init__(self, sink: Callable[[Block], bool]) -> None:
        self._sink = sink
        self._tracks: dict[str, Track] = {}
        self._groups: dict[Encoding, _Group] = {}
        self._heard: dict[str, Encoding] = {}  # the group of each track that is heard
        self._lost: list[str] = []
        self._changes: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is recorded."""
        return bool(self._tracks)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._tracks

    def record(self, track: Track) -> None:
        """Begin a track, or continue it in another room."""
        self._tracks[track.id] = track
        self._changes = None

    def stop(self, track_id: str) -> None:
        """End a track. Its last block is handed over before this returns."""
        self._silence(track_id)
        self._tracks.pop(track_id, None)

    def take(self, heard: Samples, tick: int, rows: Mapping[Leg, int], changes: int) -> None:
        """Copy the samples of a tick. Ticks are numbered in the order of time, with gaps.

        ``rows`` are the legs' rows in ``heard``, and ``changes`` differs after they have changed.
        """
        if changes != self._changes:
            self._arrange(rows)
            self._changes = changes
        for group in self._groups.values():
            if group.tracks:
                for block in group.take(heard, tick):
                    self._send(block)

    def lost(self) -> Sequence[str]:
        """Return the tracks that have ended by themselves since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def fail(self) -> None:
        """End every track and hand nothing over, because an exception may have left parts of it."""
        self._lost += self._tracks
        self._tracks.clear()
        self._groups.clear()
        self._heard.clear()

    def _arrange(self, rows: Mapping[Leg, int]) -> None:
        found = {leg.spec.call_id: (leg, row) for leg, row in rows.items()}
        for track in list(self._tracks.values()):
            leg, row = found.get(track.call_id, (None, 0))
            is_here = leg is not None and leg.spec.room_id == track.room_id
            encoding = leg.inbound if leg is not None and is_here else None
            if self._heard.get(track.id) is not encoding:
                self._silence(track.id)
            if encoding is not None and track.id in self._tracks:
                self._heard[track.id] = encoding
                group = self._groups.get(encoding)
                if group is None:
                    group = self._groups[encoding] = _Group(encoding)
                group.put(track.id, row)

    def _silence(self, track_id: str) -> None:
        encoding = self._heard.pop(track_id, None)
        if encoding is not None:
            block = self._groups[encoding].remove(track_id)
            if block is not None:
                self._send(block)

    def _send(self, block: Block) -> None:
        if self._sink(block):
            return
        for track_id, _ in block.parts:
            encoding = self._heard.pop(track_id, None)
            if encoding is not None:
                self._groups[encoding].remove(track_id)
            if self._tracks.pop(track_id, None) is not None:
                self._lost.append(track_id)


class _Group:
    """Tracks of one encoding that are heard, and their unfinished block."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._size = FRAME_SAMPLES * encoding.bytes_per_sample
        self.tracks: list[str] = []
        self._at: dict[str, int] = {}  # places by track
        self._rows = np.zeros(0, np.intp)
        self._starts: list[int] = []
        self._codes = self._blank(FEWEST)
        self._first = self._filled = 0

    def put(self, track_id: str, row: int) -> None:
        """Add a track from the next tick on, or change its row."""
        place = self._at.get(track_id)
        if place is not None:
            self._rows[place] = row
            return
        place = self._at[track_id] = len(self.tracks)
        if place == len(self._codes):
            self._codes = np.concatenate((self._codes, self._blank(place)))
        self.tracks.append(track_id)
        self._rows = np.append(self._rows, row)
        self._starts.append(self._filled)

    def remove(self, track_id: str) -> Block | None:
        """Remove a track; the last one takes its place. Returns the rest of its audio."""
        place, last = self._at.pop(track_id), len(self.tracks) - 1
        start, block = self._starts[place], None
        if start < self._filled:
            rest = self._codes[place : place + 1, start : self._filled].copy()
            block = Block(self._encoding, self._first + start, ((track_id, 0),), rest)
        if place < last:
            self._at[self.tracks[last]] = place
            self.tracks[place], self._starts[place] = self.tracks[last], self._starts[last]
            self._codes[place], self._rows[place] = self._codes[last], self._rows[last]
        del self.tracks[last], self._starts[last]
        self._rows = self._rows[:last]
        if not last:
            self._filled = 0
        return block

    def take(self, heard: Samples, tick: int) -> list[Block]:
        """Copy a tick. Returns the blocks that are complete."""
        blocks = []
        if self._filled and tick != self._first + self._filled:
            blocks.append(self._cut())
        if not self._filled:
            self._first = tick
        count = len(self.tracks)
        codes = np.frombuffer(g711.encode(heard.take(self._rows, axis=0), self._encoding), np.uint8)
        self._codes[:count, self._filled] = codes.reshape(count, self._size)
        self._filled += 1
        if self._filled == BLOCK_TICKS:
            blocks.append(self._cut())
        return blocks

    def _cut(self) -> Block:
        """Return the block so far, and begin a new one."""
        count, filled = len(self.tracks), self._filled
        parts = [
            (place, track, start)
            for place, (track, start) in enumerate(zip(self.tracks, self._starts, strict=True))
            if start < filled
        ]
        codes = self._codes[:count, :filled]
        if len(parts) < count:
            codes = codes[[place for place, _, _ in parts]]
        self._codes = self._blank(max(FEWEST, count + count // 4))
        self._starts = [0] * count
        self._filled = 0
        named = tuple((track, start) for _, track, start in parts)
        return Block(self._encoding, self._first, named, codes)

    def _blank(self, places: int) -> Codes:
        return np.empty((places, BLOCK_TICKS, self._size), np.uint8)
