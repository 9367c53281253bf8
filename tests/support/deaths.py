"""Threads that die of what nothing catches."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable


def newest(name: str) -> threading.Thread:
    """The thread of this name that was started last: apps of other tests have theirs."""
    return [each for each in threading.enumerate() if each.name == name][-1]


def kill(name: str, nudge: Callable[[], object] = lambda: None) -> None:
    """Raise ``SystemExit`` in a thread that ``nudge`` makes go on; return once it has ended."""
    thread = newest(name)
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
    for _ in range(300):
        nudge()
        thread.join(0.1)
        if not thread.is_alive():
            return
    raise AssertionError(f"the thread {name} lives on")
