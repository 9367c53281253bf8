"""Drain: a process that ends hands its calls over to the next one.

A live call is told by its provider's own markup to hold and ask again, and by then the next process
answers. So this process still answers webhooks until every call that had a socket has asked. The
database is not needed for any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Condition
from time import monotonic

from service.errors import Busy
from service.media.engine.engine import Engine
from service.process import file_descriptors
from service.settings import Settings

logger = logging.getLogger(__name__)

RESTARTING = "This server is restarting; try again in a moment."
WAITING = "This server does not have the database yet; try again in a moment."

LULL_SECONDS = 1.5
"""How long to wait for the next provider to ask. For a dead line none ever does."""

START_SECONDS = 1.0
"""The part of the first hold that is left to the next process, at least."""


class Drain:
    """Whether the process takes calls, and which calls it hands over.

    Thread-safe. ``begin`` takes no lock, so a signal handler may call it.
    """

    def __init__(self) -> None:
        self.has_begun = False
        """The process takes no more calls."""
        self.is_waiting = False
        """The process takes no calls yet, because another one serves from the database."""
        self._changed = Condition()
        self._expected: set[str] = set()

    @property
    def refusal(self) -> str | None:
        """Why the process takes no calls, or ``None`` if it does."""
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
        """Expect the providers of these calls, which lose their sockets, to ask what to do."""
        with self._changed:
            self._expected |= set(call_ids)

    def told(self, call_id: str) -> None:
        """Note that a call's provider was told to hold, or that the call is over."""
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


def hand_over(
    settings: Settings, drain: Drain, engine: Engine, release: Callable[[], object] | None = None
) -> None:
    """Close every socket with 1012, and wait until the providers have asked what to do.

    ``release`` gives the database to the next process. The wait ends shortly before the first hold
    does, and after ``DRAIN_SECONDS`` at most. With ``REATTACH`` off no provider asks: those calls
    end with their sockets. The recorder's thread still writes the ends of calls.
    """
    drain.begin()
    live = list(_phones(engine)) if settings.reattach else []
    logger.info("the process is ending: %d calls are handed over", len(live))
    drain.expect(live)
    engine.give_back()
    if release is not None:
        # The next process answers from this moment, if it has started.
        release()
    first_back = settings.hold_seconds - START_SECONDS
    if left := drain.wait(settings.drain_seconds, LULL_SECONDS, first_back):
        logger.warning("%d calls have not asked what to do now", left)


def _phones(engine: Engine) -> Iterable[str]:
    """Return the ids of the calls that have a socket, without the custom WebSockets."""
    try:
        return [leg.call_id for leg in engine.legs() if leg.provider_call_id is not None]
    except TimeoutError:
        logger.error("the media engine does not say which calls it has")
        return ()
