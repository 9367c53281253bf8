"""End threads with an exception that nothing catches."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable


def newest(name: str) -> threading.Thread:
    """Return the newest thread of this name; apps of other tests have older ones."""
    return [each for each in threading.enumerate() if each.name == name][-1]


def kill(name: str, nudge: Callable[[], object] = lambda: None) -> None:
    """Raise ``SystemExit`` in a thread, wake it with ``nudge``, and wait for its end."""
    thread = newest(name)
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
    for _ in range(300):
        nudge()
        thread.join(0.1)
        if not thread.is_alive():
            return
    raise AssertionError(f"the thread {name} is still alive")
