"""The handing over of calls to the next process, once this one has been told to end."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Condition
from time import monotonic

from service.errors import Busy
from service.process import file_descriptors

RESTARTING = "This server is restarting; try again in a moment."
WAITING = "This server does not have the database yet; try again in a moment."


class Drain:
    """Thread-safe. ``begin`` takes no lock, so that a signal handler may call it."""

    def __init__(self) -> None:
        self.has_begun = False
        """Whether the process takes no new calls any more."""
        self.is_waiting = False
        """Whether the process takes no calls yet, because another serves from the database."""
        self._changed = Condition()
        self._expected: set[str] = set()

    @property
    def refusal(self) -> str | None:
        """Why the process takes no calls; ``None`` where it takes them."""
        if self.has_begun:
            return RESTARTING
        return WAITING if self.is_waiting else None

    def require_open(self) -> None:
        """Raise ``Busy`` where the process takes no calls."""
        if self.refusal is not None:
            raise Busy(self.refusal)
        if file_descriptors.is_short():
            raise Busy(file_descriptors.SHORT)

    def begin(self) -> None:
        self.has_begun = True

    def expect(self, call_ids: Iterable[str]) -> None:
        """These calls lose their sockets now, and their providers are going to ask what to do."""
        with self._changed:
            self._expected |= set(call_ids)

    def told(self, call_id: str) -> None:
        """The provider has asked and was told to ask again later; or the call is over."""
        with self._changed:
            self._expected.discard(call_id)
            self._changed.notify_all()

    def wait(
        self, seconds: float, lull: float | None = None, after_first: float | None = None
    ) -> int:
        """Wait until all have asked, ``seconds`` at most. Returns how many have not.

        Stop earlier after ``lull`` seconds in which none has asked, and ``after_first`` seconds
        after the first.
        """
        deadline, has_asked = monotonic() + seconds, False
        with self._changed:
            while self._expected:
                before, left = len(self._expected), deadline - monotonic()
                self._changed.wait_for(
                    lambda: len(self._expected) < before,  # noqa: B023 - called before it changes
                    left if lull is None else min(left, lull),
                )
                if len(self._expected) == before:
                    break
                if not has_asked and after_first is not None:
                    deadline = min(deadline, monotonic() + after_first)
                has_asked = True
            return len(self._expected)
