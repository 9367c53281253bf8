"""Outages of the database: one transaction at a time asks whether it is back, the others fail fast.

If each waited, they would hold every thread until none was left to tell a caller busy, or a health
check that the process is alive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from service.errors import Busy, Contended
from service.storage.faults import Fault, fault

logger = logging.getLogger(__name__)

AWAY = "The database is away; try again in a moment."
CONTENDED = "Too many wait for the database; try again in a moment."

SAID = {
    Fault.AWAY: ("the database is away", "the database is back"),
    Fault.UNWRITABLE: ("the database takes no writes", "the database takes writes again"),
}


class Attempt:
    """A transaction while it is watched."""

    def __init__(self, succeed: Callable[[], None]) -> None:
        self.begun = False
        self._succeed = succeed

    def begin(self) -> None:
        """It has begun, so the database answers: nobody need wait for the rest of it."""
        self.begun = True
        self._succeed()


class Outage:
    """One kind of fault that outlasts a transaction. Thread-safe."""

    def __init__(self, kind: Fault = Fault.AWAY) -> None:
        self._kind = kind
        self._is_on = False
        self._asking = Lock()

    @contextmanager
    def watched(self) -> Iterator[Attempt]:
        """Run a transaction in here: after such a fault, the outage lasts until one succeeds.

        Raises ``Busy`` for the fault, or because somebody is asking already; and ``Contended``
        where this transaction alone is refused. Other errors pass.
        """
        with ExitStack() as held:
            if self._is_on:
                if not self._asking.acquire(blocking=False):
                    raise Busy(AWAY)
                held.callback(self._asking.release)
            attempt = Attempt(lambda: self._end(held))
            try:
                yield attempt
            except SQLAlchemyError as error:
                found = fault(error, begun=attempt.begun)
                if found is Fault.CONTENDED:
                    raise Contended(CONTENDED) from error
                if found is self._kind:
                    self._begin(error)
                    raise Busy(AWAY) from error
                raise
            self._end(held)

    def _begin(self, error: SQLAlchemyError) -> None:
        is_news, self._is_on = not self._is_on, True
        if is_news:
            # No trace: to write one takes longer than a tick, and it would say no more.
            logger.error("%s: %s", SAID[self._kind][0], str(error).partition("\n")[0])

    def _end(self, held: ExitStack) -> None:
        if self._is_on:
            logger.info(SAID[self._kind][1])
        self._is_on = False
        held.close()
