"""What the caller says: frames of the sample, then silence, and keys pressed in between.

Everything is counted in 20 ms frames on the timeline of the call, so that the caller talks on
while the provider opens another socket.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from service.simulator.audio.codec import FRAME, RATE, Samples
from service.simulator.scenario import Scenario

KEYS_FROM, KEYS_EVERY = 25, 12
"""Keys are pressed half a second into the call, then at the pace of a quick human."""


class Mouth:
    def __init__(self, plan: Scenario) -> None:
        missing = -plan.sample.size % FRAME
        self._frames = np.pad(plan.sample, (0, missing)).reshape(-1, FRAME)
        self._loop = plan.loop and self._frames.size > 0
        self._silence = np.zeros(FRAME, np.int16)
        self._keys = deque(plan.digits)
        self._next_key = KEYS_FROM
        self.frames_planned: int | None = None
        """After how many frames the caller hangs up by himself."""
        if plan.seconds is not None:
            self.frames_planned = round(plan.seconds * RATE / FRAME)
        elif not self._loop:
            self.frames_planned = len(self._frames) + round(plan.tail * RATE / FRAME)

    def press(self, digits: str) -> None:
        self._keys.extend(digits)

    def frame(self, number: int) -> Samples:
        count = len(self._frames)
        if self._loop:
            number %= count
        frame: Samples = self._frames[number] if number < count else self._silence
        return frame

    def recording(self, length: int) -> Samples:
        """Everything that was said in the first ``length`` samples."""
        frames = [self.frame(number) for number in range(-(-length // FRAME))]
        return np.concatenate([self._silence, *frames])[FRAME : FRAME + length]

    def key(self, number: int) -> str | None:
        """The key that is pressed in this frame, if any."""
        if not self._keys or number < self._next_key:
            return None
        self._next_key = number + KEYS_EVERY
        return self._keys.popleft()
