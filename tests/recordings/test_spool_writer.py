"""The spool writer: order, its bound, and errors of the disk as results."""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import pytest

from service.domain.wire import Encoding
from service.media.rooms.tap import Block
from service.recordings.spool_folder import SpoolFolder, SpoolSpan
from service.recordings.spool_writer import SpoolFailed, SpoolFinished, SpoolResult, SpoolWriter
from tests.support.spools import FIRST


class Spooling:
    """A writer whose thread the test starts, and its results."""

    def __init__(self, where: Path, capacity: int = 10**9) -> None:
        self.folder = SpoolFolder(where)
        self.results: queue.SimpleQueue[SpoolResult] = queue.SimpleQueue()
        self.writer = SpoolWriter(self.folder, self.results.put, capacity)

    def done(self) -> list[SpoolResult]:
        """Let the thread write everything, and return the results."""
        self.writer.start()
        self.writer.stop()
        results = []
        while not self.results.empty():
            results.append(self.results.get())
        return results


def block(*parts: tuple[str, int], tick: int = FIRST, ticks: int = 3) -> Block:
    """Return a block whose bytes say the track and the tick."""
    codes = np.zeros((len(parts), ticks, 160), np.uint8)
    codes += np.arange(len(parts), dtype=np.uint8)[:, None, None] * 100
    codes += np.arange(ticks, dtype=np.uint8)[:, None]
    return Block(Encoding.MULAW, tick, parts, codes)


@pytest.fixture
def spooling(tmp_path: Path) -> Spooling:
    return Spooling(tmp_path / "spools")


def test_each_part_of_a_block_goes_to_its_own_spool(spooling: Spooling) -> None:
    for track in ("t1", "t2"):
        spooling.folder.open(track)
    assert spooling.writer.take(block(("t1", 0), ("t2", 1)))
    assert spooling.writer.take(block(("t2", 0), tick=FIRST + 3))
    spooling.writer.finish("t1")
    spooling.writer.finish("t2")
    first, second = spooling.done()
    assert isinstance(first, SpoolFinished)
    assert isinstance(second, SpoolFinished)
    assert (first.track_id, first.span.first, first.span.end) == ("t1", FIRST, FIRST + 3)
    assert (second.track_id, second.span.first, second.span.end) == ("t2", FIRST + 1, FIRST + 6)
    payloads = [record.payload for record in spooling.folder.records("t2")]
    assert payloads[0] == b"\x65" * 160 + b"\x66" * 160
    assert payloads[1][:320] == b"\0" * 160 + b"\1" * 160


def test_a_block_beyond_the_bound_is_not_taken(tmp_path: Path) -> None:
    spooling = Spooling(tmp_path, capacity=3 * 160 * 2)
    spooling.folder.open("t1")
    taken = [spooling.writer.take(block(("t1", 0), tick=FIRST + 3 * n)) for n in range(3)]
    assert taken == [True, True, False]
    spooling.writer.finish("t1")
    (result,) = spooling.done()
    assert isinstance(result, SpoolFinished)
    assert result.span.end == FIRST + 6
    # What is written makes room.
    assert spooling.writer.take(block(("t1", 0)))


def test_an_error_of_the_disk_is_reported_once_and_ends_one_track(spooling: Spooling) -> None:
    spooling.folder.open("t2")
    spooling.folder.path("t1").mkdir()
    for number in range(3):
        assert spooling.writer.take(block(("t1", 0), ("t2", 0), tick=FIRST + 3 * number))
    spooling.writer.finish("t2")
    failed, finished = spooling.done()
    assert failed == SpoolFailed("t1", "Is a directory")
    assert isinstance(finished, SpoolFinished)
    assert finished.span.end == FIRST + 9


def test_a_track_that_has_failed_ends_where_it_failed(spooling: Spooling) -> None:
    """Nothing is written after a hole, and the same name may begin again."""
    spooling.folder.open("t1")
    assert spooling.writer.take(block(("t1", 0)))
    spooling.writer.finish("t1")
    spooling.writer.finish("t2")
    kept, missing, empty = spooling.done()
    assert isinstance(kept, SpoolFinished)
    assert kept.span.end == FIRST + 3
    assert missing == SpoolFailed("t2", "No such file or directory")
    assert empty == SpoolFinished("t2", SpoolSpan(0, 0, 0))


def test_a_receiver_that_fails_does_not_end_the_thread(tmp_path: Path) -> None:
    def report(result: SpoolResult) -> None:
        raise ZeroDivisionError

    writer, folder = SpoolWriter(SpoolFolder(tmp_path), report), SpoolFolder(tmp_path)
    folder.open("t1")
    writer.finish("t1")
    writer.take(block(("t1", 0)))
    writer.start()
    writer.stop()
    assert folder.span("t1").end == FIRST + 3
