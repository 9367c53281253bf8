"""Effects on the frames of a jitter buffer, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """Treatment of the join between a frame and the audio before it."""

    PLAIN = 0
    RESUME = 1
    """The first audio after silence: fade it in."""
    CONCEAL = 2
    """No audio arrived: the frame repeats the last one, to be faded out."""
    SPLICE = 3
    """Audio before it was dropped: cross-fade from ``spliced``, which would have come next."""


@dataclass(slots=True)
class JitterStats:
    """Counters of one buffer: frames ``taken``, ``gaps`` in the audio, frames ``dropped`` to keep
    the delay short. ``jitter`` is in seconds, as in RFC 3550 section 6.4.1."""

    taken: int = 0
    gaps: int = 0
    dropped: int = 0
    jitter: float = 0.0
