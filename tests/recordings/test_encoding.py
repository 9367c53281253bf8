"""Files made of spools: formats, positions and lengths, by readers from outside too."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from service.recordings.audio_files import AudioFile, AudioFileFormat
from service.recordings.encoding import EncodingFailed, EncodingJob, encode, encode_apart
from service.recordings.spool_folder import SpoolFolder
from tests.support.installed import installed
from tests.support.spools import CLICK, FIRST, clicks, records_of, spool

LEFT, RIGHT = [0, 8_000, 20_001], [160, 12_345, 27_000]
LOSSLESS = (AudioFileFormat.WAV, AudioFileFormat.FLAC)


@pytest.fixture
def job(tmp_path: Path) -> EncodingJob:
    """Two tracks of four seconds with clicks, the second of which begins a second later."""
    folder = SpoolFolder(tmp_path / "spools")
    spool(folder, "t1", records_of(clicks(4, LEFT)))
    spool(folder, "t2", records_of(clicks(4, RIGHT), FIRST + 50))
    return EncodingJob(
        folder=str(tmp_path / "spools"),
        channels=(("t1",), ("t2",)),
        first=FIRST,
        end=FIRST + 250,
        target=str(tmp_path / "files" / "r1.wav"),
        file_format=AudioFileFormat.WAV,
    )


def of(job: EncodingJob, file_format: AudioFileFormat) -> EncodingJob:
    return EncodingJob(
        job.folder,
        job.channels,
        job.first,
        job.end,
        str(Path(job.target).with_suffix(f".{file_format}")),
        file_format,
    )


@pytest.mark.parametrize("file_format", list(AudioFileFormat))
def test_clicks_of_both_channels_are_where_they_were(
    job: EncodingJob, file_format: AudioFileFormat
) -> None:
    job = of(job, file_format)
    made = encode(job)
    samples, rate = soundfile.read(job.target, dtype="int16")
    assert (rate, samples.shape) == (8000, (40_000, 2))
    assert (made.samples, made.millis) == (40_000, 5_000)
    assert made.size == Path(job.target).stat().st_size
    expected = np.stack((np.pad(clicks(4, LEFT), (0, 8000)), np.pad(clicks(4, RIGHT), (8000, 0))))
    if file_format in LOSSLESS:
        assert (samples == expected.T).all()
        return
    for channel, at in zip(samples.T.astype(int), expected, strict=True):
        for position in np.flatnonzero(at == CLICK):
            near = np.abs(channel[max(0, position - 80) : position + 80])
            assert near.argmax() == min(position, 80)


def test_channels_can_be_mixed_into_one(job: EncodingJob) -> None:
    mono = EncodingJob(
        job.folder, (("t1", "t2"),), job.first, job.end, job.target, AudioFileFormat.WAV
    )
    encode(mono)
    samples, _ = soundfile.read(mono.target, dtype="int16")
    found = np.flatnonzero(samples)
    assert found.tolist() == sorted([*LEFT, *(8_000 + position for position in RIGHT)])


def test_a_process_of_its_own_makes_the_same_file(job: EncodingJob, tmp_path: Path) -> None:
    made = encode(job)
    before = Path(job.target).read_bytes()
    Path(job.target).unlink()
    assert encode_apart(job, 120) == made
    assert Path(job.target).read_bytes() == before
    assert Path(job.target).stat().st_mode & 0o777 == 0o600


def test_an_encoder_that_cannot_write_leaves_no_file(job: EncodingJob, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where a folder should be")
    assert encode_apart(job, 120) == EncodingFailed("File exists")


def test_a_missing_spool_is_a_result(job: EncodingJob, tmp_path: Path) -> None:
    missing = EncodingJob(job.folder, (("t9",),), job.first, job.end, job.target, job.file_format)
    assert encode_apart(missing, 120) == EncodingFailed("No such file or directory")
    assert list((tmp_path / "files").iterdir()) == []


def test_an_encoder_that_takes_too_long_is_killed(job: EncodingJob) -> None:
    result = encode_apart(job, 0.0)
    assert result == EncodingFailed("The encoder has not ended after 0 s.")


def test_an_encoder_that_ends_by_itself_is_a_result(job: EncodingJob) -> None:
    no_number: dict[str, Any] = {"first": "x"}
    result = encode_apart(replace(job, **no_number), 120)
    assert isinstance(result, EncodingFailed)
    assert result.reason.startswith("The encoder has ended with 1: TypeError")


@pytest.mark.parametrize("file_format", list(AudioFileFormat))
def test_ffprobe_finds_the_length_and_the_channels(
    job: EncodingJob, file_format: AudioFileFormat
) -> None:
    ffprobe = installed("ffprobe", required_by="REQUIRE_FFPROBE")
    job = of(job, file_format)
    assert isinstance(encode(job), AudioFile)
    options = ["-v", "error", "-show_entries", "format=duration:stream=channels", "-of", "json"]
    said = subprocess.run([ffprobe, *options, job.target], check=True, capture_output=True)
    document = json.loads(said.stdout)
    assert document["streams"][0]["channels"] == 2
    # An MP3 file also has the delay of its encoder, and whole frames of 72 ms.
    assert float(document["format"]["duration"]) == pytest.approx(5.0, abs=0.2)


def test_sox_finds_every_sample(job: EncodingJob) -> None:
    soxi = installed("soxi", required_by="REQUIRE_SOX")
    encode(job)
    said = subprocess.run([soxi, "-s", job.target], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "40000"
