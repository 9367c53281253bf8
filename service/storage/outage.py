"""Outages of the database: one transaction at a time asks whether it is back, the others fail fast.

If each waited, they would hold every thread until none was left to tell a caller busy, or a health
check that the process is alive.
"""

from __future__ import annotations

import logging
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


class Watch:
    """A transaction while it is watched. No generator: each transaction has two."""

    __slots__ = ("_asks", "_outage", "begun")

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._asks = False
        self.begun = False

    def begin(self) -> None:
        """Note that the transaction has begun: the database answers, so others need not wait."""
        self.begun = True
        self._succeed()

    def __enter__(self) -> Watch:
        self._asks = self._outage.is_on
        if self._asks and not self._outage.asking.acquire(blocking=False):
            raise Busy(AWAY)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self._succeed()
            return
        self._release()
        if isinstance(error, SQLAlchemyError):
            found = fault(error, begun=self.begun)
            if found is Fault.CONTENDED:
                raise Contended(CONTENDED) from error
            if found is self._outage.kind:
                self._outage.begin(error)
                raise Busy(AWAY) from error

    def _succeed(self) -> None:
        if self._outage.is_on:
            self._outage.end()
        self._release()

    def _release(self) -> None:
        if self._asks:
            self._asks = False
            self._outage.asking.release()


class Outage:
    """One kind of fault that outlasts a transaction. Thread-safe."""

    def __init__(self, kind: Fault = Fault.AWAY) -> None:
        self.kind = kind
        self.is_on = False
        self.asking = Lock()

    def watched(self) -> Watch:
        """Run a transaction in here: after such a fault, the outage lasts until one succeeds.

        Raises ``Busy`` for the fault, or because somebody is asking already; and ``Contended``
        where this transaction alone is refused. Other errors pass.
        """
        return Watch(self)

    def begin(self, error: SQLAlchemyError) -> None:
        is_news, self.is_on = not self.is_on, True
        if is_news:
            # No traceback: writing one takes longer than a tick and tells nothing more.
            logger.error("%s: %s", SAID[self.kind][0], str(error).partition("\n")[0])

    def end(self) -> None:
        logger.info(SAID[self.kind][1])
        self.is_on = False
