"""Lists: few are read at a time, each within a time limit, and counted up to a bound.

So most of the connections are left to calls, also where lists are long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
"""Lists that are read at a time, of ten connections. Fewer connections read fewer lists."""

SLOT_SECONDS = 1
"""Seconds for which a list waits for a slot. It holds a thread meanwhile, which a webhook may need.
"""

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


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A requested page. ``key`` identifies the list with its filters; ``number`` counts from 1."""

    key: Hashable
    number: int
    per_page: int

    @property
    def first(self) -> int:
        """The number of entries before the page."""
        return (self.number - 1) * self.per_page

    @property
    def previous(self) -> PageRequest:
        return replace(self, number=self.number - 1)


class Lists:
    """The slots of lists, and the ends of pages that were read recently. Thread-safe."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._ends: dict[PageRequest, tuple[End, float]] = {}

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the slots in this block. Raises ``Busy`` if none is free in time."""
        with turns.waiting():
            is_ours = self._slots.acquire(timeout=SLOT_SECONDS)
        if not is_ours:
            raise Busy(CROWDED)
        try:
            yield
        finally:
            self._slots.release()

    def end_of(self, page: PageRequest) -> End | None:
        """Return the end of a page that was read recently, if it is kept."""
        with self._lock:
            end, until = self._ends.get(page, (None, 0.0))
        return end if time.monotonic() < until else None

    def remember(self, page: PageRequest, end: End) -> None:
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
    """Reader of the entries of a table, newest first by ``order``.

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
        page: PageRequest,
        most: int,
        elsewhere: int = 0,
    ) -> Sequence[T]:
        """Return ``most`` entries from the beginning of a page on.

        ``elsewhere`` entries of the list come before all entries that fit the ``conditions``. If
        the previous page was read recently, the page begins after its last entry, because skipping
        many entries is slow.
        """
        skipped = max(0, page.first - elsewhere)
        end = lists.end_of(page.previous) if skipped > SHALLOW else None
        seqs = select(self.table.c.seq).where(*conditions).limit(most)
        seqs = seqs.order_by(*(column.desc() for column in self.order))
        seqs = seqs.offset(skipped) if end is None else seqs.where(tuple_(*self.order) < end)
        found = self.fetch(connection, seqs)
        if skipped + page.per_page >= SHALLOW and len(found) >= page.per_page:
            last_id = found[page.per_page - 1].id
            last = select(*self.order).where(self.table.c.id == last_id)
            lists.remember(page, tuple(connection.execute(last).one()))
        return found


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
    page: PageRequest,
    count: EntryCount,
    read: Callable[[int], Sequence[T]],
    count_all: Callable[[], int],
) -> Page[T]:
    """Build a page of a list from ``read``, which returns up to a number of its entries.

    If the list was not counted to its end, one entry more than the page has is read, to find out
    whether there is a next page.
    """
    number, per_page, first = page.number, page.per_page, page.first
    if count.is_all:
        found = read(per_page) if first < count.number else ()
        return Page(tuple(found), number, per_page, count.number)
    found = read(per_page + 1) if first < BIGGEST else ()
    goes_on = len(found) > per_page
    if found or not first:
        total = first + len(found)
        total = max(count.number, total) if goes_on else total
    else:
        total = count_all()
    return Page(tuple(found[:per_page]), number, per_page, total, goes_on)
