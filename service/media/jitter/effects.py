"""Effects on the frames of a jitter buffer."""

from __future__ import annotations

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
