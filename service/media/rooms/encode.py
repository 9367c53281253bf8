"""The fast path out: one frame of audio for each of many legs, written at once.

The frames of legs with one encoding and envelopes of one length lie below each other in a matrix.
Everything but the audio is written into it when it is made; a tick writes the audio of all legs,
and gives each leg's line its row. What a row holds is what the wire says of the same audio, in a
frame of its own: that is what it is tested against.
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
"""Lines that a sheet has room for from the beginning."""

Around: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the base64 of a frame, from its WebSocket header on."""


class Sheets:
    """Sheets for all legs, each of which has a row of its own in what is mixed."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[Encoding, int, int], OutputGroup] = {}
        self._of: dict[int, tuple[Encoding, int, int]] = {}  # by row

    def __iter__(self) -> Iterator[OutputGroup]:
        return iter(self._sheets.values())

    def seat(self, row: int, leg: Leg) -> None:
        """Add a leg. One that no frame can be made for has failed."""
        try:
            head, tail = leg.around(base64_length(leg.outbound))
        except Exception:
            leg.fail()
            return
        key = self._of[row] = leg.outbound, len(head), len(tail)
        sheet = self._sheets.get(key)
        if sheet is None:
            sheet = self._sheets[key] = OutputGroup(*key)
        sheet.seat(row, leg, (head, tail))

    def unseat(self, row: int) -> None:
        """The leg in this row is gone."""
        key = self._of.pop(row, None)
        if key is not None:
            self._sheets[key].unseat(row)
            if not len(self._sheets[key]):
                del self._sheets[key]


def sheets(legs: Sequence[Leg]) -> list[OutputGroup]:
    """Sheets for all of the legs, which are in the order of their rows in what is mixed."""
    made = Sheets()
    for row, leg in enumerate(legs):
        made.seat(row, leg)
    return list(made)


class OutputGroup:
    """Legs whose frames have one length, and what stands around their audio."""

    def __init__(self, encoding: Encoding, head: int, tail: int) -> None:
        self._encoding = encoding
        self._legs: list[Leg] = []
        self._at: dict[int, int] = {}  # lines by row
        self._rows = np.zeros(0, np.intp)
        size = FRAME_SAMPLES * encoding.bytes_per_sample
        padding = -size % 3
        self._size = size
        blank = base64_length(encoding)
        self._blank = b"=" * blank
        # Base64 of whole triplets is made for all rows together; the padding is there already.
        self._codes = np.zeros((FEWEST, size + padding), np.uint8)
        self._frames = np.zeros((FEWEST, head + blank + tail), np.uint8)
        self._start, self._stop = head, head + blank - padding

    def __len__(self) -> int:
        return len(self._legs)

    def seat(self, row: int, leg: Leg, around: Around) -> None:
        line = self._at[row] = len(self._legs)
        if line == len(self._frames):
            self._frames = np.concatenate((self._frames, np.zeros_like(self._frames)))
            self._codes = np.concatenate((self._codes, np.zeros_like(self._codes)))
        self._frames[line] = np.frombuffer(self._blank.join(around), np.uint8)
        self._legs.append(leg)
        self._rows = np.append(self._rows, row)

    def unseat(self, row: int) -> None:
        """The leg in this row is gone; the last one takes its line."""
        line, last = self._at.pop(row), len(self._legs) - 1
        leg = self._legs.pop()
        if line < last:
            self._legs[line] = leg
            self._frames[line] = self._frames[last]
            self._rows[line] = self._rows[last]
            self._at[int(self._rows[last])] = line
        self._rows = self._rows[:last]

    def play(self, mixed: Samples) -> None:
        """Encode what each leg is to hear and send it."""
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
    """Characters of one frame in base64, padding included."""
    return -(-FRAME_SAMPLES * encoding.bytes_per_sample // 3) * 4
