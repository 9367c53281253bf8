"""G.711 compared with the tables of the standard, and its maximum error."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.wire import Encoding
from service.media.audio.g711 import SILENCE, decode, encode

MULAW = """
    -32124 -31100 -30076 -29052 -28028 -27004 -25980 -24956 -23932 -22908 -21884 -20860
    -19836 -18812 -17788 -16764 -15996 -15484 -14972 -14460 -13948 -13436 -12924 -12412
    -11900 -11388 -10876 -10364 -9852 -9340 -8828 -8316 -7932 -7676 -7420 -7164
    -6908 -6652 -6396 -6140 -5884 -5628 -5372 -5116 -4860 -4604 -4348 -4092
    -3900 -3772 -3644 -3516 -3388 -3260 -3132 -3004 -2876 -2748 -2620 -2492
    -2364 -2236 -2108 -1980 -1884 -1820 -1756 -1692 -1628 -1564 -1500 -1436
    -1372 -1308 -1244 -1180 -1116 -1052 -988 -924 -876 -844 -812 -780
    -748 -716 -684 -652 -620 -588 -556 -524 -492 -460 -428 -396
    -372 -356 -340 -324 -308 -292 -276 -260 -244 -228 -212 -196
    -180 -164 -148 -132 -120 -112 -104 -96 -88 -80 -72 -64
    -56 -48 -40 -32 -24 -16 -8 0 32124 31100 30076 29052
    28028 27004 25980 24956 23932 22908 21884 20860 19836 18812 17788 16764
    15996 15484 14972 14460 13948 13436 12924 12412 11900 11388 10876 10364
    9852 9340 8828 8316 7932 7676 7420 7164 6908 6652 6396 6140
    5884 5628 5372 5116 4860 4604 4348 4092 3900 3772 3644 3516
    3388 3260 3132 3004 2876 2748 2620 2492 2364 2236 2108 1980
    1884 1820 1756 1692 1628 1564 1500 1436 1372 1308 1244 1180
    1116 1052 988 924 876 844 812 780 748 716 684 652
    620 588 556 524 492 460 428 396 372 356 340 324
    308 292 276 260 244 228 212 196 180 164 148 132
    120 112 104 96 88 80 72 64 56 48 40 32
    24 16 8 0
"""

ALAW = """
    -5504 -5248 -6016 -5760 -4480 -4224 -4992 -4736 -7552 -7296 -8064 -7808
    -6528 -6272 -7040 -6784 -2752 -2624 -3008 -2880 -2240 -2112 -2496 -2368
    -3776 -3648 -4032 -3904 -3264 -3136 -3520 -3392 -22016 -20992 -24064 -23040
    -17920 -16896 -19968 -18944 -30208 -29184 -32256 -31232 -26112 -25088 -28160 -27136
    -11008 -10496 -12032 -11520 -8960 -8448 -9984 -9472 -15104 -14592 -16128 -15616
    -13056 -12544 -14080 -13568 -344 -328 -376 -360 -280 -264 -312 -296
    -472 -456 -504 -488 -408 -392 -440 -424 -88 -72 -120 -104
    -24 -8 -56 -40 -216 -200 -248 -232 -152 -136 -184 -168
    -1376 -1312 -1504 -1440 -1120 -1056 -1248 -1184 -1888 -1824 -2016 -1952
    -1632 -1568 -1760 -1696 -688 -656 -752 -720 -560 -528 -624 -592
    -944 -912 -1008 -976 -816 -784 -880 -848 5504 5248 6016 5760
    4480 4224 4992 4736 7552 7296 8064 7808 6528 6272 7040 6784
    2752 2624 3008 2880 2240 2112 2496 2368 3776 3648 4032 3904
    3264 3136 3520 3392 22016 20992 24064 23040 17920 16896 19968 18944
    30208 29184 32256 31232 26112 25088 28160 27136 11008 10496 12032 11520
    8960 8448 9984 9472 15104 14592 16128 15616 13056 12544 14080 13568
    344 328 376 360 280 264 312 296 472 456 504 488
    408 392 440 424 88 72 120 104 24 8 56 40
    216 200 248 232 152 136 184 168 1376 1312 1504 1440
    1120 1056 1248 1184 1888 1824 2016 1952 1632 1568 1760 1696
    688 656 752 720 560 528 624 592 944 912 1008 976
    816 784 880 848
