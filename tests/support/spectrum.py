"""Listening with numbers: how loud a tone is in a stretch of audio."""

from __future__ import annotations

import numpy as np

from service.simulator.audio.codec import RATE, Samples


def level(samples: Samples, frequency: float) -> float:
    """dBFS of the part of ``samples`` that is at ``frequency``, by a Hann-windowed transform."""
    if not len(samples):
        return float("-inf")
    window = np.hanning(len(samples))
    time = np.arange(len(samples)) / RATE
    part = np.sum(samples * window * np.exp(-2j * np.pi * frequency * time))
    amplitude = 2 * abs(part) / window.sum() / 32768
    return float(20 * np.log10(max(amplitude, 1e-9)))


def stretches(samples: Samples, seconds: float) -> list[Samples]:
    """The samples in consecutive stretches of that length, the remainder left out."""
    size = round(seconds * RATE)
    return [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
