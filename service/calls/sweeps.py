"""The sweeps of each second: the clock, the deadlines and the secrets that are re-encrypted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from service.calls.deadlines import Deadlines, SessionDeadlines
from service.calls.timekeeper import Timekeeper
from service.cluster.keeper import Keeper
from service.errors import Busy, Contended
from service.storage.stored_secrets import StoredSecrets

logger = logging.getLogger(__name__)

DEADLINES = "the deadlines could not be looked at"
SECRETS = "secrets could not be sealed anew"


class Sweeps:
    """For the recorder's thread alone. A sweep that fails does not stop the others."""

    def __init__(
        self,
        keeper: Keeper,
        timekeeper: Timekeeper,
        deadlines: Deadlines,
        session_deadlines: SessionDeadlines,
        secrets: StoredSecrets,
    ) -> None:
        self._keeper = keeper
        self._timekeeper = timekeeper
        self._deadlines = deadlines
        self._session_deadlines = session_deadlines
        self._secrets = secrets

    def run(self) -> None:
        """Run every sweep, unless the database was left to the next process, with the calls."""
        if not self._keeper.holds:
            return
        self._try(DEADLINES, self._follow_time)
        if not self._try(DEADLINES, self._deadlines.sweep):
            self._deadlines.interrupt()
        self._try(DEADLINES, self._session_deadlines.sweep)
        self._try(SECRETS, self._secrets.sweep)

    def interrupt(self) -> None:
        """Note that no sweep runs because the database is away."""
        self._deadlines.interrupt()

    def finish(self) -> None:
        """Complete the work that cannot be left to the next process."""
        self._try(SECRETS, self._secrets.finish)

    def _follow_time(self) -> None:
        if self._timekeeper.follow():
            # They were stored by another time.
            self._deadlines.begin()

    def _try(self, failure: str, sweep: Callable[[], object]) -> bool:
        """Return false where the database is away."""
        try:
            sweep()
        except Contended as error:
            logger.warning("%s: %s", failure, error.message)
        except Busy as error:
            logger.warning("%s: %s", failure, error.message)
            return False
        except Exception:
            logger.exception("%s", failure)
        return True
