"""Postgres connections on which every operation has a timeout.

No TCP timeout covers a server that acknowledges every packet and never answers: a stuck backend, or
a proxy that has lost its server. psycopg is imported in this module only: SQLite needs none.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from service.process import turns

T = TypeVar("T")

INTERVAL = 0.1
"""Interval in seconds between two checks of the deadline."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes itself if the server does not answer within ``seconds``."""

    seconds = 4.0

    def wait(self, gen: PQGen[T], interval: float = INTERVAL, timeout: float | None = None) -> T:
        seconds = self.seconds if timeout is None else min(timeout, self.seconds)
        with turns.waiting():
            return super().wait(self._until(gen, monotonic() + seconds), interval)

    def _until(self, gen: PQGen[T], deadline: float) -> PQGen[T]:
        """Run psycopg's generator, which is resumed every ``INTERVAL`` while nothing arrives."""
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send((yield wanted))
                if monotonic() >= deadline:
                    break
        except StopIteration as done:
            result: T = done.value
            return result
        # The outcome of the statement is unknown, so the connection cannot be used again.
        self.pgconn.finish()
        raise psycopg.OperationalError("the server does not answer")


class MigrationConnection(BoundedConnection):
    """A connection with the longer timeout of migrations."""

    seconds = 900.0
