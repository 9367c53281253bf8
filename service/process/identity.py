"""Identity of processes: which one this is, and whether another of this machine still runs.

A process id alone is used again, and means nothing in another container: it counts together with
the boot, the namespace of process ids and the moment at which the process began.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
ENDED = frozenset("ZX")
"""States of a process that has ended and was not waited for yet."""


def machine() -> str | None:
    """Return a name shared by the processes that see each other's ids; ``None`` where unknown."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return None


def began(pid: int) -> str | None:
    """When a process of this machine began, in ticks since the boot; ``None`` if it has ended."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ENDED else fields[18]
