"""The herald: has those who watch told that calls have changed, a few times a second at most."""

from __future__ import annotations

import threading

from service.media.engine import Engine

PAUSE_SECONDS = 0.25
"""After news. What happens meanwhile is told of at once, whatever it is."""


class Herald:
    """Thread-safe. The thread is started once, after any fork."""

    def __init__(self, engine: Engine, bell: threading.Event) -> None:
        self._engine = engine
        self._bell = bell
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def is_alive(self) -> bool:
        """False where the thread has ended and nobody told it to."""
        return self._thread is None or self._thread.is_alive() or self._stopping.is_set()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="herald", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._bell.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            if self._stopping.is_set():
                return
            self._bell.clear()
            self._engine.announce()
            self._stopping.wait(PAUSE_SECONDS)
