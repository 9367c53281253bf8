"""Start the same work in many threads at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")


def at_once(count: int, work: Callable[[int], T]) -> list[T | Exception]:
    """Return what ``work(0)`` to ``work(count - 1)``, started together, returned or raised."""
    barrier = Barrier(count, timeout=30)

    def run(index: int) -> T | Exception:
        barrier.wait()
        try:
            return work(index)
        except Exception as error:  # noqa: BLE001 - the test checks the exception
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
