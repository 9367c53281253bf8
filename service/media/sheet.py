"""The fast path out: one frame of audio for each of many legs, written at once.

The frames of legs with one encoding and envelopes of one length lie below each other in a matrix.
Everything but the audio is written into it when it is made; a tick writes the audio of all legs,
and gives each leg's line its row. What a row holds is what the wire says of the same audio, in a
frame of its own: that is what it is tested against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pybase64

from service.media import g711
from service.media.g711 import Samples
from service.media.leg import Leg
from service.wire import FRAME_SAMPLES, Encoding

Around: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the base64 of a frame, from its WebSocket header on."""


def sheets(legs: Sequence[Leg]) -> list[Sheet]:
    """Sheets for all of the legs, which are in the order of their rows in what is mixed."""
    groups: defaultdict[tuple[Encoding, int, int], list[tuple[int, Leg, Around]]]
    groups = defaultdict(list)
    for row, leg in enumerate(legs):
        try:
            head, tail = leg.around(base64_length(leg.outbound))
        except Exception:
            leg.fail()
            continue
        groups[leg.outbound, len(head), len(tail)].append((row, leg, (head, tail)))
    return [Sheet(encoding, places) for (encoding, _, _), places in groups.items()]


class Sheet:
    """Legs with their rows in what is mixed, and what stands around their audio."""

    def __init__(self, encoding: Encoding, places: Sequence[tuple[int, Leg, Around]]) -> None:
        self._encoding = encoding
        self._rows = np.array([row for row, _, _ in places])
        self._legs = [leg for _, leg, _ in places]
        size = FRAME_SAMPLES * encoding.bytes_per_sample
        padding = -size % 3
        self._size = size
        # Base64 of whole triplets is made for all rows together; the padding is there already.
        self._codes = np.zeros((len(places), size + padding), np.uint8)
        blank = b"=" * base64_length(encoding)
        frames = bytearray().join(head + blank + tail for _, _, (head, tail) in places)
        self._frames = np.frombuffer(frames, np.uint8).reshape(len(places), -1)
        self._start = len(places[0][2][0])
        self._stop = self._start + len(blank) - padding

    def play(self, mixed: Samples) -> None:
        """Encode what each leg is to hear and send it."""
        audible = mixed if len(self._rows) == len(mixed) else mixed[self._rows]
        codes = np.frombuffer(g711.encode(audible, self._encoding), np.uint8)
        self._codes[:, : self._size] = codes.reshape(-1, self._size)
        encoded = np.frombuffer(pybase64.b64encode(self._codes), np.uint8)
        audio = encoded.reshape(len(self._codes), -1)[:, : self._stop - self._start]
        self._frames[:, self._start : self._stop] = audio
        frames, width = self._frames.tobytes(), self._frames.shape[1]
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
