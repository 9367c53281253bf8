"""G.711 and linear PCM: conversion between samples and bytes.

The G.711 tables are built from the decoding rules of ITU-T G.711. A sample is encoded as the code
that decodes nearest to it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from service.errors import RemoteError

Samples: TypeAlias = npt.NDArray[np.int16]
"""Mono, 16 bit, 8000 samples a second."""

RATE = 8000
FRAME = 160
"""Samples in the 20 ms that every provider sends at a time."""


class Codec(StrEnum):
    MULAW = "mulaw"
    ALAW = "alaw"
    L16 = "l16"
    """Little-endian. Plivo does not document the byte order; its own agent transport uses little
    endian (plivo-labs/agent-transport, audio_stream/protocol.rs)."""

    @property
    def sample_bytes(self) -> int:
        return 2 if self is Codec.L16 else 1

    def pack(self, samples: Samples) -> bytes:
        if self is Codec.L16:
            return samples.astype("<i2").tobytes()
        return _ENCODE[self][samples.view(np.uint16)].tobytes()

    def unpack(self, payload: bytes) -> Samples:
        """Decode a payload. Raises ``RemoteError`` if it is not whole samples."""
        if len(payload) % self.sample_bytes:
            raise RemoteError(f"An audio payload of {len(payload)} bytes is not whole samples.")
        if self is Codec.L16:
            return np.frombuffer(payload, "<i2").astype(np.int16)
        return _DECODE[self][np.frombuffer(payload, np.uint8)]


def _mulaw() -> Samples:
    code = ~np.arange(256) & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = ((mantissa << 3) + 132 << exponent) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.int16)


def _alaw() -> Samples:
    code = np.arange(256) ^ 0x55
    segment, step = code >> 4 & 7, (code & 15) << 4
    magnitude = np.where(segment == 0, step + 8, step + 264 << np.maximum(segment - 1, 0))
    return np.where(code & 128, magnitude, -magnitude).astype(np.int16)


def _nearest(decoded: Samples) -> npt.NDArray[np.uint8]:
    """Return the code of every 16-bit pattern, indexed by the pattern as an unsigned number."""
    # From 255 down, so that silence becomes 0xFF, the positive one of mu-law's two zeros.
    codes = np.arange(255, -1, -1)
    levels, first = np.unique(decoded[codes].astype(np.int32), return_index=True)
    thresholds = (levels[1:] + levels[:-1]) / 2
    samples = np.arange(65536, dtype=np.uint16).view(np.int16)
    # To the right, because A-law has no zero: silence is its smallest positive value, 0xD5.
    return codes[first][np.searchsorted(thresholds, samples, side="right")].astype(np.uint8)


_DECODE = {Codec.MULAW: _mulaw(), Codec.ALAW: _alaw()}
_ENCODE = {codec: _nearest(decoded) for codec, decoded in _DECODE.items()}
