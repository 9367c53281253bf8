"""Time for which processes could not run because others had the cores."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NANOSECONDS = 1e-9


def waited_for_a_core(pids: Iterable[int]) -> float:
    """Return the seconds for which threads of these processes were ready, but did not run.

    A thread that waits for a lock or sleeps is not ready. Only threads that exist are counted.
    """
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # The thread has ended.
                total += int(path.read_text().split()[1])
    return total * NANOSECONDS
