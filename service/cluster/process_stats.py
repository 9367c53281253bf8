"""The statistics of one process, as its node reports them."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.media.engine.engine import Engine
from service.media.engine.stats import EngineStats
from service.telemetry import log_output


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """``node`` is ``None`` where the process is the only one of its machine.

    ``memory`` is its resident set in bytes, where the system tells it. ``reports`` of the engine
    wait for the call recorder. ``engine_stats`` is ``None`` where the engine does not answer.
    """

    node: str | None
    pid: int
    cpu_seconds: float
    memory: int | None
    threads: int
    log_lines_dropped: int
    reports: int
    engine_stats: EngineStats | None


def process_stats(node: str | None, engine: Engine) -> ProcessStats:
    """Return the statistics of this process."""
    try:
        engine_stats = engine.engine_stats()
    except TimeoutError:
        engine_stats = None
    return ProcessStats(
        node=node,
        pid=os.getpid(),
        cpu_seconds=time.process_time(),
        memory=_memory(),
        threads=threading.active_count(),
        log_lines_dropped=log_output.dropped(),
        reports=engine.reports.qsize(),
        engine_stats=engine_stats,
    )


def _memory() -> int | None:
    """Return the resident set in bytes; ``None`` on systems other than Linux."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return None
