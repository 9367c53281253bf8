"""Tells pages that watch that calls have changed, a few times a second at most."""

from __future__ import annotations

import threading

from service.background import BackgroundThread
from service.media.engine import Engine

PAUSE_SECONDS = 0.25
"""Minimum interval between notifications. Changes within it are combined into one."""


class Herald(BackgroundThread):
    def __init__(self, engine: Engine, bell: threading.Event) -> None:
        self._engine = engine
        super().__init__("herald", bell)
        self._bell = bell

    def _run(self) -> None:
        while True:
            self._bell.wait()
            if self._stopping.is_set():
                return
            self._bell.clear()
            self._engine.announce()
            self._stopping.wait(PAUSE_SECONDS)
