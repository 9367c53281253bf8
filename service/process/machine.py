"""The machine: the workers of one gunicorn master, and the folder that only they can read.

The folder holds what the workers share: sockets, counters, and marks of workers that start. The
master makes it before it starts a worker and removes it at its end. A lock on the folder keeps
programs from removing its old files that tidy the system's folder for temporary files. The lock
ends with the last process of the machine, so that the next master can remove the folder of one that
was killed.
"""

from __future__ import annotations

import os
import shutil
import stat
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

SHORT = "/tmp"  # noqa: S108 - the folder itself has a random name and is private
"""The folder for temporary files where the path of the usual one is too long."""

PREFIX = "patchbay-"
UNLOCKED = "new-patchbay-"
"""Prefixes of a folder's name: when it is locked, and before."""

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
        """Make and lock the folder, and set the variables in ``environ``. Raises ``OSError``.

        It stays locked for as long as this process, or one that is forked from it, runs.
        """
        folder = Path(tempfile.mkdtemp(prefix=UNLOCKED))
        if len(os.fsencode(folder)) > LONGEST:
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix=UNLOCKED, dir=SHORT))
        machine = cls(folder.with_name(folder.name.replace(UNLOCKED, PREFIX)), lease_fd)
        machine._fill(folder)
        environ[FOLDER] = str(machine.folder)
        environ[COUNTERS] = str(machine.metrics)
        environ[LEASE] = "" if lease_fd is None else str(lease_fd)
        return machine

    @staticmethod
    def remove_abandoned() -> None:
        """Remove the folders of this user's machines of which no process is left."""
        for parent in {Path(tempfile.gettempdir()), Path(SHORT)}:
            for folder in parent.glob(f"{PREFIX}*/"):
                if _is_machine(folder):
                    _remove_unlocked(folder)

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
            self._fill(Path(tempfile.mkdtemp(prefix=UNLOCKED, dir=self.folder.parent)))
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

    def _fill(self, folder: Path) -> None:
        """Make a new folder the machine's, locked before another process can find it."""
        _locked(os.open(folder, os.O_RDONLY))
        (folder / self.metrics.name).mkdir(mode=0o700)
        folder.rename(self.folder)

    def _mark(self, worker: int) -> Path:
        return self.folder / f"{STARTING}{worker}"


def _is_machine(folder: Path) -> bool:
    """Return whether the folder is one that ``Machine.make`` has made for this user."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
    return is_private and found.st_uid == os.getuid() and (folder / "metrics").is_dir()


def _remove_unlocked(folder: Path) -> None:
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        if _locked(held):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)


def _locked(descriptor: int) -> bool:
    """Lock an open file, unless another process has locked it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
