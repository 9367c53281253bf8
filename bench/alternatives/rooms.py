"""Rooms of the Python alternatives: each tick mixes one frame of every other caller.

The mixer is as fast as numpy allows: one pass over all rooms, with Patchbay's G.711 tables. So the
benchmark compares how servers handle their sockets. The alternatives are favoured: they have a
short queue instead of a jitter buffer, and no concealment, authentication, call records, limits or
timeouts.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Callable
from itertools import groupby

import numpy as np

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711

PERIOD = 0.02
"""Seconds between two ticks."""

LONGEST_QUEUE = 3
"""Frames. Older ones are dropped, so that a stall does not cause a lasting delay."""

_SILENCE = g711.SILENCE[Encoding.MULAW] * FRAME_SAMPLES


class Caller:
    """One socket in a room. ``send`` sends it a message; ``receive`` queues its audio."""

    def __init__(self, room: str, stream: str, send: Callable[[str], object]) -> None:
        self.room = room
        self.send = send
        self._before = json.dumps({"event": "media", "streamSid": stream})[:-1]
        self._frames: deque[bytes] = deque(maxlen=LONGEST_QUEUE)

    def receive(self, payload: str) -> None:
        self._frames.append(base64.b64decode(payload))

    def next(self) -> bytes:
        return self._frames.popleft() if self._frames else _SILENCE

    def message(self, frame: bytes) -> str:
        payload = base64.b64encode(frame).decode()
        return f'{self._before}, "media": {{"payload": "{payload}"}}}}'


class Rooms:
    """The callers of all rooms. Callers may join and leave in other threads during a mix."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers: list[Caller] = []
        self._starts = np.zeros(0, np.intp)
        self._room_of = np.zeros(0, np.intp)

    def join(self, caller: Caller) -> None:
        with self._lock:
            self._arrange([*self._callers, caller])

    def leave(self, caller: Caller) -> None:
        with self._lock:
            self._arrange([other for other in self._callers if other is not caller])

    def tick(self) -> list[tuple[Caller, str]]:
        """Return the next message for each caller."""
        with self._lock:
            callers, starts, room_of = self._callers, self._starts, self._room_of
        if not callers:
            return []
        received = b"".join([caller.next() for caller in callers])
        samples = g711.decode(received, Encoding.MULAW).reshape(-1, FRAME_SAMPLES).astype(np.int32)
        others = np.add.reduceat(samples, starts)[room_of] - samples
        mixed = np.clip(others, -32_768, 32_767).astype(np.int16)
        output = g711.encode(mixed, Encoding.MULAW)
        return [
            (caller, caller.message(output[start : start + FRAME_SAMPLES]))
            for caller, start in zip(callers, range(0, len(output), FRAME_SAMPLES), strict=True)
        ]

    def _arrange(self, callers: list[Caller]) -> None:
        self._callers = sorted(callers, key=lambda caller: caller.room)
        sizes = [len(list(room)) for _, room in groupby(self._callers, lambda caller: caller.room)]
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._room_of = np.repeat(np.arange(len(sizes)), sizes)
