"""WAV files as mono samples, read by libsndfile.

libsndfile reads 24-bit samples in four-byte containers, which ``arecord -f S24_LE`` writes, as if
they had three bytes, and 20-bit samples likewise. This module corrects the header first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
import soundfile

from service.errors import Invalid

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

KINDS = ("WAV", "WAVEX", "RF64")
CODINGS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1000, 384_000

_MAGIC = (b"RIFF", b"RIFX", b"RF64")
_BLOCK = 65_536
"""Frames to read at a time. Their channels are mixed before the next block is read."""

_FORMAT = struct.Struct("<HHIIHH")
_EXTENSIBLE = 0xFFFE
_WRAPPED = range(17, 25)
"""Sample sizes in bits that libsndfile expects in three bytes."""


@dataclass(frozen=True, slots=True)
class Container:
    """Samples of 17 to 24 bits in four bytes each, in ALSA's layout or in the standard one."""

    bits: int
    is_standard: bool


def parse(data: bytes, name: str, longest: float) -> tuple[Floats, int]:
    """Return the mean of all channels, between -1 and 1, and the rate.

    Raises ``Invalid`` with a sentence if the file is of another kind, empty or too long.
    """
    if data[:4] not in _MAGIC or data[8:12] != b"WAVE":
        raise Invalid(f"{name} is not a WAV file.")
    data, container = _unwrapped(data)
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            _require_playable(file, name, longest)
            if container is not None:
                whole = file.read(dtype="int32", always_2d=True)
                mixed = _justified(whole, container).mean(axis=1) / 2.0**31
            else:
                blocks = file.blocks(_BLOCK, dtype="float64", always_2d=True)
                mixed = np.concatenate([block.mean(axis=1) for block in blocks])
            return np.nan_to_num(mixed, posinf=1.0, neginf=-1.0), file.samplerate
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise Invalid(f"{name} is not a WAV file that can be played: {reason}.") from None


def _require_playable(file: soundfile.SoundFile, name: str, longest: float) -> None:
    if file.format not in KINDS or file.subtype not in CODINGS:
        raise Invalid(f"{name} is neither PCM nor µ-law nor A-law; save it as 16-bit PCM.")
    if file.channels > MAX_CHANNELS or not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise Invalid(
            f"{name} has {file.channels} channels at {file.samplerate} Hz, which cannot be played."
        )
    if file.frames > longest * file.samplerate:
        raise Invalid(f"{name} is longer than {longest:g} seconds.")
    if file.frames < 1:
        raise Invalid(f"{name} holds no sound.")


def _unwrapped(data: bytes) -> tuple[bytes, Container | None]:
    """Return the file with a corrected header, and its container if samples have four bytes."""
    at = _format_at(data)
    if at is None:
        return data, None
    tag, channels, rate, speed, block, bits = _FORMAT.unpack_from(data, at)
    if tag not in (1, _EXTENSIBLE) or block != 4 * channels:
        return data, None
    if bits in _WRAPPED:
        header = _FORMAT.pack(tag, channels, rate, speed, block, 32)
        return data[:at] + header + data[at + _FORMAT.size :], Container(bits, is_standard=False)
    valid = int.from_bytes(data[at + 18 : at + 20], "little") if tag == _EXTENSIBLE else 0
    return data, Container(valid, is_standard=True) if bits == 32 and valid in _WRAPPED else None


def _format_at(data: bytes) -> int | None:
    """Find the offset of the body of a little-endian file's format."""
    at = 12
    while data[:4] != b"RIFX" and at + 8 + _FORMAT.size <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"fmt ":
            return at + 8
        at += 8 + size + size % 2
    return None


def _justified(samples: Integers, container: Container) -> Integers:
    """Shift the samples to the upper bits.

    The unused bits show the layout: sign or zero above the samples, or zero below them.
    """
    spare = 32 - container.bits
    top = samples >> container.bits
    is_lower = bool(np.all((top == 0) | (top == -1)))
    if container.is_standard:
        is_lower = is_lower and bool(np.any(samples & ((1 << spare) - 1)))
    return samples << spare if is_lower else samples
