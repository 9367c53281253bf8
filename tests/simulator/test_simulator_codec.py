"""The codecs against values from ITU-T G.711."""

import numpy as np
import pytest

from service.errors import RemoteError
from service.simulator.audio import sound
from service.simulator.audio.codec import Codec

ALL = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("codec", "code", "sample"),
    [
        (Codec.MULAW, 0x00, -32124),
        (Codec.MULAW, 0x80, 32124),
        (Codec.MULAW, 0xFF, 0),
        (Codec.MULAW, 0x7F, 0),
        (Codec.MULAW, 0xFE, 8),
        (Codec.MULAW, 0xF0, 120),
        (Codec.MULAW, 0xEF, 132),
        (Codec.ALAW, 0xD5, 8),
        (Codec.ALAW, 0x55, -8),
        (Codec.ALAW, 0xAA, 32256),
        (Codec.ALAW, 0x2A, -32256),
        (Codec.ALAW, 0x80, 5504),
    ],
)
def test_code_decodes_to_its_g711_value(codec, code, sample):
    assert codec.unpack(bytes([code])).tolist() == [sample]


@pytest.mark.parametrize(("codec", "silence"), [(Codec.MULAW, 0xFF), (Codec.ALAW, 0xD5)])
def test_silence_encodes_to_the_standard_code(codec, silence):
    assert codec.pack(np.zeros(3, np.int16)) == bytes([silence]) * 3


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_every_code_round_trips(codec):
    codes = bytes(range(256))
    # Mu-law has two zeros, of which the encoder uses one.
    expected = codes.replace(b"\x7f", b"\xff") if codec is Codec.MULAW else codes
    assert codec.pack(codec.unpack(codes)) == expected


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_encoding_chooses_the_nearest_code(codec):
    levels = codec.unpack(bytes(range(256))).astype(int)
    chosen = np.abs(codec.unpack(codec.pack(ALL)).astype(int) - ALL)
    sample = slice(0, None, 997)
    best = np.abs(levels[None, :] - ALL[sample, None].astype(int)).min(axis=1)
    assert (chosen[sample] == best).all()


@pytest.mark.parametrize("codec", [Codec.MULAW, Codec.ALAW])
def test_tone_keeps_a_signal_to_noise_ratio_of_35_db(codec):
    tone = sound.tone(440, 1.0)
    noise = codec.unpack(codec.pack(tone)).astype(np.int32) - tone
    assert sound.level(tone) - sound.level(noise.astype(np.int16)) > 35


def test_linear_samples_are_little_endian():
    assert Codec.L16.pack(np.array([1, -2], np.int16)) == b"\x01\x00\xfe\xff"
    assert Codec.L16.unpack(b"\x01\x00\xfe\xff").tolist() == [1, -2]


def test_half_a_linear_sample_is_rejected():
    with pytest.raises(RemoteError, match="not whole samples"):
        Codec.L16.unpack(b"\x01\x00\xfe")