"""

TABLES = {Encoding.MULAW: MULAW, Encoding.ALAW: ALAW}
CODES = bytes(range(256))
EVERY = np.arange(-32_768, 32_768).astype(np.int16)

both = pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
all_three = pytest.mark.parametrize("encoding", list(Encoding))


def there_and_back(samples: NDArray[np.int16], encoding: Encoding) -> NDArray[np.int32]:
    return decode(encode(samples, encoding), encoding).astype(np.int32)


@both
def test_every_code_has_its_value_in_the_standard(encoding: Encoding) -> None:
    assert decode(CODES, encoding).tolist() == [int(word) for word in TABLES[encoding].split()]


def test_every_mulaw_code_except_negative_zero_is_unchanged() -> None:
    survived = encode(decode(CODES, Encoding.MULAW), Encoding.MULAW)
    assert survived == CODES[:0x7F] + b"\xff" + CODES[0x80:]


def test_every_alaw_code_is_unchanged() -> None:
    assert encode(decode(CODES, Encoding.ALAW), Encoding.ALAW) == CODES


def test_mulaw_changes_a_sample_by_at_most_half_a_step() -> None:
    wide = EVERY.astype(np.int32)
    biased = np.minimum(np.abs(wide), 32_635) + 132
    half_step = 4 << (np.floor(np.log2(biased)).astype(np.int32) - 7)
    clipped = np.maximum(np.abs(wide) - 32_635, 0)
    error = np.abs(there_and_back(EVERY, Encoding.MULAW) - wide)
    assert (error <= half_step + clipped).all()
    assert error.max() == 644


def test_alaw_changes_a_sample_by_at_most_half_a_step() -> None:
    wide = EVERY.astype(np.int32)
    magnitude = np.maximum(np.abs(wide), 256)
    half_step = 8 << (np.floor(np.log2(magnitude)).astype(np.int32) - 8)
    error = np.abs(there_and_back(EVERY, Encoding.ALAW) - wide)
    assert (error <= half_step).all()
    assert error.max() == 512


@both
def test_a_louder_sample_is_never_encoded_as_a_softer_one(encoding: Encoding) -> None:
    assert (np.diff(there_and_back(EVERY, encoding)) >= 0).all()


@both
def test_the_sign_is_unchanged(encoding: Encoding) -> None:
    heard = there_and_back(EVERY, encoding)
    assert (heard[EVERY > 8] > 0).all()
    assert (heard[EVERY < -8] < 0).all()


def test_silence_is_the_encoding_of_zero() -> None:
    zero = np.zeros(1, np.int16)
    assert {encoding: encode(zero, encoding) for encoding in Encoding} == SILENCE
    assert SILENCE == {
        Encoding.MULAW: b"\xff",
        Encoding.ALAW: b"\xd5",
        Encoding.LINEAR: b"\x00\x00",
    }


@all_three
def test_silence_decodes_to_near_zero(encoding: Encoding) -> None:
    assert np.abs(decode(SILENCE[encoding] * 160, encoding).astype(int)).max() <= 8


def test_linear_is_little_endian() -> None:
    payload = struct.pack("<4h", 1, -2, 32_767, -32_768)
    assert decode(payload, Encoding.LINEAR).tolist() == [1, -2, 32_767, -32_768]
    assert encode(np.array([1, -2, 32_767, -32_768], np.int16), Encoding.LINEAR) == payload


def test_linear_changes_nothing() -> None:
    assert (there_and_back(EVERY, Encoding.LINEAR) == EVERY).all()


@all_three
def test_rows_are_encoded_in_sequence(encoding: Encoding) -> None:
    rows = EVERY[::64].reshape(4, 256)
    assert encode(rows, encoding) == b"".join(encode(row, encoding) for row in rows)


@all_three
def test_rows_picked_from_a_matrix_are_encoded_in_their_order(encoding: Encoding) -> None:
    rows = EVERY[::64].reshape(4, 256)
    assert encode(rows[[2, 0]], encoding) == encode(rows[2], encoding) + encode(rows[0], encoding)
    assert encode(rows[:, ::2], encoding) == encode(rows[:, ::2].copy(), encoding)


@all_three
def test_empty_input_gives_empty_output(encoding: Encoding) -> None:
    assert decode(b"", encoding).tolist() == []
    assert encode(np.zeros(0, np.int16), encoding) == b""


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("length", [0, 1, 2, 159, 160])
def test_decoding_does_not_depend_on_the_number_of_codes(
    encoding: Encoding, start: int, length: int
) -> None:
    codes = bytes(range(256))[start : start + length]
    one_by_one = [int(decode(bytes([code]), encoding)[0]) for code in codes]
    assert decode(codes, encoding).tolist() == one_by_one
