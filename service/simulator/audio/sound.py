"""Sound files and sounds: WAV in and out, a built-in melody, tones and levels.

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
"""Resampling works on the whole sound at once: about nine minutes of a CD."""

MAX_SECONDS = 600
"""At a low rate few bytes are a long sound."""

_EDGE_SECONDS = 0.05
_PASS_HERTZ = 3600.0


def read(path: Path) -> Samples:
    """A WAV file as mono at 8 kHz: PCM, floats, µ-law or A-law, any rate and channels.

    Raises ``Invalid`` with a sentence where the file is missing, not such a file or without sound.
    """
    try:
        # Not by its file size: a pipe has none.
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise Invalid(f"{path.name} is larger than {MAX_BYTES // 1_000_000} MB.")
    return parse(data, path.name)


def parse(data: bytes, name: str, longest: float = MAX_SECONDS) -> Samples:
    """What ``read`` returns, of a WAV file of at most ``longest`` seconds. Raises ``Invalid``."""
    mixed, rate = wav.parse(data, name, longest)
    sound = _integers(32767 * _resampled(mixed, rate))
    if not sound.size:
        raise Invalid(f"{name} holds no sound.")
    return sound


def write(path: Path, samples: Samples) -> None:
    """Write a 16-bit mono WAV file of 8 kHz. Raises ``Invalid`` where it cannot be written."""
    try:
        with path.open("wb") as file:
            soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}.") from None


def tone(frequency: float, seconds: float, level: float = -12.0) -> Samples:
    """A sine of ``frequency`` hertz at ``level`` dBFS."""
    time = np.arange(round(seconds * RATE)) / RATE
    return _integers(32767 * 10 ** (level / 20) * np.sin(2 * np.pi * frequency * time))


def melody() -> Samples:
    """Four seconds of plucked notes, for callers who bring no file."""
    beat, ring = RATE // 4, RATE
    # A rising and falling D major pentatonic figure, in semitones from D4.
    figure = (0, 4, 7, 9, 12, 9, 7, 4, 2, 7, 9, 14, 12)
    song = np.zeros(beat * (len(figure) - 1) + ring)
    time = np.arange(ring) / RATE
    # A pluck: quick attack, decay, and a release that ends at zero so that no note clicks.
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
    """The level of ``samples`` in dBFS; ``None`` for silence."""
    power = float(np.mean(samples.astype(np.float64) ** 2)) if samples.size else 0.0
    if power == 0.0:
        return None
    return 10 * math.log10(2 * power / 32767**2)


def _resampled(sound: Floats, rate: int) -> Floats:
    """``sound`` at 8 kHz, through its spectrum, band-limited with a soft edge."""
    if rate == RATE or not sound.size:
        return sound
    length = round(sound.size * RATE / rate)
    # The transform takes its input for one turn of a loop: silence at both ends keeps the end of
    # the sound out of its beginning. Whole multiples of the two rates' ratio keep pitch exact.
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
    # A brick wall would ring around every transient.
    roll = np.clip((hertz - _PASS_HERTZ * top / 4000) / (top * (1 - _PASS_HERTZ / 4000)), 0, 1)
    kept[:shared] = spectrum[:shared] * np.cos(np.pi / 2 * roll) ** 2
    resampled = np.fft.irfft(kept, size) * (size / padded.size)
    return resampled[edge * unit_out : edge * unit_out + length]


def _integers(sound: Floats) -> Samples:
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
