"""Audio files of recordings, encoded by libsndfile: WAV, FLAC, Ogg Opus and MP3.

A file is staged under another name, synced and renamed, so that a file with its name is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from service.domain.wire import SAMPLE_RATE
from service.media.audio.g711 import Samples

STAGED = ".part"


class AudioFileFormat(StrEnum):
    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    """Opus in Ogg."""
    MP3 = "mp3"


_SUBTYPES = {
    AudioFileFormat.WAV: "PCM_16",
    AudioFileFormat.FLAC: "PCM_16",
    AudioFileFormat.OGG: "OPUS",
    AudioFileFormat.MP3: "MPEG_LAYER_III",
}

_EXACT = (AudioFileFormat.WAV, AudioFileFormat.FLAC)
"""Formats that keep integers as they are. libsndfile 1.2.2 mixes up the channels of integers that
become MP3, and the other way round it would round floats that become PCM."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """``samples`` are those of one channel."""

    size: int
    samples: int

    @property
    def millis(self) -> int:
        return self.samples * 1000 // SAMPLE_RATE


def write(
    path: Path, file_format: AudioFileFormat, channels: int, blocks: Iterator[Samples]
) -> AudioFile:
    """Write a file at 8 kHz. ``blocks`` have one column for each channel.

    Raises ``OSError``. A file with this name is replaced.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(path.name + STAGED)
    try:
        with staged.open("wb+") as file:
            os.fchmod(file.fileno(), 0o600)
            samples = _encode(file.fileno(), file_format, channels, blocks)
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return AudioFile(size, samples)


def _as_floats(block: Samples) -> NDArray[np.float32]:
    return block.astype(np.float32) / np.float32(32_768)


def _encode(fd: int, file_format: AudioFileFormat, channels: int, blocks: Iterator[Samples]) -> int:
    samples = 0
    try:
        with soundfile.SoundFile(
            fd,
            "w",
            SAMPLE_RATE,
            channels,
            subtype=_SUBTYPES[file_format],
            format=file_format.upper(),
            closefd=False,
        ) as encoder:
            for block in blocks:
                encoder.write(block if file_format in _EXACT else _as_floats(block))
                samples += len(block)
    except soundfile.SoundFileError as error:
        raise OSError(f"{file_format} could not be written: {error}") from error
    return samples
