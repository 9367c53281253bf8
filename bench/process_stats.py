"""CPU time and memory of processes and their children, read from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                parent = int(_stat(int(folder.name))[1])
            except OSError:  # The process has ended since the listing.
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for known in found:
        found.extend(children.get(known, ()))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of all threads, in user and kernel mode."""
    return sum(int(field) for pid in pids for field in _stat(pid)[11:13]) / _TICKS


def others(pids: Iterable[int]) -> dict[int, float]:
    """Return the CPU seconds of every process except these, this process and its parent.

    The kernel measures the time of processes exactly. It only samples the time of a core, and
    misses processes that wake with the timer.
    """
    own = {*pids, os.getpid(), os.getppid()}
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) not in own:
            with contextlib.suppress(OSError):
                found[int(folder.name)] = cpu_seconds((int(folder.name),))
    return found


def since(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the CPU seconds between two snapshots, without processes that have ended."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def resident_bytes(pids: Iterable[int]) -> int:
    return sum(int((_PROC / str(pid) / "statm").read_text().split()[1]) for pid in pids) * _PAGE


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, which may contain spaces: proc_pid_stat(5)."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cores() -> tuple[int, int] | None:
    """Return a core for the server and one for the load, on different physical cores if possible.

    ``None`` if there is only one core.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    siblings = _siblings(allowed[0])
    return allowed[0], next((core for core in allowed[1:] if core not in siblings), allowed[1])


def _siblings(core: int) -> set[int]:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        ranges = [part.split("-") for part in path.read_text().strip().split(",")]
    except OSError:
        return set()
    return {core for ends in ranges for core in range(int(ends[0]), int(ends[-1]) + 1)}


def processor() -> str:
    for line in (_PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"
