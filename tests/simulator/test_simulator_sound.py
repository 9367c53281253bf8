"""Reading and writing of sound files, measured by their spectrum."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from service.errors import Invalid
from service.simulator.audio import sound
from service.simulator.audio.codec import RATE


def wav(values, rate, bits, *, channels=1, tag=1):
    """Build a WAV file of ``values`` between -1 and 1; tag 0xFFFE is the extensible header."""
    full = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(np.asarray(values) * full), -full, full - 1).astype("<i4")
    if bits == 8:
        body = (integers + 128).astype(np.uint8).tobytes()
    else:
        body = integers.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if tag == 0xFFFE:
        guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
        header += struct.pack("<HHI", 22, bits, 0) + guid
    chunks = chunk(b"LIST", b"odd") + chunk(b"fmt ", header) + chunk(b"data", body)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def coded(kind, subtype):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000), 8000, format=kind, subtype=subtype)
    return file.getvalue()


def sine(frequency, seconds, rate, level=-12.0):
    time = np.arange(round(seconds * rate)) / rate
    return 10 ** (level / 20) * np.sin(2 * np.pi * frequency * time)


def spectrum(samples):
    """Return the loudest bin's frequency, its level in dBFS, and the level of the other bins."""
    window = np.hanning(samples.size)
    bins = np.abs(np.fft.rfft(samples * window)) * 4 / samples.size / 32767
    top = int(bins.argmax())
    rest = np.concatenate([bins[: max(0, top - 8)], bins[top + 8 :]])
    return (
        top * RATE / samples.size,
        20 * np.log10(bins[top]),
        20 * np.log10(max(1e-9, rest.max())),
    )


@pytest.fixture
def read(tmp_path):
    def read_bytes(data):
        path = tmp_path / "sound.wav"
        path.write_bytes(data)
        return sound.read(path)

    return read_bytes


def test_24_bit_stereo_file_at_44100_hz_keeps_its_tone(read):
    left, right = sine(1000, 1.0, 44_100), np.zeros(44_100)
    data = wav(np.stack([left, right], axis=1).ravel(), 44_100, 24, channels=2, tag=0xFFFE)
    samples = read(data)
    frequency, level, rest = spectrum(samples)
    assert samples.size == RATE
    assert frequency == pytest.approx(1000, abs=1)
    # The mean of both channels, of which one is silent.
    assert level == pytest.approx(-12 - 6.02, abs=0.1)
    assert rest < -60


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 48_000])
def test_every_depth_and_rate_keeps_pitch_and_level(read, bits, rate):
    frequency, level, _ = spectrum(read(wav(sine(700, 1.0, rate), rate, bits)))
    assert frequency == pytest.approx(700, abs=1)
    assert level == pytest.approx(-12, abs=0.1)


def test_file_below_8_khz_is_resampled(read):
    frequency, level, rest = spectrum(read(wav(sine(700, 1.0, 6000), 6000, 16)))
    assert frequency == pytest.approx(700, abs=1)
    assert level == pytest.approx(-12, abs=0.1)
    assert rest < -50


@pytest.mark.parametrize("frequency", [4100, 5000, 7300, 12_000, 20_000])
def test_frequencies_above_the_telephone_band_do_not_alias(read, frequency):
    samples = read(wav(sine(frequency, 1.0, 44_100, level=0.0), 44_100, 16))
    assert sound.level(samples[800:-800]) is None or sound.level(samples[800:-800]) < -50


def test_resampling_neither_clicks_nor_leaks_across_the_ends(read):
    quiet_then_loud = np.concatenate([np.zeros(22_050), sine(1000, 0.5, 44_100, level=-1.0)])
    samples = read(wav(quiet_then_loud, 44_100, 16))
    assert np.abs(samples[:3000]).max() <= 40
    steps = np.abs(np.diff(samples.astype(int)))
    # The steepest step of this sine, with a margin for the overshoot at its edge.
    assert steps.max() < 32767 * 0.9 * 2 * np.pi * 1000 / RATE


def test_written_file_can_be_read(tmp_path):
    path, samples = tmp_path / "out.wav", sound.tone(440, 0.5)
    sound.write(path, samples)
    assert (sound.read(path) == samples).all()
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, RATE, samples.size)


@pytest.mark.parametrize(
    "data",
    [wav([], 44_100, 16), wav([0.5], 44_100, 16), wav([], 8000, 24, channels=2, tag=0xFFFE)],
    ids=["no frame", "less than one of ours", "extensible"],
)
def test_file_without_sound_is_rejected(read, data):
    with pytest.raises(Invalid, match=r"^sound\.wav holds no sound\.$"):
        read(data)


def contained(
    values, rate, *, channels=1, bits=24, tag=1, valid=None, low=True, sign=True, real=24
):
    """Build a file with ``real`` bits in four bytes: lower or upper, with sign or zero above."""
    full = 2 ** (real - 1)
    integers = np.clip(np.rint(np.asarray(values) * full), -full, full - 1).astype("<i4")
    body = integers if low else integers << (32 - real)
    if low and not sign:
        body = body & (2**real - 1)
    block = channels * 4
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if valid is not None:
        guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
        header += struct.pack("<HHI", 22, valid, 0) + guid
    chunks = chunk(b"LIST", b"odd") + chunk(b"fmt ", header) + chunk(b"data", body.tobytes())
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("level", [0.0, -12.0, -60.0])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"sign": False},
        {"tag": 0xFFFE, "valid": 24},
        {"tag": 0xFFFE, "bits": 32, "valid": 24},
        {"tag": 0xFFFE, "bits": 32, "valid": 24, "low": False},
    ],
    ids=["arecord", "arecord without sign", "extensible arecord", "valid bits below", "standard"],
)
def test_24_bits_in_four_bytes_decode_like_24_bits_in_three(read, form, channels, level):
    values = sine(700, 0.5, 16_000, level=level).repeat(channels)
    samples = read(contained(values, 16_000, channels=channels, **form))
    assert (samples == read(wav(values, 16_000, 24, channels=channels))).all()
    assert sound.level(samples) == pytest.approx(level, abs=0.5)


