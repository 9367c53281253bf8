"""Encoding of spools into a file, in a process of its own with the lowest priority.

Run as a program, this module reads a job from its input and prints the result. So the encoder can
neither delay a tick nor end the service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from service.recordings import audio_files, timeline
from service.recordings.audio_files import AudioFile, AudioFileFormat
from service.recordings.spool_folder import SpoolFolder

NICENESS = 19
"""The lowest priority: an encoder runs while nothing else wants the processor."""

ASK_SECONDS = 5.0
"""Interval in which an encoder's owner is asked whether it goes on: a part of its lease."""

ROOT = Path(__file__).parents[2]
"""The folder from which the package is imported."""


@dataclass(frozen=True, slots=True)
class EncodingJob:
    """Spools of ``folder`` to encode, from the tick ``first`` on and until before ``end``.

    Each of ``channels`` has the tracks that are mixed into it.
    """

    folder: str
    channels: tuple[tuple[str, ...], ...]
    first: int
    end: int
    target: str
    file_format: AudioFileFormat


@dataclass(frozen=True, slots=True)
class EncodingFailed:
    reason: str


def encode(job: EncodingJob) -> AudioFile:
    """Encode in this process. Raises ``OSError``."""
    spools = SpoolFolder(Path(job.folder))
    channels = [[spools.records(track_id) for track_id in channel] for channel in job.channels]
    blocks = timeline.channels(channels, job.first, job.end)
    return audio_files.write(Path(job.target), job.file_format, len(channels), blocks)


def encode_apart(
    job: EncodingJob, seconds: float, goes_on: Callable[[], bool] = lambda: True
) -> AudioFile | EncodingFailed:
    """Encode in a process of its own, which is killed after ``seconds``.

    It is also killed once ``goes_on`` returns false, which is asked every ``ASK_SECONDS``.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env={},  # The secrets of the service are none of the encoder's.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        return EncodingFailed(f"The encoder could not be started: {error.strerror}.")
    with process:
        try:
            return _result(process, *_output(process, json.dumps(asdict(job)), seconds, goes_on))
        except subprocess.TimeoutExpired:
            return EncodingFailed(f"The encoder has not ended after {seconds:g} s.")
        finally:
            process.kill()


def _output(
    process: subprocess.Popen[str], text: str, seconds: float, goes_on: Callable[[], bool]
) -> tuple[str, str]:
    """Return what the encoder prints. Raises ``TimeoutExpired``."""
    while True:
        try:
            return process.communicate(text, timeout=min(ASK_SECONDS, seconds))
        except subprocess.TimeoutExpired:
            seconds -= ASK_SECONDS
            if seconds <= 0 or not goes_on():
                raise


def _result(
    process: subprocess.Popen[str], printed: str, complaint: str
) -> AudioFile | EncodingFailed:
    try:
        result = json.loads(printed)
        return EncodingFailed(result["reason"]) if "reason" in result else AudioFile(**result)
    except (ValueError, TypeError):
        last = complaint.strip().rpartition("\n")[2][:200]
        return EncodingFailed(f"The encoder has ended with {process.returncode}: {last}")


def main() -> None:
    """Encode the job that the input has, and print the result."""
    os.nice(NICENESS)
    fields = json.loads(sys.stdin.read())
    fields["channels"] = tuple(map(tuple, fields["channels"]))
    fields["file_format"] = AudioFileFormat(fields["file_format"])
    try:
        result: AudioFile | EncodingFailed = encode(EncodingJob(**fields))
    except OSError as error:
        result = EncodingFailed(error.strerror or str(error))
    sys.stdout.write(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
