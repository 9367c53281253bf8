"""A participant on the custom WebSocket, which repeats one sound and records all messages."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service.simulator.audio.codec import FRAME, Samples

PATIENCE = 60


class Agent:
    """``events`` has the received messages without audio; ``heard`` is the audio."""

    def __init__(self, url: str, sound: Samples | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._news = threading.Condition()
        self._heard: list[bytes] = []
        self._sound = sound
        self._over = threading.Event()
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(url, compression=None, open_timeout=PATIENCE)
        )
        self._threads = [threading.Thread(target=self._listen)]
        if sound is not None:
            self._threads.append(threading.Thread(target=self._speak))
        self.send(event="start")
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    @property
    def heard(self) -> Samples:
        with self._news:
            return np.frombuffer(b"".join(self._heard), "<i2").astype(np.int16)

    def send(self, **message: object) -> None:
        self._socket.send(json.dumps(message))

    def leave(self) -> None:
        self._over.set()
        self._open.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for the ``count``-th message of this event."""

        def found() -> dict[str, Any] | None:
            named = [message for message in self.events if message["event"] == event]
            return named[count - 1] if len(named) >= count else None

        with self._news:
            message = self._news.wait_for(found, PATIENCE)
            assert message is not None, [message["event"] for message in self.events]
            return message

    def _listen(self) -> None:
        try:
            for text in self._socket:
                message = json.loads(text)
                with self._news:
                    if message["event"] == "media":
                        self._heard.append(base64.b64decode(message["payload"]))
                    else:
                        self.events.append(message)
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        self.close_code = self._socket.close_code
        self._over.set()

    def _speak(self) -> None:
        assert self._sound is not None
        began, turn = time.monotonic(), 0
        while not self._over.wait(max(0.0, began + turn * 0.02 - time.monotonic())):
            places = np.arange(turn * FRAME, (turn + 1) * FRAME) % len(self._sound)
            payload = self._sound[places].astype("<i2").tobytes()
            try:
                self.send(event="media", payload=base64.b64encode(payload).decode())
            except ConnectionClosed:
                return
            turn += 1
