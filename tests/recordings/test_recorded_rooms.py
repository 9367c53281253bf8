"""From live rooms to a file: what listeners were sent is what the recording has."""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import soundfile

from service.domain.wire import FRAME_SAMPLES
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.tap import Tap, Track
from service.recordings.audio_files import AudioFileFormat
from service.recordings.encoding import EncodingJob, encode
from service.recordings.spool_folder import SpoolFolder
from service.recordings.spool_writer import SpoolFailed, SpoolFinished, SpoolResult, SpoolWriter
from tests.support.callers import ROOM, agent
from tests.support.clocks import FakeClock
from tests.support.full_disk import a_full_disk
from tests.support.live_rooms_harness import LiveRoomsHarness
from tests.support.spools import FIRST

TICKS = 230


class RecordedRooms(LiveRoomsHarness):
    """Live rooms whose tap writes to real spools."""

    def __init__(self, clock: FakeClock, where: Path) -> None:
        super().__init__(clock)
        self.folder = SpoolFolder(where)
        self.results: queue.SimpleQueue[SpoolResult] = queue.SimpleQueue()
        self.writer = SpoolWriter(self.folder, self.results.put)
        self.tap = Tap(self.writer.take)
        self.live_rooms = LiveRooms(clock, self.reports.put, None, self.tap)
        self.number = FIRST

    def record(self, track_id: str, call_id: str) -> None:
        self.folder.open(track_id)
        self.tap.record(Track(track_id, call_id, ROOM))

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.live_rooms.tick(self.clock.monotonic(), self.number)
            self.number += 1
            self.clock.advance(0.02)

    def finish(self, *track_ids: str) -> list[SpoolResult]:
        for track_id in track_ids:
            self.tap.stop(track_id)
            self.writer.finish(track_id)
        self.writer.start()
        self.writer.stop()
        return [self.results.get() for _ in range(self.results.qsize())]


def speak(rooms: RecordedRooms, ticks: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Let Ann and Bob speak at once for some ticks. Returns what a silent listener was sent."""
    random = np.random.default_rng(11)
    ann, bob, listener = (rooms.join(agent(name)) for name in ("ann", "bob", "listener"))
    for name in ("ann", "bob"):
        rooms.record(name, f"call-{name}")
    for _ in range(ticks):
        for client in (ann, bob):
            client.speak(random.integers(-25_000, 25_000, FRAME_SAMPLES).astype(np.int16))
        rooms.tick()
    return listener.heard_samples().astype(np.int16)


def test_the_merged_file_is_what_a_listener_was_sent(clock: FakeClock, tmp_path: Path) -> None:
    rooms = RecordedRooms(clock, tmp_path / "spools")
    heard = speak(rooms, TICKS)
    finished = rooms.finish("ann", "bob")
    assert [(type(each), each.track_id) for each in finished] == [
        (SpoolFinished, "ann"),
        (SpoolFinished, "bob"),
    ]
    assert rooms.folder.span("ann").first == FIRST
    target = tmp_path / "room.wav"
    end = FIRST + TICKS
    encode(
        EncodingJob(
            str(tmp_path / "spools"),
            (("ann", "bob"),),
            FIRST,
            end,
            str(target),
            AudioFileFormat.WAV,
        )
    )
    samples, _ = soundfile.read(target, dtype="int16")
    assert samples.any()
    assert (np.abs(samples.astype(int)) == 32_767).any(), "the sum is clipped somewhere"
    assert (samples == heard).all()


def test_a_full_disk_ends_the_recording_and_calls_go_on(clock: FakeClock, tmp_path: Path) -> None:
    rooms = RecordedRooms(clock, tmp_path / "spools")
    with a_full_disk(2 * 50 * 320 + 500):
        heard = speak(rooms, TICKS)
        results = rooms.finish("ann", "bob")
    failed = {each.track_id: each.reason for each in results if isinstance(each, SpoolFailed)}
    assert failed == {"ann": "File too large", "bob": "File too large"}
    spans = {each.track_id: each.span for each in results if isinstance(each, SpoolFinished)}
    assert {(span.first, span.end) for span in spans.values()} == {(FIRST, FIRST + 100)}
    assert heard.size == TICKS * FRAME_SAMPLES
