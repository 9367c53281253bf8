"""Loudness of a leg in each second, in both directions.

Levels are in dBFS; a sine at full scale has 0 (AES17). A level is stored as a code of one byte: 0
is silence, and 1 to 255 are -127 to 0 dB in steps of half a decibel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.clock import Millis

STEP_MILLIS = 1000

_DECIBELS: tuple[float | None, ...] = (None, *((code - 255) / 2 for code in range(1, 256)))


@dataclass(frozen=True, slots=True)
class Loudness:
    """Levels that a leg's peer ``said`` and ``heard``: one code per second since its start."""

    leg_id: str
    started_at: Millis
    said: bytes
    heard: bytes


def decibels(codes: Iterable[int]) -> list[float | None]:
    """Convert codes to dBFS; ``None`` is silence."""
    return [_DECIBELS[code] for code in codes]
