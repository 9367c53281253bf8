"""How loud a leg was in each second of its life, in both directions.

A level is in dBFS, of which a sine of full scale has 0 (AES17). It is kept as a code, which is one
byte: 0 is silence, and 1 to 255 are -127 to 0 dB in steps of half a decibel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.clock import Millis

STEP_MILLIS = 1000

_DECIBELS: tuple[float | None, ...] = (None, *((code - 255) / 2 for code in range(1, 256)))


@dataclass(frozen=True, slots=True)
class Loudness:
    """What the peer of a leg ``said`` and ``heard``: a code for each second since it started."""

    leg_id: str
    started_at: Millis
    said: bytes
    heard: bytes


def decibels(codes: Iterable[int]) -> list[float | None]:
    """Codes in dBFS; ``None`` is silence."""
    return [_DECIBELS[code] for code in codes]
