"""Level of a tone in audio."""

from __future__ import annotations

import numpy as np

from service.simulator.audio.codec import RATE, Samples


def level(samples: Samples, frequency: float) -> float:
    """Return the level of ``frequency`` in dBFS, by a Hann-windowed Fourier transform."""
    if not len(samples):
        return float("-inf")
    window = np.hanning(len(samples))
    time = np.arange(len(samples)) / RATE
    part = np.sum(samples * window * np.exp(-2j * np.pi * frequency * time))
    amplitude = 2 * abs(part) / window.sum() / 32768
    return float(20 * np.log10(max(amplitude, 1e-9)))


def stretches(samples: Samples, seconds: float) -> list[Samples]:
    """Split the samples into stretches of this length, without the remainder."""
    size = round(seconds * RATE)
    return [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
