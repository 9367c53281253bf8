"""Postgres connections on which no operation waits for ever.

A server that acknowledges every packet and never answers (a stuck backend, a proxy that has lost
its server) is covered by no TCP timeout. psycopg is imported here alone: SQLite needs none.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from service.process import turns

T = TypeVar("T")

INTERVAL = 0.1
"""Seconds between two looks at the deadline."""


class Bounded(psycopg.Connection[Any]):
    """A connection that closes itself where the server does not answer within ``seconds``."""

    seconds = 4.0

    def wait(self, gen: PQGen[T], interval: float = INTERVAL, timeout: float | None = None) -> T:
        seconds = self.seconds if timeout is None else min(timeout, self.seconds)
        with turns.waiting():
            return super().wait(self._until(gen, monotonic() + seconds), interval)

    def _until(self, gen: PQGen[T], deadline: float) -> PQGen[T]:
        """Run psycopg's generator, which is resumed every ``INTERVAL`` where nothing arrives."""
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


class Patient(Bounded):
    """The same with the bound of migrations."""

    seconds = 900.0
