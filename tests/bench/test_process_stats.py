"""CPU time and memory of processes."""

from __future__ import annotations

import os
import subprocess
import sys

from bench import process_stats


def test_a_family_is_a_process_with_all_its_descendants() -> None:
    grandchild = [sys.executable, "-c", "print(flush=True); input()"]
    code = f"import subprocess; subprocess.run({grandchild!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        family = process_stats.family(child.pid)
        assert family[0] == child.pid
        assert len(family) == 2
        assert set(family) < set(process_stats.family(os.getpid()))
        assert not set(family) & set(process_stats.others(family))
        assert set(family) <= set(process_stats.others([]))
        child.communicate(b"\n")


def test_used_memory_is_measured() -> None:
    before = process_stats.resident_bytes([os.getpid()])
    used = bytearray(os.urandom(1 << 10) * (1 << 16))
    assert process_stats.resident_bytes([os.getpid()]) - before > len(used) // 2


def test_cpu_time_is_measured() -> None:
    before = process_stats.cpu_seconds([os.getpid()])
    while process_stats.cpu_seconds([os.getpid()]) == before:
        sum(range(10_000))
    assert process_stats.cpu_seconds([os.getpid()]) > before


def test_time_since_includes_new_processes_and_skips_ended_ones() -> None:
    assert process_stats.since({1: 5.0, 2: 7.0}, {1: 5.5, 3: 0.25}) == 0.75
