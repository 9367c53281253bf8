"""Lists: few are read at a time, each within a time limit, and counted up to a bound.

So most of the connections are left to calls, also where lists are long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, func, select, tuple_
from sqlalchemy.exc import DBAPIError

from service.domain.paging import Page
from service.errors import Busy
from service.process import turns


class Entry(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Entry)

AT_ONCE = 3
"""Lists that are read at a time."""

TURN_SECONDS = 1
"""How long a list waits for its turn: meanwhile it holds a thread that a webhook may need."""

STATEMENT_SECONDS = 2
"""Time limit of one statement of a list."""

COUNTED = 10_000
"""Entries of a list that are counted. If there are more, its total says so."""

SHALLOW = 1_000
"""Entries that are skipped one by one. Later pages begin at the end of the page before."""

REMEMBERED = 1_000
REMEMBERED_SECONDS = 60
"""Ends of pages that are kept, and for how long: enough for a client to request the next page."""

BIGGEST = 2**62
"""Entries that are skipped at most: a page number may exceed the integers of a database."""

LONG = "The list takes too long to read; narrow it down by a filter or a shorter time."
CROWDED = "Too many lists are being read; try again in a moment."

PROGRESS = 10_000
"""Steps of SQLite's virtual machine between two checks of the time."""

End = tuple[int, ...]
"""The end of a page: the values by which its last entry is ordered."""


class Lists:
    """Thread-safe."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._ends: dict[Hashable, tuple[End, float]] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of the turns in this block. Raises ``Busy`` if none is free in time."""
        with turns.waiting():
            is_ours = self._turns.acquire(timeout=TURN_SECONDS)
        if not is_ours:
            raise Busy(CROWDED)
        try:
            yield
        finally:
            self._turns.release()

    def end_of(self, page: Hashable) -> End | None:
        """Return the end of a page that was read recently, if it is kept."""
        with self._lock:
            end, until = self._ends.get(page, (None, 0.0))
        return end if time.monotonic() < until else None

    def remember(self, page: Hashable, end: End) -> None:
        with self._lock:
            self._ends.pop(page, None)
            self._ends[page] = (end, time.monotonic() + REMEMBERED_SECONDS)
            if len(self._ends) > REMEMBERED:
                del self._ends[next(iter(self._ends))]


@contextmanager
def bounded(connection: Connection) -> Iterator[None]:
    """Interrupt a statement on this connection that takes longer than ``STATEMENT_SECONDS``.

    Raises ``Busy`` then.
    """
    driver: Any = connection.connection.driver_connection
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        end = time.monotonic() + STATEMENT_SECONDS
        driver.set_progress_handler(lambda: time.monotonic() > end, PROGRESS)
    else:
        # Compiling a plan takes longer than any of these queries.
        limit = round(STATEMENT_SECONDS * 1000)
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit}; SET LOCAL jit = off")
    try:
        yield
    except DBAPIError as error:
        if _is_interrupted(error):
            raise Busy(LONG) from error
        raise
    finally:
        if is_sqlite:
            driver.set_progress_handler(None, 0)


def _is_interrupted(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    return code in ("57014", "SQLITE_INTERRUPT")


@dataclass(frozen=True, slots=True)
class Newest(Generic[T]):
    """How the entries of a table are read, newest first by ``order``.

    ``fetch`` returns the entries whose ``seq`` a query selects; each has the ``id`` of its row.
    """

    table: Table
    order: tuple[Column[Any], ...]
    fetch: Callable[[Connection, Select[Any]], Sequence[T]]

    def read(
        self,
        lists: Lists,
        connection: Connection,
        conditions: Sequence[ColumnElement[bool]],
        place: Place,
    ) -> Sequence[T]:
        """Return the entries at a place.

        A page that follows one which was read recently begins at the end of that one, which is
        found at once at any depth.
        """
        end = lists.end_of((place.key, place.number - 1)) if place.first > SHALLOW else None
        seqs = select(self.table.c.seq).where(*conditions).limit(place.most)
        seqs = seqs.order_by(*(column.desc() for column in self.order))
        seqs = seqs.offset(place.first) if end is None else seqs.where(tuple_(*self.order) < end)
        found = self.fetch(connection, seqs)
        if place.first + place.per_page >= SHALLOW and len(found) >= place.per_page:
            last_id = found[place.per_page - 1].id
            last = select(*self.order).where(self.table.c.id == last_id)
            lists.remember((place.key, place.number), tuple(connection.execute(last).one()))
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list. ``key`` identifies the list with its filters.

    Page ``number`` begins ``first`` entries from the start; ``most`` entries are wanted.
    """

    key: Hashable
    number: int
    per_page: int
    first: int
    most: int


@dataclass(frozen=True, slots=True)
class EntryCount:
    """The number of entries of a list; a lower bound unless ``is_all``."""

    number: int
    is_all: bool


def counted(connection: Connection, entries: Select[Any]) -> EntryCount:
    """Count entries up to ``COUNTED``."""
    found = counted_all(connection, entries.limit(COUNTED + 1))
    return EntryCount(min(found, COUNTED), found <= COUNTED)


def counted_all(connection: Connection, entries: Select[Any]) -> int:
    return connection.execute(select(func.count()).select_from(entries.subquery())).scalar_one()


def page_of(
    number: int,
    per_page: int,
    count: EntryCount,
    read: Callable[[int, int], Sequence[T]],
    count_all: Callable[[], int],
) -> Page[T]:
    """Build a page of a list from ``read``, which returns a number of entries from a place on.

    If the list was not counted to its end, one entry more than the page has is read: it tells
    whether there is a next page.
    """
    first = (number - 1) * per_page
    if count.is_all:
        found = read(first, per_page) if first < count.number else ()
        return Page(tuple(found), number, per_page, count.number)
    found = read(first, per_page + 1) if first < BIGGEST else ()
    goes_on = len(found) > per_page
    if found or not first:
        total = first + len(found)
        total = max(count.number, total) if goes_on else total
    else:
        total = count_all()
    return Page(tuple(found[:per_page]), number, per_page, total, goes_on)
