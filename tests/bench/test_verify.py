"""Analysis of the data that a listener's socket received."""

from __future__ import annotations

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from bench.job import SLOT
from bench.load import test_signal
from bench.load.dialects import Phone, compact
from bench.load.verify import SLOTS, Findings, Listener, Seat, Window, judge

FRAMES = 200
FIRST, LAST = 50, 150
DELAY = 0.013

ROOM = [Seat(Phone("twilio"), 3), Seat(Phone("twilio"), 17)]
WINDOW = Window(100.0 + np.arange(FRAMES * SLOTS) * SLOT, FIRST, LAST)


def chunk(frame: int, delay: float = DELAY) -> tuple[float, bytes]:
    """Return when the listener receives the other's ``frame``, and its bytes."""
    payload = test_signal.encode(1, frame % test_signal.NUMBERS, ROOM[1].participant.inbound)
    message = compact(Phone("twilio").media(1, payload))
    at = 100.0 + frame * 0.02 + ROOM[1].phase * SLOT + delay
    return at, Frame(Opcode.TEXT, message).serialize(mask=False)


def found(chunks: list[tuple[float, bytes]]) -> Findings:
    return judge(Listener(ROOM, 0, chunks), WINDOW)


def test_a_complete_stream_is_heard_completely() -> None:
    findings = found([chunk(frame) for frame in range(FRAMES)])
    assert findings.heard == findings.exact == 1.0
    assert findings.answers == LAST - FIRST
    assert findings.size == len(chunk(0)[1])
    assert findings.latency == pytest.approx(DELAY)
    assert findings.lateness == pytest.approx(0.0, abs=1e-9)


def test_frames_of_the_window_count_if_they_arrive_after_it() -> None:
    findings = found([chunk(frame, 0.3) for frame in range(FRAMES)])
    assert findings.heard == 1.0
    assert findings.latency == pytest.approx(0.3)


def test_a_lost_frame_is_missed_and_makes_the_next_one_late() -> None:
    findings = found([chunk(frame) for frame in range(FRAMES) if frame != 70])
    assert findings.heard == pytest.approx(0.99)
    assert findings.lateness.max() == pytest.approx(0.02)


def test_a_duplicate_frame_counts_once() -> None:
    chunks = [chunk(71 if frame == 70 else frame) for frame in range(FRAMES)]
    chunks.sort()
    assert found(chunks).heard == pytest.approx(0.99)


def test_a_frame_arrives_with_its_last_byte() -> None:
    chunks = []
    for frame in range(FRAMES):
        at, data = chunk(frame)
        chunks += [(at, data[:100]), (at + 0.004, data[100:])]
    assert found(chunks).latency == pytest.approx(DELAY + 0.004)


def test_two_frames_in_one_chunk_are_two_frames() -> None:
    chunks = []
    for frame in range(0, FRAMES, 2):
        later = chunk(frame + 1)
        chunks.append((later[0], chunk(frame)[1] + later[1]))
    findings = found(chunks)
    assert findings.heard == findings.exact == 1.0


def test_pings_and_messages_without_audio_are_skipped() -> None:
    others = Frame(Opcode.PING, b"").serialize(mask=False)
    others += Frame(Opcode.TEXT, b'{"event":"mark","mark":{"name":"x"}}').serialize(mask=False)
    chunks = [(at, others + data) for at, data in map(chunk, range(FRAMES))]
    findings = found(chunks)
    assert findings.heard == findings.exact == 1.0
    assert findings.size == len(chunk(0)[1])


def test_the_exact_share_is_of_the_heard_frames() -> None:
    chunks = [chunk(frame) for frame in range(FRAMES)]
    loud = bytearray(test_signal.encode(1, 70 % test_signal.NUMBERS, ROOM[1].participant.inbound))
    loud[80] ^= 1
    message = compact(Phone("twilio").media(1, bytes(loud)))
    chunks[70] = (chunks[70][0], Frame(Opcode.TEXT, message).serialize(mask=False))
    findings = found(chunks)
    assert (findings.heard, findings.exact) == (1.0, pytest.approx(0.99))


def test_silence_is_exact_and_no_seat_is_heard() -> None:
    at = [100.0 + turn * 0.02 for turn in range(FRAMES)]
    message = compact(Phone("twilio").media(1, b"\xff" * 160))
    findings = found([(one, Frame(Opcode.TEXT, message).serialize(mask=False)) for one in at])
    assert (findings.heard, findings.exact) == (0.0, 1.0)


def test_a_socket_without_data_is_no_error() -> None:
    findings = found([(100.0, b"")])
    assert (findings.heard, findings.exact, findings.answers, findings.size) == (0.0, 0.0, 0, 0)
