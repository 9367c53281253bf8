"""Values that describe the frames of a jitter buffer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """How a frame joins what was heard before it."""

    PLAIN = 0
    RESUME = 1
    """The first audio after silence: fade it in."""
    CONCEAL = 2
    """Nothing came: the frame is the last one again, to be faded out."""
    SPLICE = 3
    """Audio before it was dropped: cross-fade from ``spliced``, which would have come next."""


@dataclass(slots=True)
class JitterStats:
    """``taken`` counts frames handed out, ``gaps`` times at which the peer's audio ran out, and
    ``dropped`` frames thrown away to keep the delay short. ``jitter`` is in seconds, as in RFC
    3550 section 6.4.1."""

    taken: int = 0
    gaps: int = 0
    dropped: int = 0
    jitter: float = 0.0
