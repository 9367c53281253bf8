"""Spools on disk, after a process was killed and while the disk is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.domain.wire import Encoding
from service.recordings.spool_folder import SpoolFolder, SpoolSpan
from service.recordings.spool_format import HEADER, Record, packed
from tests.support.full_disk import a_full_disk
from tests.support.paths import ROOT
from tests.support.spools import FIRST, records_of, spool

SECOND = Record(FIRST, Encoding.MULAW, b"\x12" * 8000)
RECORD_BYTES = len(packed(SECOND))


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path / "spools")


def test_a_spool_is_readable_by_its_owner_only(folder: SpoolFolder) -> None:
    folder.open("t1")
    assert folder.path("t1").stat().st_mode & 0o777 == 0o600
    assert folder.path("t1").parent.stat().st_mode & 0o777 == 0o700


def test_a_missing_spool_is_empty(folder: SpoolFolder) -> None:
    assert folder.ids() == []
    assert folder.span("t1") == SpoolSpan(0, 0, 0)


def test_a_spool_has_its_records_in_order(folder: SpoolFolder) -> None:
    records = records_of(np.arange(24_000, dtype=np.int16))
    spool(folder, "t1", records)
    assert list(folder.records("t1")) == records
    assert folder.span("t1") == SpoolSpan(FIRST, FIRST + 150, folder.path("t1").stat().st_size)
    assert folder.ids() == ["t1"]
    folder.remove("t1")
    folder.remove("t1")
    assert folder.ids() == []


def test_a_spool_torn_at_any_byte_is_continued_after_its_last_whole_record(
    folder: SpoolFolder,
) -> None:
    first, second = (Record(tick, Encoding.MULAW, b"\x42" * 160) for tick in (FIRST, FIRST + 9))
    spool(folder, "t1", [first])
    data = folder.path("t1").read_bytes()
    for size in range(len(data) + 1):
        folder.path("t1").write_bytes(data[:size])
        span = folder.open("t1")
        folder.append("t1", second)
        kept = [first] if size == len(data) else []
        assert list(folder.records("t1")) == [*kept, second]
        assert span == SpoolSpan(*((FIRST, FIRST + 1, len(data)) if kept else (0, 0, len(HEADER))))


def test_a_record_for_which_the_disk_has_no_room_leaves_nothing(folder: SpoolFolder) -> None:
    spool(folder, "t1", [SECOND])
    size = folder.path("t1").stat().st_size
    for room in (0, 1, 20, RECORD_BYTES - 1):
        with a_full_disk(size + room), pytest.raises(OSError, match="File too large"):
            folder.append("t1", SECOND)
        assert folder.path("t1").stat().st_size == size
    with a_full_disk(size + RECORD_BYTES):
        folder.append("t1", SECOND)
    assert len(list(folder.records("t1"))) == 2


WRITES = """
import sys
from pathlib import Path
from service.domain.wire import Encoding
from service.recordings.spool_folder import SpoolFolder
from service.recordings.spool_format import Record

folder, tick = SpoolFolder(Path(sys.argv[1])), int(sys.argv[2])
folder.open("t1")
while True:
    folder.append("t1", Record(tick, Encoding.MULAW, b"\\x21" * 8000))
    print(tick, flush=True)
    tick += 50
"""


def test_a_killed_process_leaves_every_record_that_it_has_written(folder: SpoolFolder) -> None:
    where = str(folder.path("t1").parent)
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, where, str(FIRST)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(200)]
        process.kill()
        said += [int(line) for line in process.stdout.read().splitlines() if len(line) == 11]
    ticks = [record.tick for record in folder.records("t1")]
    assert ticks[: len(said)] == said
    assert len(ticks) - len(said) in (0, 1)
