"""Fuzz test of the WAV reader: any file gives valid sound, or an error that names the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import Invalid
from service.simulator.audio.codec import RATE, Samples
from service.simulator.audio.sound import MAX_SECONDS, read
from tests.support.fuzzing import corrupted


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def wav(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def sound_format(tag: int, channels: int, rate: int, bits: int, more: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, 0, 0, bits) + more)


formats = st.builds(
    sound_format,
    st.sampled_from([1, 1, 1, 0xFFFE, 3]),
    st.sampled_from([1, 2, 3, 64, 0, 65, 65_535]),
    st.sampled_from([8000, 16_000, 44_100, 1000, 7919, 48_000, 384_000, 0, 999, 2**32 - 1]),
    st.sampled_from([8, 16, 24, 32, 0, 12, 64, 65_535]),
    st.sampled_from([b"", struct.pack("<HHIH", 22, 16, 0, 1), b"\0" * 9, b"\1\0" * 12]),
)
bodies = st.binary(max_size=400).map(lambda body: chunk(b"data", body))
others = st.builds(
    chunk, st.sampled_from([b"LIST", b"fmt ", b"data", b"\0\0\0\0"]), st.binary(max_size=20)
)
good = st.builds(
    lambda head, body: wav(head, body),
    st.builds(
        sound_format,
        st.just(1),
        st.integers(1, 8),
        st.sampled_from([8000, 1000, 7919, 11_025, 44_100]),
        st.sampled_from([8, 16, 24, 32]),
    ),
    bodies,
)
files = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(wav),
    st.lists(formats | bodies | others, max_size=5).map(lambda chunks: wav(*chunks)),
    good,
    good.flatmap(corrupted),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wav") / "sound.wav"


def sound_of(path: Path) -> Samples | None:
    """Return the sound; None if the file is refused with a sentence that names it."""
    try:
        return read(path)
    except Invalid as error:
        sentence = error.message
    assert sentence.startswith(f"{path.name} ")
    assert sentence.endswith(".")
    return None


@given(data=files)
@example(data=wav(sound_format(1, 1, 1000, 8), chunk(b"data", bytes(1000 * MAX_SECONDS + 1))))
@example(data=wav(sound_format(1, 64, 384_000, 32), chunk(b"data", b"\xff" * 256)))
def test_any_file_is_loaded_or_refused_in_a_sentence(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    samples = sound_of(path)
    if samples is None:
        return
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    # A sample has at least one byte, and a second at least a thousand samples.
    assert samples.size <= min(len(data) * RATE // 1000, MAX_SECONDS * RATE)
