"""What is said to databases, to be counted: work, and never how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def said() -> Iterator[list[str]]:
    """The statements that any thread executes meanwhile, ``BEGIN`` and ``COMMIT`` among them."""
    texts: list[str] = []

    def execute(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        # SQLite is told to begin in words, and drivers do it by themselves: see below.
        if not text.startswith("BEGIN"):
            texts.append(text)

    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": execute,
        **{name: _word(texts, name.upper()) for name in ("begin", "commit", "rollback")},
    }
    with ExitStack() as stack:
        for name, listener in listeners.items():
            event.listen(Engine, name, listener)
            stack.callback(event.remove, Engine, name, listener)
        yield texts


def _word(texts: list[str], word: str) -> Callable[..., None]:
    return lambda *_: texts.append(word)
