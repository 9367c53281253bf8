"""Waits of request threads that give the turn to another request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.clock import SystemClock
from service.errors import BadGateway
from service.http_client.client import HttpClient
from service.http_client.messages import HttpRequest
from service.process import turns
from service.process.turns import GRACE, Turn
from service.storage.database import Database

PATIENCE = 20


def is_waiting(turn: Turn) -> bool:
    since = turn.waiting_since
    return since is not None and not turn.is_running(since + 2 * GRACE)


@contextmanager
def acting(act: Callable[[], object]) -> Iterator[Turn]:
    """A thread that works with a turn of its own."""
    turn = Turn()

    def run() -> None:
        with turns.taken(turn):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield turn
    finally:
        thread.join(PATIENCE)


def require_waiting(turn: Turn) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE * 100):
        if is_waiting(turn):
            return
        pause.wait(0.01)
    raise AssertionError("it does not say that it waits")


def test_short_wait_keeps_the_turn() -> None:
    turn = Turn()
    with turns.taken(turn), turns.waiting():
        since = turn.waiting_since
        assert since is not None
        assert turn.is_running(since)
        assert not turn.is_running(since + 2 * GRACE)
    assert turn.is_running(since + 100)


def test_nested_wait_does_not_end_the_outer_one() -> None:
    turn = Turn()
    with turns.taken(turn), turns.waiting():
        with turns.waiting():
            pass
        assert turn.waiting_since is not None
    assert turn.waiting_since is None


def test_waiting_has_no_effect_outside_a_request() -> None:
    with turns.waiting():
        turns.begin()
        turns.end()


def test_outgoing_request_is_a_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with acting(lambda: ask(url)) as turn:
            require_waiting(turn)
            server.accept()[0].close()
    assert turn.waiting_since is None


def ask(url: str) -> None:
    with suppress(BadGateway):
        HttpClient(SystemClock()).send(HttpRequest("GET", url))


def test_database_lock_is_a_wait(database: Database) -> None:
    def write() -> None:
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    with ExitStack() as stack, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        turn = stack.enter_context(acting(write))
        require_waiting(turn)
    assert turn.waiting_since is None


def test_statement_on_sqlite_is_a_wait_that_ends(sqlite_database: Database) -> None:
    seen: list[bool] = []
    turn = Turn()
    with turns.taken(turn), sqlite_database.read() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.create_function("look", 0, lambda: seen.append(turn.waiting_since is not None))
        connection.execute(text("SELECT look()"))
        seen.append(turn.waiting_since is not None)
        with suppress(OperationalError):
            connection.execute(text("SELECT look(), no_such_column"))
        seen.append(turn.waiting_since is not None)
    assert seen == [True, False, False]
