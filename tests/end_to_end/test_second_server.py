"""Two servers on one database: the second waits, and takes over when the first has ended."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.calls.serving_state import NOT_SHARED
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE

WAITS = "another server has it"


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the common settings of servers on one database."""
    if request.param == "sqlite":
        return {}
    return {"DATABASE_URL": request.getfixturevalue("postgres")()}


@pytest.fixture
def first(tmp_path: Path, settings: dict[str, str]) -> Iterator[Patchbay]:
    with running_patchbay(tmp_path, **settings) as patchbay:
        yield patchbay


@pytest.fixture
def phone(first: Patchbay) -> Iterator[Phone]:
    """Call a room of the first server."""
    phone = Phone(Scenario(webhook_url=first.webhook("twilio", "lobby"), loop=True)).start()
    phone.wait_for("first-audio")
    first.eventually(lambda: len(first.calls(status="answered")) == 1)
    yield phone
    phone.hang_up()
    phone.join(PATIENCE)


def readiness(patchbay: Patchbay) -> tuple[int, str]:
    status, answer = patchbay.ask("GET", "/readyz")
    return status, answer["checks"]["database"]


def starts(patchbay: Patchbay) -> list[int]:
    """Return how often each live call has started."""
    return [
        [rung["event"] for rung in call["timelog"]].count("start")
        for call in patchbay.calls(status="answered")
    ]


def at(patchbay: Patchbay, url: str) -> str:
    """Return the URL of one server with the address of another."""
    return patchbay.url + urlsplit(url).path


def test_a_second_server_waits_and_its_changes_reach_the_first(
    first: Patchbay, phone: Phone, tmp_path: Path, settings: dict[str, str]
) -> None:
    with running_patchbay(tmp_path, **settings) as second:
        second.server.wait_for(WAITS)
        assert readiness(second) == (503, NOT_SHARED)
        assert readiness(first) == (200, "ok")
        # It has taken over no call, and accepts no new one.
        (call,) = first.calls(status="answered")
        assert [rung["event"] for rung in call["timelog"]].count("socket-lost") == 0
        asked = Phone(Scenario(webhook_url=at(second, first.webhook("twilio", "lobby")), seconds=1))
        asked.start().wait_for("webhook")
        asked.hang_up()
        asked.join(PATIENCE)
        assert len(first.calls()) == 1

        # The socket is the first server's, which compares its sockets with the database.
        status, _ = second.ask("POST", "/v2/sip/call/end", {"callId": call["callId"]})
        assert status == 200
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.SERVER_HUNG_UP

        first.server.stop()
        second.eventually(lambda: readiness(second) == (200, "ok"))
        with second.calling("lobby") as new:
            new.wait_for("first-audio")


def test_the_second_of_two_servers_on_one_listener_continues_the_calls_of_the_first(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as held:
        shared = {"LISTENER": str(held.fileno()), "PORT": str(held.getsockname()[1])}
        with running_patchbay(tmp_path, **settings, **shared) as first:
            phone = Phone(Scenario(webhook_url=first.webhook("twilio", "lobby"), loop=True)).start()
            phone.wait_for("first-audio")
            with running_patchbay(tmp_path, **settings, **shared) as second:
                second.server.wait_for(WAITS)
                assert first.server.stop() == 0
                phone.wait_for("start", count=2)
                second.eventually(lambda: readiness(second) == (200, "ok"))
                second.eventually(lambda: starts(second) == [2])
                phone.hang_up()
                phone.join(PATIENCE)
    assert phone.report.ended is Ending.CALLER_HUNG_UP


def test_a_killed_server_is_replaced_at_once(
    first: Patchbay, phone: Phone, tmp_path: Path, settings: dict[str, str]
) -> None:
    worker = re.search(r"Booting worker with pid: (\d+)", first.server.output)
    assert worker
    first.server.send(signal.SIGKILL)
    os.kill(int(worker[1]), signal.SIGKILL)
    phone.join(PATIENCE)
    with running_patchbay(tmp_path, **settings) as second:
        assert readiness(second) == (200, "ok")
        assert WAITS not in second.server.output
        assert len(second.calls(status="answered")) == 1
