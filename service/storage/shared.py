"""A transaction that all reads and writes of one thread share for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection


@dataclass(slots=True)
class Shared:
    """The shared transaction of a thread, with the calls to make after its commit."""

    connection: Connection
    acts: list[Callable[[], object]] = field(default_factory=list)
    failure: BaseException | None = None

    @contextmanager
    def part(self) -> Iterator[Connection]:
        try:
            yield self.connection
        except BaseException as error:
            self.failure = self.failure or error
            raise
