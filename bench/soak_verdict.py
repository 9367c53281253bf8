"""What a soak must have shown: that everything is back where it was. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRAME_SECONDS = 0.02

MEMORY_SHARE, MEMORY_BYTES = 1.1, 16 * 2**20
"""What memory may have grown to: an allocator keeps what it has once had, in pieces."""

SETTLED = 50
"""Frames at either end of a call of which the most punctual counts: on the way any may be late."""


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


def drift(moments: Sequence[float]) -> float:
    """Seconds by which a call's frames have fallen behind the clock, by when each has come.

    Endless where they are too few to say.
    """
    if len(moments) < 2 * SETTLED:
        return float("inf")
    early = [at - number * FRAME_SECONDS for number, at in enumerate(moments)]
    return min(early[-SETTLED:]) - min(early[:SETTLED])


def verdict(
    before: Sounding, after: Sounding, drifts: Sequence[float], *, pool_files: int
) -> list[Row]:
    """``pool_files`` is how many descriptors the database may have at most."""
    worst = max(map(abs, drifts), default=float("inf"))
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
            f"drift of {len(drifts)} long calls, ms",
            "0.0",
            f"{worst * 1000:.1f}",
            worst <= FRAME_SECONDS,
        ),
        _same("calls and sessions that are not over", before.rows, after.rows),
    ]


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'':<38}{'warmed up':>12}{'at the end':>14}"]
    for row in rows:
        word = "holds" if row.holds else "DOES NOT HOLD"
        lines.append(f"{row.name:<38}{row.before:>12}{row.after:>14}  {word}")
    return "\n".join(lines)


def _same(name: str, before: int, after: int) -> Row:
    return Row(name, str(before), str(after), before == after)


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f}"
