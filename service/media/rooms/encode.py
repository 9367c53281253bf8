"""Output of a tick: one frame of audio for each leg, encoded and framed in one pass.

The WebSocket frames of legs with one encoding and envelopes of one length are the rows of a matrix.
Everything but the audio is written into it once. A tick writes the audio of all legs, and hands
each leg's transport its row. A row equals the message that the leg's wire would make of the same
audio; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pybase64

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711
from service.media.audio.g711 import Samples
from service.media.rooms.leg import Leg

FEWEST = 16
"""Initial number of rows of a group."""

Around: TypeAlias = tuple[bytes, bytes]
"""Bytes before and after the base64 of a frame, from the WebSocket header on."""


class OutputGroups:
    """Output groups of all legs, each of which has a row in the mixed samples."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Encoding, int, int], OutputGroup] = {}
        self._of: dict[int, tuple[Encoding, int, int]] = {}  # by row

    def __iter__(self) -> Iterator[OutputGroup]:
        return iter(self._groups.values())

    def assign(self, row: int, leg: Leg) -> None:
        """Add a leg. It fails if its wire cannot frame audio."""
        try:
            head, tail = leg.around(base64_length(leg.outbound))
        except Exception:
            leg.fail()
            return
        key = self._of[row] = leg.outbound, len(head), len(tail)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = OutputGroup(*key)
        group.assign(row, leg, (head, tail))

    def remove(self, row: int) -> None:
        """Remove the leg in this row."""
        key = self._of.pop(row, None)
        if key is not None:
            self._groups[key].remove(row)
            if not len(self._groups[key]):
                del self._groups[key]


def output_groups(legs: Sequence[Leg]) -> list[OutputGroup]:
    """Return the output groups of legs given in the order of their rows."""
    groups = OutputGroups()
    for row, leg in enumerate(legs):
        groups.assign(row, leg)
    return list(groups)


class OutputGroup:
    """Legs whose frames have one length and one layout."""

    def __init__(self, encoding: Encoding, head: int, tail: int) -> None:
        self._encoding = encoding
        self._legs: list[Leg] = []
        self._at: dict[int, int] = {}  # index by row
        self._rows = np.zeros(0, np.intp)
        size = FRAME_SAMPLES * encoding.bytes_per_sample
        padding = -size % 3
        self._size = size
        blank = base64_length(encoding)
        self._blank = b"=" * blank
        # Whole triplets of all rows are encoded together; the padding is written once.
        self._codes = np.zeros((FEWEST, size + padding), np.uint8)
        self._frames = np.zeros((FEWEST, head + blank + tail), np.uint8)
        self._start, self._stop = head, head + blank - padding

    def __len__(self) -> int:
        return len(self._legs)

    def assign(self, row: int, leg: Leg, around: Around) -> None:
        line = self._at[row] = len(self._legs)
        if line == len(self._frames):
            self._frames = np.concatenate((self._frames, np.zeros_like(self._frames)))
            self._codes = np.concatenate((self._codes, np.zeros_like(self._codes)))
        self._frames[line] = np.frombuffer(self._blank.join(around), np.uint8)
        self._legs.append(leg)
        self._rows = np.append(self._rows, row)

    def remove(self, row: int) -> None:
        """Remove the leg in this row; the last one takes its place."""
        line, last = self._at.pop(row), len(self._legs) - 1
        leg = self._legs.pop()
        if line < last:
            self._legs[line] = leg
            self._frames[line] = self._frames[last]
            self._rows[line] = self._rows[last]
            self._at[int(self._rows[last])] = line
        self._rows = self._rows[:last]

    def play(self, mixed: Samples) -> None:
        """Encode each leg's mixed samples and send them."""
        count = len(self._legs)
        audible = mixed.take(self._rows, axis=0)
        all_codes, all_frames = self._codes[:count], self._frames[:count]
        codes = np.frombuffer(g711.encode(audible, self._encoding), np.uint8)
        all_codes[:, : self._size] = codes.reshape(-1, self._size)
        encoded = np.frombuffer(pybase64.b64encode(all_codes), np.uint8)
        audio = encoded.reshape(count, -1)[:, : self._stop - self._start]
        all_frames[:, self._start : self._stop] = audio
        frames, width = all_frames.tobytes(), all_frames.shape[1]
        stop = 0
        for leg in self._legs:
            start, stop = stop, stop + width
            try:
                leg.play(frames[start:stop])
            except Exception:
                leg.fail()


def base64_length(encoding: Encoding) -> int:
    """Return the characters of one frame in base64, padding included."""
    return -(-FRAME_SAMPLES * encoding.bytes_per_sample // 3) * 4
