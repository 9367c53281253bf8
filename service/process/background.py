"""Threads that run in the background for as long as the process serves."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class BackgroundThread(ABC):
    """Thread-safe. The thread is started once, after any fork, and runs ``_run``.

    ``_run`` returns soon after ``_stopping`` is set. It may wait for ``signal``: ``stop`` sets it.
    """

    def __init__(self, name: str, signal: threading.Event | None = None) -> None:
        self._name = name
        self._wakes = signal
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def is_alive(self) -> bool:
        """False where the thread has ended by itself."""
        return self._thread is None or self._thread.is_alive() or self._stopping.is_set()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._prepare()
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self, seconds: float | None = None) -> None:
        """Make the thread end, and wait for that, ``seconds`` at most."""
        self._stopping.set()
        if self._wakes is not None:
            self._wakes.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _prepare(self) -> None:  # noqa: B027 - most threads need none
        """Prepare the start of the thread, once."""

    @abstractmethod
    def _run(self) -> None:
        """Work until ``_stopping`` is set."""
