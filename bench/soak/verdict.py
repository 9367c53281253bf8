"""Compare a server's resources before and after a soak test. This file does no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FRAME_SECONDS = 0.02

MEMORY_SHARE, MEMORY_BYTES = 1.1, 16 * 2**20
"""Allowed growth of memory: an allocator keeps fragmented memory that it has freed."""

SETTLED = 50
"""Frames of which the earliest counts, because any frame may be delayed on the way."""

LEFT_OUT = 0.001
"""Maximum share of frames left out. A shared machine stalls occasionally."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The resources of a server at rest.

    ``files`` counts the descriptors of the database and ``descriptors`` all others. ``memory`` is
    in bytes, and ``rows`` counts the calls and sessions that are not over.
    """

    threads: int
    descriptors: int
    files: int
    memory: int
    rows: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, and whether its check holds."""

    name: str
    before: str
    after: str
    holds: bool


@dataclass(frozen=True, slots=True)
class LongCall:
    """A long call: its ``frames``, the drift of its clock in seconds, and how many frames the
    server left out because it got no CPU time.
    """

    frames: int
    drift: float
    left_out: int


def long_call(moments: Sequence[float]) -> LongCall:
    """Analyse a call by the arrival times of its frames; too few frames mean infinite drift.

    Ticks lie on a grid. A gradual shift of the grid is drift; a shift by whole frames at once means
    missing frames.
    """
    if len(moments) < 2 * SETTLED:
        return LongCall(len(moments), math.inf, 0)
    early = [at - number * FRAME_SECONDS for number, at in enumerate(moments)]
    starts = range(0, len(early) - SETTLED + 1, SETTLED)
    lows = [min(early[start : start + SETTLED]) for start in starts]
    drift = sum(math.remainder(after - before, FRAME_SECONDS) for before, after in pairwise(lows))
    left_out = round((lows[-1] - lows[0] - drift) / FRAME_SECONDS)
    return LongCall(len(moments), drift, left_out)


def verdict(
    before: Snapshot, after: Snapshot, calls: Sequence[LongCall], *, pool_files: int
) -> list[Row]:
    """Return the checks. ``pool_files`` is the maximum number of database descriptors."""
    worst = max((abs(call.drift) for call in calls), default=math.inf)
    left_out, frames = sum(call.left_out for call in calls), sum(call.frames for call in calls)
    ceiling = before.memory * MEMORY_SHARE + MEMORY_BYTES
    return [
        _same("threads", before.threads, after.threads),
        _same("descriptors", before.descriptors, after.descriptors),
        Row(
            "descriptors of the database",
            str(before.files),
            f"{after.files} of {pool_files}",
            after.files <= pool_files,
        ),
        Row("memory, MB", _mb(before.memory), _mb(after.memory), after.memory <= ceiling),
        Row(
            f"drift of {len(calls)} long calls, ms",
            "0.0",
            f"{worst * 1000:.1f}",
            worst <= FRAME_SECONDS,
        ),
        Row("frames left out", "0", f"{left_out} of {frames}", left_out <= frames * LEFT_OUT),
        _same("calls and sessions that are not over", before.rows, after.rows),
    ]


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'':<38}{'warmed up':>12}{'at the end':>16}"]
    for row in rows:
        word = "holds" if row.holds else "DOES NOT HOLD"
        lines.append(f"{row.name:<38}{row.before:>12}{row.after:>16}  {word}")
    return "\n".join(lines)


def _same(name: str, before: int, after: int) -> Row:
    return Row(name, str(before), str(after), before == after)


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f}"
