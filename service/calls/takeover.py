"""The takeover: a process that starts takes the database and its calls over from the last one."""

from __future__ import annotations

from service.calls.deadlines import Deadlines
from service.calls.timekeeper import Timekeeper
from service.cluster.keeper import Keeper
from service.storage.calls.calls import Calls
from service.storage.database import Database
from service.storage.stored_secrets import StoredSecrets


class Takeover:
    """For the recorder's thread alone."""

    def __init__(
        self,
        database: Database,
        keeper: Keeper,
        timekeeper: Timekeeper,
        deadlines: Deadlines,
        calls: Calls,
        secrets: StoredSecrets,
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._timekeeper = timekeeper
        self._deadlines = deadlines
        self._calls = calls
        self._secrets = secrets

    def attempt(self) -> bool:
        """Bring the database to the current schema, take its lease, and take over its calls.

        Returns false where another machine has the lease. Raises ``Busy``.
        """
        self._database.migrate()
        if not self._keeper.join():
            return False
        self._timekeeper.begin()
        self._deadlines.begin()
        self._keeper.take_over()
        self._secrets.begin(calls_are_up=self._calls.live() > 0)
        return True
