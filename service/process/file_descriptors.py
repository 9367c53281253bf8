"""File descriptors: the limit of the process, and whether another call fits.

The kernel assigns the lowest free number, so a new number shows how many are in use.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

BESIDE_CALLS = 100
"""Descriptors for the database, the log, outgoing requests and some connections. A call needs one.
"""

SHORT = "The process has no file descriptors left for another call."

NONE_LEFT = (errno.EMFILE, errno.ENFILE)

MOST = 1_048_576
"""Cap for systems that report an unusably large limit."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one. Returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limit()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # macOS reports no hard limit, and allows less.
        return limit()
    return wanted


def limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)


def too_few(max_calls: int, allowed: int) -> str | None:
    """Return a warning where ``max_calls`` do not fit, else ``None``."""
    needed = max_calls + BESIDE_CALLS + reserve(allowed)
    if needed <= allowed:
        return None
    return (
        f"MAX_CALLS={max_calls} needs {needed} file descriptors and this process may have "
        f"{allowed}: calls beyond that are refused; raise LimitNOFILE or `ulimit -n`."
    )


def reserve(allowed: int) -> int:
    """Return how many are reserved for live calls: the database, redirects and status callbacks."""
    return min(100, allowed * 3 // 8)


def is_last(number: int) -> bool:
    """Whether a connection with this descriptor is one of the last for which there is room."""
    allowed = limit()
    return number >= allowed - reserve(allowed) // 3


def is_short() -> bool:
    """Whether no more calls fit, although other requests do."""
    allowed = limit()
    try:
        lowest = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno in NONE_LEFT
    os.close(lowest)
    return lowest >= allowed - reserve(allowed)


class Spare:
    """A spare descriptor for the moment when no other is left."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Free the spare descriptor within the block."""
        if self._number is not None:
            os.close(self._number)
            self._number = None
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        try:
            self._number = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._number = None
