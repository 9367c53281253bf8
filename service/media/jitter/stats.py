"""Counters of one jitter buffer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class JitterStats:
    """Counters of one buffer: frames ``taken``, ``gaps`` in the audio, frames ``dropped`` to keep
    the delay short. ``jitter`` is in seconds, as in RFC 3550 section 6.4.1."""

    taken: int = 0
    gaps: int = 0
    dropped: int = 0
    jitter: float = 0.0
