"""Counters that several processes share, as files in one folder.

prometheus_client keeps each process's counters in files of its own, and sums all files on request.
A file belongs to a number that a process has while it runs. The next process with that number
counts on where the last one has ended. So the sums never fall, and there are no more files than
there were processes at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess, values
from prometheus_client.metrics_core import Metric

from service.process.machine import Machine

# prometheus_client has no types for its several processes.
_values: Any = values
_multiprocess: Any = multiprocess


class SharedCounters:
    """Keeps the counters and histograms that this process makes from now on in ``folder``.

    The environment must name the folder (``service.process.machine.COUNTERS``). No other process
    may have the same ``number`` at the time.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        # prometheus_client has decided when it was imported, in the process that has forked.
        _values.ValueClass = _values.MultiProcessValue(lambda: number)

    @classmethod
    def of(cls, machine: Machine) -> SharedCounters:
        """Use the machine's folder, and a number that is this process's until it ends."""
        number, _ = machine.place()
        return cls(machine.metrics, number)

    def collect(self) -> Iterable[Metric]:
        """Return the sums of all processes, ordered by name; none where the folder is missing."""
        if not self._folder.is_dir():
            return []
        collector = _multiprocess.MultiProcessCollector(None, path=str(self._folder))
        metrics: Iterable[Metric] = collector.collect()
        return sorted(metrics, key=lambda metric: metric.name)

    def close(self) -> None:
        """Keep the counters that are made from now on in memory again."""
        _values.ValueClass = _values.MutexValue
