"""The machine: the workers of one gunicorn master, and the folder that only they can read.

The folder holds what the workers share: sockets, counters, and marks of workers that start. The
master makes it before it starts a worker and removes it at its end. A lock on the folder keeps
programs from removing its old files that tidy the system's folder for temporary files.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

if sys.platform != "win32":
    import fcntl

FOLDER = "PATCHBAY_MACHINE"
LEASE = "PATCHBAY_LEASE"
WORKER = "PATCHBAY_WORKER"
"""Environment variables with the folder, the lease and the number of a worker."""

COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable from which prometheus_client reads the folder of the counters."""

LONGEST = 64
"""Longest path in bytes. A Unix socket's address has 104 at most, on the strictest system."""

STARTING = "starting-"


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as one worker sees it.

    ``lease_fd`` is the open file of SQLite's lease, which all workers inherit. ``worker`` is the
    worker's number in the order of starts.
    """

    folder: Path
    lease_fd: int | None = None
    worker: int = 0

    @classmethod
    def make(cls, environ: MutableMapping[str, str], lease_fd: int | None = None) -> Machine:
        """Make the folder, and set the variables in ``environ``. Raises ``OSError``."""
        folder = Path(tempfile.mkdtemp(prefix="patchbay-"))
        if len(os.fsencode(folder)) > LONGEST:
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix="patchbay-", dir="/tmp"))
        machine = cls(folder, lease_fd)
        machine.metrics.mkdir(mode=0o700)
        environ[FOLDER] = str(folder)
        environ[COUNTERS] = str(machine.metrics)
        environ[LEASE] = "" if lease_fd is None else str(lease_fd)
        return machine

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Machine | None:
        """Return the machine of a worker; ``None`` where it is the only one."""
        folder, lease = environ.get(FOLDER), environ.get(LEASE)
        if not folder:
            return None
        return cls(Path(folder), int(lease) if lease else None, int(environ.get(WORKER) or 0))

    @staticmethod
    def forget(environ: MutableMapping[str, str]) -> None:
        """Remove the variables that another master has set for its workers."""
        for name in (FOLDER, LEASE, WORKER, COUNTERS):
            environ.pop(name, None)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def metrics(self) -> Path:
        """The folder of the counters."""
        return self.folder / "metrics"

    def lock(self) -> int:
        """Lock the folder for as long as any process has the returned descriptor open."""
        held = os.open(self.folder, os.O_RDONLY)
        _locked(held)
        return held

    def place(self) -> tuple[int, int]:
        """Take the lowest number that no other process of the machine has.

        Returns the number, and a descriptor. The number is taken while the descriptor is open.
        """
        for number in count():
            held = os.open(self.folder / f"{number}.place", os.O_CREAT | os.O_RDWR, 0o600)
            if _locked(held):
                break
            os.close(held)
        return number, held

    def give(self, uid: int, gid: int) -> None:
        """Give the folder to the user that the workers run as."""
        for path in (self.folder, self.metrics):
            os.chown(path, uid, gid)

    def restore(self) -> bool:
        """Make the folder again if a program has removed it. Raises ``OSError``.

        Returns whether it was removed. Workers that run have lost their sockets with it, so they
        should be replaced.
        """
        was_removed = not self.folder.exists()
        if was_removed:
            self.folder.mkdir(mode=0o700)
            self.metrics.mkdir(mode=0o700)
        return was_removed

    def expect(self, worker: int) -> None:
        """Mark a worker as starting."""
        self._mark(worker).touch()

    def serves(self, worker: int | None = None) -> None:
        """Remove the mark of this worker, which serves, or of another one, which has ended."""
        self._mark(self.worker if worker is None else worker).unlink(missing_ok=True)

    def is_starting(self) -> bool:
        """Return whether a worker is about to serve."""
        return any(self.folder.glob(f"{STARTING}*"))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _mark(self, worker: int) -> Path:
        return self.folder / f"{STARTING}{worker}"


def _locked(descriptor: int) -> bool:
    """Lock an open file, unless another process has locked it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
