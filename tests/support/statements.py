"""Record SQL statements, so that tests count work instead of time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def said() -> Iterator[list[str]]:
    """Record the statements of this thread and the threads that it starts, with ``BEGIN`` and
    ``COMMIT``.

    Threads of other tests' apps, which read their databases occasionally, are ignored.
    """
    texts: list[str] = []
    others = set(threading.enumerate()) - {threading.current_thread()}

    def note(text: str) -> None:
        if threading.current_thread() not in others:
            texts.append(text)

    def execute(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        # SQLite receives BEGIN as a statement, other drivers begin implicitly: see below.
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
