"""Reading and writing of WAV files, a built-in melody, tones and levels.

Levels are in dBFS, where a full-scale sine is 0.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile

from service.errors import Invalid
from service.simulator.audio import wav
from service.simulator.audio.codec import RATE, Samples
from service.simulator.audio.wav import Floats

MAX_BYTES = 100_000_000
"""Resampling needs the whole sound in memory. The limit is about nine minutes of CD audio."""

MAX_SECONDS = 600
"""At a low rate, a small file is a long sound."""

_EDGE_SECONDS = 0.05
_PASS_HERTZ = 3600.0


def read(path: Path) -> Samples:
    """Read a WAV file as mono at 8 kHz: PCM, floats, µ-law or A-law, with any rate and channels.

    Raises ``Invalid`` with a sentence if the file is missing, of another kind or empty.
    """
    try:
        # The file size is not used, because a pipe has none.
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise Invalid(f"{path.name} is larger than {MAX_BYTES // 1_000_000} MB.")
    return parse(data, path.name)


def parse(data: bytes, name: str, longest: float = MAX_SECONDS) -> Samples:
    """Parse a WAV file of at most ``longest`` seconds like ``read``. Raises ``Invalid``."""
    mixed, rate = wav.parse(data, name, longest)
    sound = _integers(32767 * _resampled(mixed, rate))
    if not sound.size:
        raise Invalid(f"{name} holds no sound.")
    return sound


def write(path: Path, samples: Samples) -> None:
    """Write a 16-bit mono WAV file of 8 kHz. Raises ``Invalid`` if it cannot be written."""
    try:
        with path.open("wb") as file:
            soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}.") from None


def tone(frequency: float, seconds: float, level: float = -12.0) -> Samples:
    """Return a sine of ``frequency`` hertz at ``level`` dBFS."""
    time = np.arange(round(seconds * RATE)) / RATE
    return _integers(32767 * 10 ** (level / 20) * np.sin(2 * np.pi * frequency * time))


def melody() -> Samples:
    """Return four seconds of plucked notes, the default sample of a caller."""
    beat, ring = RATE // 4, RATE
    # A rising and falling D major pentatonic figure, in semitones from D4.
    figure = (0, 4, 7, 9, 12, 9, 7, 4, 2, 7, 9, 14, 12)
    song = np.zeros(beat * (len(figure) - 1) + ring)
    time = np.arange(ring) / RATE
    # A pluck: quick attack, decay, and a release to zero, which avoids clicks.
    envelope = np.minimum(time / 0.01, 1) * np.exp(-4 * time) * np.cos(np.pi / 2 * time) ** 2
    for index, semitones in enumerate(figure):
        pitch = 293.66 * 2 ** (semitones / 12)
        note = sum(
            weight * np.sin(2 * np.pi * pitch * harmonic * time)
            for harmonic, weight in ((1, 1.0), (2, 0.35), (3, 0.12))
        )
        song[index * beat : index * beat + ring] += note * envelope
    return _integers(song * (0.5 * 32767 / np.abs(song).max()))


def level(samples: Samples) -> float | None:
    """Return the level of ``samples`` in dBFS, or ``None`` for silence."""
    power = float(np.mean(samples.astype(np.float64) ** 2)) if samples.size else 0.0
    if power == 0.0:
        return None
    return 10 * math.log10(2 * power / 32767**2)


def _resampled(sound: Floats, rate: int) -> Floats:
    """Resample to 8 kHz through the spectrum, band-limited with a soft edge."""
    if rate == RATE or not sound.size:
        return sound
    length = round(sound.size * RATE / rate)
    # The transform treats its input as periodic, so silence at both ends keeps the end of the
    # sound out of its beginning. Whole multiples of the ratio of both rates keep the pitch exact.
    common = math.gcd(rate, RATE)
    unit_in, unit_out = rate // common, RATE // common
    edge = math.ceil(_EDGE_SECONDS * rate / unit_in)
    units = 2 * edge + math.ceil(sound.size / unit_in)
    padded = np.zeros(units * unit_in)
    padded[edge * unit_in : edge * unit_in + sound.size] = sound
    spectrum = np.fft.rfft(padded)
    size = units * unit_out
    kept = np.zeros(size // 2 + 1, np.complex128)
    shared = min(kept.size, spectrum.size)
    top = min(rate, RATE) / 2
    hertz = np.arange(shared) * RATE / size
    # A hard cutoff would ring around every transient.
    roll = np.clip((hertz - _PASS_HERTZ * top / 4000) / (top * (1 - _PASS_HERTZ / 4000)), 0, 1)
    kept[:shared] = spectrum[:shared] * np.cos(np.pi / 2 * roll) ** 2
    resampled = np.fft.irfft(kept, size) * (size / padded.size)
    return resampled[edge * unit_out : edge * unit_out + length]


def _integers(sound: Floats) -> Samples:
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