@pytest.mark.parametrize(
    "form",
    [
        {"bits": 20},
        {"bits": 20, "sign": False},
        {"bits": 20, "low": False},
        {"tag": 0xFFFE, "bits": 32, "valid": 20},
        {"tag": 0xFFFE, "bits": 32, "valid": 20, "low": False},
    ],
    ids=["ALSA", "ALSA without sign", "ALSA above", "valid bits below", "standard"],
)
def test_20_bits_in_four_bytes_decode_to_the_same_samples(read, form):
    values = np.rint(sine(700, 0.5, 16_000) * 2**15) / 2**15
    assert (read(contained(values, 16_000, real=20, **form)) == read(wav(values, 16_000, 16))).all()


def test_16_bits_widened_to_24_in_four_bytes_keep_their_level(read):
    values = np.rint(sine(700, 0.5, 16_000) * 2**15) / 2**15
    assert (read(contained(values, 16_000)) == read(wav(values, 16_000, 16))).all()


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
def test_other_codings_of_wav_files_are_read(read, kind, subtype):
    file = io.BytesIO()
    soundfile.write(file, sine(700, 1.0, 8000), 8000, format=kind, subtype=subtype)
    frequency, level, _ = spectrum(read(file.getvalue()))
    assert (frequency, level) == (pytest.approx(700, abs=1), pytest.approx(-12, abs=0.1))


def test_non_finite_floats_become_silence_or_full_scale(read):
    file = io.BytesIO()
    values = np.array([np.nan, np.inf, -np.inf, 0.5, 7.0], np.float32)
    soundfile.write(file, values, 8000, format="WAV", subtype="FLOAT")
    assert list(read(file.getvalue())) == [0, 32767, -32767, 16384, 32767]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFF00])
def test_recording_written_to_a_pipe_is_read_to_its_end(read, size):
    data = wav(sine(700, 0.5, 8000), 8000, 16)
    at = data.index(b"data") + 4
    endless = data[:4] + b"\xff" * 4 + data[8:at] + struct.pack("<I", size) + data[at + 4 :]
    assert (read(endless) == read(data)).all()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not a WAV file"),
        (b"ID3\x04 this is an MP3 file", "is not a WAV file"),
        (b"RIFF\x04\0\0\0WAVE", "is not a WAV file that can be played: .*No 'data' chunk"),
        (wav([0.0], 8000, 16, tag=3), "is not a WAV file that can be played: "),
        (wav([0.0], 8000, 16, channels=0), "Channel count is zero"),
        (wav([0.0] * 65, 8000, 16, channels=65), "has 65 channels"),
        (wav([0.0], 12, 16), "at 12 Hz"),
        (coded("WAV", "IMA_ADPCM"), "is neither PCM nor"),
        (coded("FLAC", "PCM_16"), "is not a WAV file"),
        (coded("AIFF", "PCM_16"), "is not a WAV file"),
    ],
)
def test_unreadable_file_is_rejected_with_a_sentence(read, data, sentence):
    with pytest.raises(Invalid, match=sentence):
        read(data)


def test_length_limit_of_a_file():
    data = wav(sine(700, 0.2, 48_000), 48_000, 16)
    assert sound.parse(data, "it", 0.2).size == 1600
    with pytest.raises(Invalid, match=r"^it is longer than 0\.19 seconds\.$"):
        sound.parse(data, "it", 0.19)


def test_truncated_file_is_read_to_its_end(read):
    data = wav(sine(700, 0.1, 8000), 8000, 24)
    assert read(data[:-4]).size == 798


def test_endless_file_is_read_up_to_the_size_limit():
    with pytest.raises(Invalid, match=r"^zero is larger than 100 MB\.$"):
        sound.read(Path("/dev/zero"))


def test_missing_file_is_rejected_with_a_sentence(tmp_path):
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        sound.read(tmp_path / "missing.wav")


def test_writing_to_a_missing_folder_is_rejected(tmp_path):
    with pytest.raises(Invalid, match="cannot be written: No such file"):
        sound.write(tmp_path / "missing" / "out.wav", sound.tone(440, 0.1))


def test_tone_has_the_requested_level():
    assert sound.level(sound.tone(1000, 1.0, level=-20)) == pytest.approx(-20, abs=0.01)


def test_silence_has_no_level():
    assert sound.level(np.zeros(160, np.int16)) is None
    assert sound.level(np.zeros(0, np.int16)) is None


def test_melody_starts_and_ends_softly_and_does_not_clip():
    melody = sound.melody()
    assert 3 <= melody.size / RATE <= 6
    assert abs(int(melody[0])) < 50
    assert abs(int(melody[-1])) < 50
    assert 8000 < np.abs(melody).max() < 32000
