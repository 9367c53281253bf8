"""Notifications to open console pages that calls have changed, at a limited rate."""

from __future__ import annotations

import threading

from service.media.engine.media import Media
from service.process.background import BackgroundThread

PAUSE_SECONDS = 0.25
"""Minimum interval between notifications. Changes within it are combined into one."""


class ChangeNotifier(BackgroundThread):
    def __init__(self, media: Media, signal: threading.Event, pause: float = PAUSE_SECONDS) -> None:
        self._media = media
        super().__init__("change-notifier", signal)
        self._signal = signal
        self._pause = pause

    def _run(self) -> None:
        while True:
            self._signal.wait()
            if self._stopping.is_set():
                return
            self._signal.clear()
            self._media.announce()
            self._stopping.wait(self._pause)
