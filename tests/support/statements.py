"""What is said to databases, to be counted: work, and never how long it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def said() -> Iterator[list[str]]:
    """The statements that are executed meanwhile, ``BEGIN`` and ``COMMIT`` among them, by this
    thread and those it starts.

    Apps of other tests have threads that look at databases of their own from time to time.
    """
    texts: list[str] = []
    others = set(threading.enumerate()) - {threading.current_thread()}

    def note(text: str) -> None:
        if threading.current_thread() not in others:
            texts.append(text)

    def execute(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        # SQLite is told to begin in words, and drivers do it by themselves: see below.
        if not text.startswith("BEGIN"):
            note(text)

    def word(text: str) -> Callable[..., None]:
        return lambda *_: note(text)

    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": execute,
        **{name: word(name.upper()) for name in ("begin", "commit", "rollback")},
    }
    with ExitStack() as stack:
        for name, listener in listeners.items():
            event.listen(Engine, name, listener)
            stack.callback(event.remove, Engine, name, listener)
        yield texts
