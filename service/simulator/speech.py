"""The caller's side of the audio: frames of the sample, then silence, and key presses.

Positions are 20 ms frames on the timeline of the call, so the caller goes on talking while the
provider opens another socket.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from service.simulator.audio.codec import FRAME, RATE, Samples
from service.simulator.scenario import Scenario

KEYS_FROM, KEYS_EVERY = 25, 12
"""In frames: the first key comes half a second into the call, the next ones at a quick pace."""


class Speech:
    def __init__(self, scenario: Scenario) -> None:
        missing = -scenario.sample.size % FRAME
        self._frames = np.pad(scenario.sample, (0, missing)).reshape(-1, FRAME)
        self._loop = scenario.loop and self._frames.size > 0
        self._silence = np.zeros(FRAME, np.int16)
        self._keys = deque(scenario.digits)
        self._next_key = KEYS_FROM
        self.frames_planned: int | None = None
        """Frames after which the caller hangs up, or ``None``."""
        if scenario.seconds is not None:
            self.frames_planned = round(scenario.seconds * RATE / FRAME)
        elif not self._loop:
            self.frames_planned = len(self._frames) + round(scenario.tail * RATE / FRAME)

    def press(self, digits: str) -> None:
        self._keys.extend(digits)

    def frame(self, number: int) -> Samples:
        count = len(self._frames)
        if self._loop:
            number %= count
        frame: Samples = self._frames[number] if number < count else self._silence
        return frame

    def recording(self, length: int) -> Samples:
        """Return the caller's speech in the first ``length`` samples."""
        frames = [self.frame(number) for number in range(-(-length // FRAME))]
        return np.concatenate([self._silence, *frames])[FRAME : FRAME + length]

    def key(self, number: int) -> str | None:
        """Return the key that is pressed in this frame, or ``None``."""
        if not self._keys or number < self._next_key:
            return None
        self._next_key = number + KEYS_EVERY
        return self._keys.popleft()
