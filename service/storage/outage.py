"""A database that is away: one at a time asks whether it is back, and nobody else waits for it.

Each that waited would hold a thread for as long as it takes to give up, until there was none left
to say busy to a caller, or to tell a health check that the process is alive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from service.errors import Busy

logger = logging.getLogger(__name__)

AWAY = "The database is away; try again in a moment."


class Outage:
    """Thread-safe."""

    def __init__(self) -> None:
        self._is_away = False
        self._asking = Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Begin a transaction in here: where that fails, the database is away until it succeeds.

        Raises ``Busy``, from what the driver says of it, or because somebody is asking already.
        """
        asks = self._is_away
        if asks and not self._asking.acquire(blocking=False):
            raise Busy(AWAY)
        try:
            yield
        except SQLAlchemyError as error:
            is_news, self._is_away = not self._is_away, True
            if is_news:
                # No trace: to write one takes longer than a tick, and it would say no more.
                logger.error("the database is away: %s", str(error).partition("\n")[0])
            raise Busy(AWAY) from error
        else:
            if self._is_away:
                logger.info("the database is back")
            self._is_away = False
        finally:
            if asks:
                self._asking.release()
