"""Spools on disk: one file for each track, which is opened for each record that is added.

So no number of recordings takes file descriptors from calls. A record that could not be written
whole is taken back, as far as the disk allows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.recordings import spool_format
from service.recordings.spool_format import HEADER, Record

SUFFIX = ".spool"


@dataclass(frozen=True, slots=True)
class SpoolSpan:
    """The whole records of a spool: their first tick, the tick after the last, and the bytes.

    Both ticks are 0 if there is none.
    """

    first: int
    end: int
    size: int


class SpoolFolder:
    """Thread-safe for different tracks. A track has one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, track_id: str) -> Path:
        return self._folder / f"{track_id}{SUFFIX}"

    def ids(self) -> list[str]:
        """Return the tracks that have a spool."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))

    def open(self, track_id: str) -> SpoolSpan:
        """Make a track's spool ready for records: create it, or cut it after its last whole record.

        Raises ``OSError``.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        span = self.span(track_id)
        fd = os.open(self.path(track_id), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if span.size < len(HEADER):
                os.ftruncate(fd, 0)
                _write_all(fd, HEADER)
                return SpoolSpan(0, 0, len(HEADER))
            os.ftruncate(fd, span.size)
        finally:
            os.close(fd)
        return span

    def append(self, track_id: str, record: Record) -> int:
        """Add a record. Returns its bytes. Raises ``OSError`` if it is not in the spool."""
        data = spool_format.packed(record)
        fd = os.open(self.path(track_id), os.O_WRONLY | os.O_APPEND)
        try:
            _write_all(fd, data)
        finally:
            os.close(fd)
        return len(data)

    def sync(self, track_id: str) -> None:
        """Wait until the spool is on the disk. Raises ``OSError``."""
        fd = os.open(self.path(track_id), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def span(self, track_id: str) -> SpoolSpan:
        """Read a spool to its last whole record; a missing one is empty. Raises ``OSError``."""
        first = end = size = 0
        with suppress(FileNotFoundError), self.path(track_id).open("rb") as file:
            size = len(HEADER) if file.read(len(HEADER)) == HEADER else 0
            file.seek(0)
            for record, position in spool_format.read(file):
                first, end, size = first or record.tick, max(end, record.end), position
        return SpoolSpan(first, end, size)

    def records(self, track_id: str) -> Iterator[Record]:
        """Yield the whole records of a spool, one at a time. Raises ``OSError``."""
        with self.path(track_id).open("rb") as file:
            for record, _ in spool_format.read(file):
                yield record

    def remove(self, track_id: str) -> None:
        self.path(track_id).unlink(missing_ok=True)


def _write_all(fd: int, data: bytes) -> None:
    """Append all of the data, or none of it if that raises ``OSError``."""
    view, written = memoryview(data), 0
    try:
        while written < len(data):
            written += os.write(fd, view[written:])
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise
