"""Network faults that affect the caller's frames on their way to the server."""

from __future__ import annotations

import random
from typing import Generic, TypeVar

T = TypeVar("T")

OVERTAKEN = 0.2
"""Share of frames that arrive after their successor when frames are shuffled."""


class NetworkFaults(Generic[T]):
    """Delays, drops and reorders messages, with its own random numbers."""

    def __init__(
        self, *, jitter: float = 0.0, drop: float = 0.0, shuffle: bool = False, seed: int | None
    ) -> None:
        """``jitter`` is in seconds, ``drop`` between 0 and 1."""
        self._jitter = jitter
        self._drop = drop
        self._shuffle = shuffle
        # Reproducible, not cryptographic: nothing here is a secret.
        self._random = random.Random(seed)  # noqa: S311
        self._held: list[T] = []
        self._late = 0.0

    def delay(self, interval: float) -> float:
        """Return the delay of the next message, ``interval`` seconds after the last one.

        Messages of one TCP stream stay in order, so the delay shrinks by at most the interval.
        """
        self._late = max(self._random.uniform(0, self._jitter), self._late - interval)
        return self._late

    def deliver(self, message: T) -> list[T]:
        """Return the messages that arrive once ``message`` has been sent."""
        arriving = [] if self._random.random() < self._drop else [message]
        if self._held:
            arriving += self._held
            self._held = []
        elif self._shuffle and arriving and self._random.random() < OVERTAKEN:
            self._held = arriving
            arriving = []
        return arriving
