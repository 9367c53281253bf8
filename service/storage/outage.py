"""Outages of the database: one transaction at a time tries it, and the others fail fast.

If each of them waited, they would hold every thread, and no caller could be told that the service
is busy, nor a health check that the process is alive.
"""

from __future__ import annotations

import logging
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from service.errors import Busy, Contended
from service.storage.database_faults import Fault, fault

logger = logging.getLogger(__name__)

AWAY = "The database is away; try again in a moment."
CONTENDED = "Too many wait for the database; try again in a moment."

SAID = {
    Fault.AWAY: ("the database is away", "the database is back"),
    Fault.UNWRITABLE: ("the database takes no writes", "the database takes writes again"),
}


class WatchedTransaction:
    """Watch one transaction. Each transaction has two of these, so this is no generator."""

    __slots__ = ("_asks", "_outage", "begun")

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._asks = False
        self.begun = False

    def begin(self) -> None:
        """Note that the transaction has begun: the database answers, and other transactions need
        not wait.
        """
        self.begun = True
        self._succeed()

    def __enter__(self) -> WatchedTransaction:
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
    """The outage caused by one kind of fault. Thread-safe."""

    def __init__(self, kind: Fault = Fault.AWAY) -> None:
        self.kind = kind
        self.is_on = False
        self.asking = Lock()

    def watched(self) -> WatchedTransaction:
        """Run a transaction in this block. After such a fault, the outage lasts until one succeeds.

        Raises ``Busy`` for the fault, or while another transaction tries; and ``Contended`` if only
        this transaction is refused. Other errors pass.
        """
        return WatchedTransaction(self)

    def begin(self, error: SQLAlchemyError) -> None:
        is_news, self.is_on = not self.is_on, True
        if is_news:
            # No traceback: writing one takes longer than a tick and adds nothing.
            logger.error("%s: %s", SAID[self.kind][0], str(error).partition("\n")[0])

    def end(self) -> None:
        logger.info(SAID[self.kind][1])
        self.is_on = False
