"""What a soak must have shown: that everything is back where it was. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FRAME_SECONDS = 0.02

MEMORY_SHARE, MEMORY_BYTES = 1.1, 16 * 2**20
"""What memory may have grown to: an allocator keeps what it has once had, in pieces."""

SETTLED = 50
"""Frames of which the most punctual counts: on the way any may be late."""

LEFT_OUT = 0.001
"""The share of frames that may be left out. A machine with others on it stalls now and then."""


@dataclass(frozen=True, slots=True)
class Sounding:
    """A server at rest. ``files`` are the descriptors of the database, and ``descriptors`` the
    others; ``memory`` is in bytes, and ``rows`` counts the calls and sessions that are not over.
    """

    threads: int
    descriptors: int
    files: int
    memory: int
    rows: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table, and whether what it says holds."""

    name: str
    before: str
    after: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A long call: by how many seconds its clock has drifted, and how many of its ``frames`` a
    server that got no time to work has left out.
    """

    frames: int
    drift: float
    left_out: int


def hear(moments: Sequence[float]) -> Heard:
    """What a call was like, by when each of its frames has come. Endless drift of too few.

    Ticks lie on a grid. Whatever moves it a little at a time is drift, and what moves it by whole
    frames at once are frames that never came.
    """
    if len(moments) < 2 * SETTLED:
        return Heard(len(moments), math.inf, 0)
    early = [at - number * FRAME_SECONDS for number, at in enumerate(moments)]
    starts = range(0, len(early) - SETTLED + 1, SETTLED)
    lows = [min(early[start : start + SETTLED]) for start in starts]
    drift = sum(math.remainder(after - before, FRAME_SECONDS) for before, after in pairwise(lows))
    left_out = round((lows[-1] - lows[0] - drift) / FRAME_SECONDS)
    return Heard(len(moments), drift, left_out)


def verdict(
    before: Sounding, after: Sounding, calls: Sequence[Heard], *, pool_files: int
) -> list[Row]:
    """``pool_files`` is how many descriptors the database may have at most."""
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
