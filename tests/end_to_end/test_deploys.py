"""A deploy during live calls: they hold for a moment and return to their rooms."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.ports import free_port
from tests.support.servers import ACTIVATED, FORKED, PATIENCE
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")
IN_A_ROOM = 5

GIVEN_UP = "CA00000000000000000000000000000009"
"""The provider's id of a call whose caller hung up before its socket was opened."""

WITHOUT_A_SERVER = 18_000
"""Milliseconds by which the stored times are moved into the past for the next process."""


class House:
    """Calls in rooms of five, each room with its own tone."""

    def __init__(self, patchbay: Patchbay, rooms: int, retry_seconds: float = 0.0) -> None:
        self.rooms, self.calls = rooms, rooms * IN_A_ROOM
        hooks = {
            (provider, room): patchbay.webhook(provider, f"room-{room}")
            for provider in PROVIDERS
            for room in range(rooms)
        }
        self.phones = [
            Phone(
                Scenario(
                    webhook_url=hooks[PROVIDERS[number % 3], number % rooms],
                    caller=f"+1415555{number:04}",
                    sample=sound.tone(self.tone(number), 1.0),
                    loop=True,
                    retry_seconds=retry_seconds,
                )
            ).start()
            for number in range(self.calls)
        ]
        for phone in self.phones:
            phone.wait_for("first-audio")
        patchbay.eventually(lambda: len(patchbay.calls(status="answered")) == self.calls)

    def tone(self, number: int) -> float:
        """Let the last caller of a room send another tone than the others."""
        is_last = number >= self.calls - self.rooms
        return 1000.0 + 100 * (number % self.rooms) if is_last else 400.0

    def are_together(self, patchbay: Patchbay) -> None:
        """Assert that all but the last caller of each room hear its tone."""
        for number, phone in enumerate(self.phones[: self.rooms]):
            tone = 1000.0 + 100 * number
            patchbay.eventually(lambda: level(phone.heard[-RATE * 3 // 10 :], tone) > -30)  # noqa: B023

    def leave(self) -> None:
        for phone in self.phones:
            phone.hang_up()
        for phone in self.phones:
            phone.join(PATIENCE)


@pytest.fixture
def listener() -> Iterator[dict[str, str]]:
    """Settings of successive servers on one inherited socket, which stays open."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as held:
        yield {"LISTENER": str(held.fileno()), "PORT": str(held.getsockname()[1])}


def serving(
    data: Path, listener: dict[str, str], command: Sequence[str] = FORKED
) -> AbstractContextManager[Patchbay]:
    return running_patchbay(data, command=command, DRAIN_SECONDS="20", **listener)


def dead_lines(patchbay: Patchbay) -> None:
    """Make a call that hangs up before its socket, and one that sends no further webhook."""
    form = {"CallSid": GIVEN_UP, "From": "+14155550100", "To": "+14155550199"}
    with urlopen(
        patchbay.webhook("twilio", "room-1"), urlencode(form).encode(), timeout=PATIENCE
    ) as answer:
        assert b"<Stream" in answer.read()
    line = Phone(
        Scenario(webhook_url=patchbay.webhook("twilio", "room-1"), loop=True, max_redirects=0)
    )
    line.start().wait_for("first-audio")


def worker_of(patchbay: Patchbay) -> int:
    """Return the process id of gunicorn's worker."""
    patchbay.server.wait_for("Booting worker with pid: ")
    (pid,) = re.findall(r"Booting worker with pid: (\d+)", patchbay.server.output)
    return int(pid)


def make_late(data: Path) -> None:
    """Move all stored times into the past."""
    with sqlite3.connect(data / "patchbay.db") as database:
        for table, column in (
            ("calls", "detached_at"),
            ("calls", "expires_at"),
            ("refs", "expires_at"),
        ):
            database.execute(f"UPDATE {table} SET {column} = {column} - {WITHOUT_A_SERVER}")
    database.close()


def listed(patchbay: Patchbay, **filters: str) -> dict[str, dict]:
    return {call["callId"]: call for call in patchbay.calls(**filters)}


def ended_call(patchbay: Patchbay) -> str:
    """Make a call, wait for its end and return its id."""
    phone = Phone(Scenario(webhook_url=patchbay.webhook("twilio", "room-0"), loop=True)).start()
    phone.wait_for("first-audio")
    patchbay.eventually(lambda: patchbay.calls()[0]["status"] == "answered")
    phone.hang_up()
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.calls()[0]["status"] == "ended")
    return str(patchbay.calls()[0]["callId"])


def starts(call: dict) -> int:
    return [rung["event"] for rung in call["timelog"]].count("start")


def require_the_same_calls(patchbay: Patchbay, before: dict[str, dict], over: str) -> None:
    back = [2] * (len(before) - 1) + [1]
    patchbay.eventually(
        lambda: [starts(call) for call in patchbay.calls() if call["callId"] in before] == back
    )
    after = {call_id: call for call_id, call in listed(patchbay).items() if call_id in before}
    assert after.keys() == before.keys()
    assert after[over]["status"] == "ended"
    assert after[over]["timelog"] == before[over]["timelog"]
    for call_id, call in after.items():
        for same in ("participantId", "roomId", "from", "to", "start"):
            assert call[same] == before[call_id][same]


@pytest.fixture
def house_and_server(
    request: pytest.FixtureRequest, tmp_path: Path, listener: dict[str, str]
) -> Iterator[tuple[Patchbay, House, str]]:
    """Run a server with calls in this number of rooms; yield also the id of a finished call."""
    with serving(tmp_path, listener) as patchbay:
        over = ended_call(patchbay)
        house = House(patchbay, request.param)
        try:
            yield patchbay, house, over
        finally:
            house.leave()


@pytest.mark.parametrize("house_and_server", [5], indirect=True)
def test_a_deploy_returns_every_call_to_its_room(
    house_and_server: tuple[Patchbay, House, str], tmp_path: Path, listener: dict[str, str]
) -> None:
    patchbay, house, over = house_and_server
    house.are_together(patchbay)
    before = listed(patchbay)
    assert len(before) == house.calls + 1
    dead_lines(patchbay)

    assert patchbay.server.stop() == 0
    # The call without further webhooks has a socket; the one that hung up early has none.
    assert f"{house.calls + 1} calls are handed over" in patchbay.server.output
    make_late(tmp_path)
    with serving(tmp_path, listener) as successor:
        for phone in house.phones:
            phone.wait_for("start", count=2)
        house.are_together(successor)
        require_the_same_calls(successor, before, over)
        house.leave()
        successor.eventually(lambda: listed(successor, status="answered").keys().isdisjoint(before))
    assert {phone.report.ended for phone in house.phones} == {Ending.CALLER_HUNG_UP}


@pytest.mark.parametrize("house_and_server", [2], indirect=True)
def test_a_killed_worker_is_replaced_and_every_call_returns(
    house_and_server: tuple[Patchbay, House, str],
) -> None:
    patchbay, house, over = house_and_server
    before = listed(patchbay)
    os.kill(worker_of(patchbay), signal.SIGKILL)
    for phone in house.phones:
        phone.wait_for("start", count=2)
    house.are_together(patchbay)
    require_the_same_calls(patchbay, before, over)


def test_a_worker_without_its_master_passes_every_call_to_the_next_server(
    tmp_path: Path,
) -> None:
    settings = {"PORT": str(free_port()), "HOLD_SECONDS": "6", "DRAIN_SECONDS": "20"}
    with running_patchbay(tmp_path, **settings) as patchbay:
        over = ended_call(patchbay)
        # The worker closes its listener, and waits a second for each phone. On a busy machine some
        # ask later, when nothing may listen yet.
        house = House(patchbay, 1, retry_seconds=PATIENCE)
        before = listed(patchbay)
        dead_lines(patchbay)
        patchbay.server.send(signal.SIGKILL)
        # The call without further webhooks has a socket as well.
        patchbay.server.wait_for(f"{house.calls + 1} calls are handed over")
        with running_patchbay(tmp_path, **settings) as successor:
            for phone in house.phones:
                phone.wait_for("start", count=2)
            require_the_same_calls(successor, before, over)
            house.leave()
    assert {phone.report.ended for phone in house.phones} == {Ending.CALLER_HUNG_UP}


def test_a_call_during_the_drain_reaches_the_next_process(
    tmp_path: Path, listener: dict[str, str]
) -> None:
    with serving(tmp_path, listener) as patchbay:
        hook = patchbay.webhook("twilio", "room-1")
        # A call that was told to hold keeps the process running until its next request.
        waiting = Phone(Scenario(webhook_url=hook, loop=True)).start()
        waiting.wait_for("first-audio")
        patchbay.server.send(signal.SIGTERM)
        late = Phone(Scenario(webhook_url=hook, seconds=5.0)).start()
        # The listener stays open, so the next process answers the requests that this one does not.
        late.wait_for("webhook")
        assert patchbay.server.stop() == 0
    with serving(tmp_path, listener):
        late.wait_for("first-audio")
        waiting.wait_for("start", count=2)
        waiting.hang_up()
        late.join(PATIENCE)
        waiting.join(PATIENCE)
    assert late.report.ended is Ending.CALLER_HUNG_UP


def test_systemd_is_notified_of_the_start_and_may_signal_every_process(
    tmp_path: Path, listener: dict[str, str]
) -> None:
    """As ``Type=notify`` and ``KillMode=control-group`` of ``deploy/patchbay.service`` have it."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        listener["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with serving(tmp_path, listener, ACTIVATED) as patchbay:
            assert "READY=1" in manager.recv(4096).decode().splitlines()
            phone = Phone(
                Scenario(webhook_url=patchbay.webhook("twilio", "room-1"), loop=True)
            ).start()
            phone.wait_for("first-audio")
            os.kill(worker_of(patchbay), signal.SIGTERM)
            assert patchbay.server.stop() == 0
            assert "1 calls are handed over" in patchbay.server.output
        with serving(tmp_path, listener):
            phone.wait_for("start", count=2)
            phone.hang_up()
            phone.join(PATIENCE)
    assert phone.report.ended is Ending.CALLER_HUNG_UP


def test_a_server_that_starts_with_a_locked_database_holds_the_calls(
    tmp_path: Path, listener: dict[str, str]
) -> None:
    with serving(tmp_path, listener) as patchbay:
        phone = Phone(Scenario(webhook_url=patchbay.webhook("twilio", "room-1"), loop=True)).start()
        phone.wait_for("first-audio")
        assert patchbay.server.stop() == 0
    with closing(sqlite3.connect(tmp_path / "patchbay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with serving(tmp_path, listener) as successor:
            # The first server told it to hold, and then this one.
            phone.wait_for("redirect", count=3)
            other.execute("ROLLBACK")
            phone.wait_for("start", count=2)
            successor.eventually(lambda: len(successor.calls(status="answered")) == 1)
            phone.hang_up()
            phone.join(PATIENCE)
    assert phone.report.ended is Ending.CALLER_HUNG_UP
