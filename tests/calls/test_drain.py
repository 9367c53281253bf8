"""The end of a process: sockets first, and no wait for a call that has none."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from service.calls.drain import drain
from service.storage.database import Database
from tests.support import callers
from tests.support.clocks import FakeClock
from tests.support.switchboards import Desk, a_desk

RESTART = (1012).to_bytes(2, "big")
LEFT = "calls have not asked what to do now"


@pytest.fixture
def desk(clock: FakeClock) -> Iterator[Desk]:
    """Its database cannot be reached."""
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    with a_desk(database, clock) as desk:
        yield desk


def on_a_socket(desk: Desk, caller: callers.Caller) -> socket.socket:
    here, there = socket.socketpair()
    there.settimeout(30)
    desk.engine.adopt(here, caller.spec)
    return there


def close_code(sock: socket.socket) -> bytes:
    """The code of the close frame, which may come after a ping."""
    received = b""
    while b"\x88" not in received:
        received += sock.recv(100)
    return received.partition(b"\x88")[2][1:3]


def asks(desk: Desk, call_id: str, sock: socket.socket) -> None:
    """As a provider does once its socket is closed."""
    assert close_code(sock) == RESTART
    desk.switchboard.handover.told(call_id)


def test_sockets_are_closed_without_the_database_and_only_phones_are_waited_for(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ann, agent = callers.twilio("ann"), callers.agent("agent")
    with on_a_socket(desk, ann) as phone, on_a_socket(desk, agent) as program:
        thread = threading.Thread(target=drain, args=(desk.switchboard, desk.engine))
        thread.start()
        assert close_code(phone) == close_code(program) == RESTART
        desk.switchboard.handover.told(ann.spec.call_id)
        thread.join(30)
    assert not thread.is_alive()
    assert desk.switchboard.handover.has_begun
    assert LEFT not in caplog.text


def test_a_line_that_never_asks_is_given_up(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with on_a_socket(desk, callers.twilio("ann")), on_a_socket(desk, callers.plivo("bob")) as bob:
        provider = threading.Thread(target=asks, args=(desk, "call-bob", bob))
        provider.start()
        drain(desk.switchboard, desk.engine)
        provider.join(30)
    assert f"1 {LEFT}" in caplog.text


def test_nobody_is_waited_for_without_a_way_back(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    with (
        a_desk(database, clock, reattach=False) as desk,
        on_a_socket(desk, callers.twilio("ann")) as phone,
    ):
        drain(desk.switchboard, desk.engine)
        assert close_code(phone) == RESTART
    assert LEFT not in caplog.text
