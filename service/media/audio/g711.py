"""Codecs: mu-law and A-law (ITU-T G.711) as tables, and 16-bit linear PCM.

Input and output are arrays, so that one look-up serves all legs of a tick.
Samples are ``int16``; codes are ``uint8``. Linear PCM on the wire is little endian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.domain.wire import Encoding

Samples = NDArray[np.int16]
Codes = NDArray[np.uint8]


def _mulaw_to_linear() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4 & 0x07).astype(np.int32)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + 132 << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_to_linear() -> Samples:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code >> 4 & 0x07).astype(np.int32)
    step = ((code & 0x0F).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, step, step + 256 << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _log2(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    floor: NDArray[np.int32] = np.frexp(magnitude.astype(np.float64))[1].astype(np.int32) - 1
    return floor


def _every_sample() -> NDArray[np.int32]:
    """Return all 65,536 samples in the order of their bit patterns."""
    return np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _linear_to_mulaw() -> Codes:
    sample = _every_sample()
    biased = np.minimum(np.abs(sample), 32_635) + 132
    exponent = _log2(biased) - 7
    code = np.where(sample < 0, 0x80, 0) | exponent << 4 | biased >> exponent + 3 & 0x0F
    inverted: Codes = np.invert(code).astype(np.uint8)
    return inverted


def _linear_to_alaw() -> Codes:
    sample = _every_sample()
    # One's complement for negatives, as the reference algorithm of G.191 has it.
    magnitude = np.where(sample < 0, ~sample, sample)
    exponent = np.maximum(_log2(np.maximum(magnitude, 1)) - 7, 0)
    shift = np.where(exponent == 0, 4, exponent + 3)
    code = exponent << 4 | magnitude >> shift & 0x0F
    return (code ^ np.where(sample < 0, 0x55, 0xD5)).astype(np.uint8)


def _of_pairs(decoded: Samples) -> NDArray[np.uint32]:
    """Return the two samples of each pair of codes, as the bit pattern of one number."""
    pairs = np.arange(65_536, dtype=np.uint16).view(np.uint8)
    return decoded.take(pairs).view(np.uint32)


_DECODE = {Encoding.MULAW: _mulaw_to_linear(), Encoding.ALAW: _alaw_to_linear()}
_DECODE_PAIRS = {encoding: _of_pairs(decoded) for encoding, decoded in _DECODE.items()}
_ENCODE = {Encoding.MULAW: _linear_to_mulaw(), Encoding.ALAW: _linear_to_alaw()}

SILENCE = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5", Encoding.LINEAR: b"\0\0"}
"""One sample of silence in each encoding."""


def decode(payload: bytes | Codes, encoding: Encoding) -> Samples:
    """Decode a payload to samples in one dimension."""
    if encoding is Encoding.LINEAR:
        return np.frombuffer(payload, np.dtype("<i2")).astype(np.int16, copy=False)
    codes = np.frombuffer(payload, np.uint8)
    if codes.size % 2:
        return _DECODE[encoding].take(codes)
    # Looking up two codes at once takes half the time.
    pairs = _DECODE_PAIRS[encoding].take(codes.view(np.uint16), mode="wrap")
    return pairs.view(np.int16)


def encode(samples: Samples, encoding: Encoding) -> bytes:
    """Encode samples of any shape in memory order."""
    if encoding is Encoding.LINEAR:
        return samples.astype(np.dtype("<i2"), copy=False).tobytes()
    # take() looks up three times as fast as an index does, and no index is out of range.
    return _ENCODE[encoding].take(samples.view(np.uint16), mode="wrap").tobytes()
