"""Whether the process takes calls, and which of its calls the next process has yet to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Condition
from time import monotonic

from service.errors import Busy
from service.process import file_descriptors

RESTARTING = "This server is restarting; try again in a moment."
WAITING = "This server does not have the database yet; try again in a moment."
NOT_SHARED = (
    "another server has it, and this one waits until it has ended: servers on several machines "
    "share a database if each machine has a NODE_URL"
)


class ServingState:
    """A process serves, waits for the database of another process, or drains.

    Thread-safe. ``begin_drain`` takes no lock, so a signal handler may call it.
    """

    def __init__(self, serves_elsewhere: Callable[[], bool] = lambda: False) -> None:
        """``serves_elsewhere`` tells whether another node takes the calls of one that drains."""
        self._serves_elsewhere = serves_elsewhere
        self.is_draining = False
        """The process ends, and keeps no calls."""
        self.is_waiting = False
        """The process takes no calls yet, because another one serves from the database."""
        self.waits_for = NOT_SHARED
        """The reason why it waits."""
        self._changed = Condition()
        self._expected: set[str] = set()

    @property
    def refusal(self) -> str | None:
        """The reason why the process takes no calls, or ``None`` if it does.

        While it drains it takes them for another node, if one serves.
        """
        if self.is_draining:
            return None if not self.is_waiting and self._has_successor() else RESTARTING
        return WAITING if self.is_waiting else None

    def require_open(self) -> None:
        """Raise ``Busy`` where the process takes no calls."""
        if self.refusal is not None:
            raise Busy(self.refusal)
        if file_descriptors.is_short():
            raise Busy(file_descriptors.SHORT)

    def begin_drain(self) -> None:
        self.is_draining = True

    def expect(self, call_ids: Iterable[str]) -> None:
        """Expect the providers of these calls, which lose their sockets, to request markup."""
        with self._changed:
            self._expected |= set(call_ids)

    def expect_no_more(self, call_id: str) -> None:
        """Note that a call's provider has been told to hold, or that the call is over."""
        with self._changed:
            self._expected.discard(call_id)
            self._changed.notify_all()

    def wait(
        self, seconds: float, lull: float | None = None, after_first: float | None = None
    ) -> int:
        """Wait until all providers have asked, ``seconds`` at most. Return how many have not.

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

    def _has_successor(self) -> bool:
        try:
            return self._serves_elsewhere()
        except Busy:
            # Without the database no other node can take a call either.
            return False
