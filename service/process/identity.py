"""Identity of processes, to see whether another one on this machine still runs.

A process id is reused, and has no meaning in another container. So it is combined with the boot id,
the namespace of process ids and the start time of the process.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

PROC = Path("/proc")
ENDED = frozenset("ZX")
"""States of a process that has ended, before its parent has waited for it."""


@cache
def machine() -> str | None:
    """Return a name shared by the processes that see each other's ids; ``None`` where unknown."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return None


def began(pid: int) -> str | None:
    """Return the start time of a process in ticks since the boot; ``None`` if it has ended."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may contain any character.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ENDED else fields[18]


def is_gone(host: str | None, pid: int, pid_began: str | None) -> bool:
    """Whether a process has ended, by its machine and its start time. False where that cannot be
    seen from here.
    """
    return host is not None and host == machine() and began(pid) != pid_began
