"""Two workers of one machine: rooms are shared between them, and calls outlive a worker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import NullPool, create_engine, text

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.running_nodes import private_folder
from tests.support.servers import GUNICORN, PATIENCE
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")
ROOMS = 4
AT_ONCE = 64
TWO = {"WEB_CONCURRENCY": "2", "MAX_CALLS": "400"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def machine(data: Path) -> Iterator[Patchbay]:
    """A server with two workers for all tests, which each end what they begin."""
    with running_patchbay(data, **TWO) as patchbay:
        patchbay.eventually(lambda: len(nodes(patchbay)) == 2)
        yield patchbay


@pytest.fixture
def room() -> str:
    return f"room-{token_hex(4)}"


Dial = Callable[..., Phone]


@pytest.fixture
def dial() -> Iterator[Dial]:
    phones: list[Phone] = []

    def dial(patchbay: Patchbay, room: str, frequency: float, provider: str = "twilio") -> Phone:
        plan = Scenario(
            webhook_url=patchbay.webhook(provider, room),
            sample=sound.tone(frequency, 1.0),
            loop=True,
        )
        phones.append(Phone(plan).start())
        return phones[-1]

    yield dial
    for phone in phones:
        phone.hang_up()
    for phone in phones:
        phone.join(PATIENCE)


def metrics(patchbay: Patchbay) -> dict[str, float]:
    request = Request(f"{patchbay.url}/metrics", headers={"Authorization": patchbay.token})
    with urlopen(request, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def by_node(patchbay: Patchbay, name: str) -> dict[str, float]:
    """Return a metric of each node."""
    found = {}
    for sample, value in metrics(patchbay).items():
        match = re.fullmatch(rf'{name}{{node="([^"]+)"}}', sample)
        if match:
            found[match[1]] = value
    return found


def nodes(patchbay: Patchbay) -> set[str]:
    """Return the nodes whose engine answers."""
    return {node for node, up in by_node(patchbay, "patchbay_engine_up").items() if up}


def workers(patchbay: Patchbay) -> list[int]:
    """Return the process ids of the workers that were started and still run, oldest first."""
    started = re.findall(r"Booting worker with pid: (\d+)", patchbay.server.output)
    return [int(pid) for pid in started if Path(f"/proc/{pid}").exists()]


def hears(patchbay: Patchbay, phone: Phone, frequency: float) -> None:
    """Return when the last 300 ms that the caller heard were this tone."""
    patchbay.eventually(lambda: level(phone.heard[-RATE * 3 // 10 :], frequency) > -20)


def count(phone: Phone, name: str) -> int:
    return [event.name for event in phone.events].count(name)


def answered(patchbay: Patchbay, room: str) -> str:
    """Return the id of the only call in a room, once it is answered."""
    calls: list[dict] = []

    def is_answered() -> bool:
        calls[:] = patchbay.calls(roomId=room, status="answered")
        return len(calls) == 1

    patchbay.eventually(is_answered)
    return str(calls[0]["callId"])


class Pairs:
    """Two callers in each of several rooms, of changing providers and with tones of their own."""

    def __init__(self, patchbay: Patchbay, dial: Dial) -> None:
        self.patchbay = patchbay
        self.rooms = [f"room-{token_hex(4)}" for _ in range(ROOMS)]
        self.pairs = [
            (
                dial(patchbay, room, 500.0 + 50 * number, PROVIDERS[number % 3]),
                dial(patchbay, room, 1200.0 + 50 * number, PROVIDERS[(number + 1) % 3]),
            )
            for number, room in enumerate(self.rooms)
        ]
        for phone in self.phones:
            phone.wait_for("first-audio", timeout=PATIENCE)

    @property
    def phones(self) -> list[Phone]:
        return [phone for pair in self.pairs for phone in pair]

    def hear_each_other(self) -> None:
        for number, (one, other) in enumerate(self.pairs):
            hears(self.patchbay, one, 1200.0 + 50 * number)
            hears(self.patchbay, other, 500.0 + 50 * number)

    def calls(self) -> dict[str, dict]:
        """Return the calls of the rooms, by id, once all of them are answered."""
        listed: dict[str, dict] = {}

        def all_answered() -> bool:
            listed.clear()
            for room in self.rooms:
                for call in self.patchbay.calls(roomId=room, status="answered"):
                    listed[call["callId"]] = call
            return len(listed) == len(self.phones)

        self.patchbay.eventually(all_answered)
        return dict(listed)

    def are_back(self, before: dict[str, dict]) -> None:
        """Wait until every call has a new socket, and compare the calls with those before."""
        for phone in self.phones:
            phone.wait_for("start", count=2, timeout=PATIENCE)
        self.hear_each_other()
        after = self.calls()
        assert after.keys() == before.keys()
        for call_id, call in after.items():
            for same in ("participantId", "sessionId", "roomId", "from", "to", "start"):
                assert call[same] == before[call_id][same]


def test_callers_of_one_room_hear_each_other_whichever_worker_they_reach(
    machine: Patchbay, dial: Dial
) -> None:
    pairs = Pairs(machine, dial)
    pairs.hear_each_other()

    def are_spread() -> bool:
        legs = by_node(machine, "patchbay_legs").values()
        return len(legs) == 2 and all(legs) and sum(legs) == len(pairs.phones)

    machine.eventually(are_spread)


def test_any_worker_ends_and_moves_a_call(machine: Patchbay, dial: Dial, room: str) -> None:
    rooms = [f"{room}-{number}" for number in range(4)]
    others = [dial(machine, name, 600.0 + 100 * number) for number, name in enumerate(rooms)]
    moved = dial(machine, room, 440)
    call_id = answered(machine, room)
    for number, (name, other) in enumerate(zip(rooms, others, strict=True)):
        order = {"callId": call_id, "roomId": name}
        assert machine.ask("POST", "/v2/sip/call/switch-room", order)[0] == 200
        hears(machine, moved, 600.0 + 100 * number)
        hears(machine, other, 440)
    assert machine.ask("POST", "/v2/sip/call/end", {"callId": call_id})[0] == 200
    for name in rooms:
        order = {"callId": answered(machine, name)}
        assert machine.ask("POST", "/v2/sip/call/end", order)[0] == 200
    for phone in (*others, moved):
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.SERVER_HUNG_UP


def test_every_worker_shows_the_statistics_of_every_call(
    machine: Patchbay, dial: Dial, room: str
) -> None:
    for number in range(4):
        dial(machine, f"{room}-{number}", 440)
    calls = [answered(machine, f"{room}-{number}") for number in range(4)]
    for _ in range(5):
        assert all(machine.call(call_id)["stats"]["framesIn"] for call_id in calls)


def test_agents_and_callers_meet_in_one_room(machine: Patchbay, dial: Dial, room: str) -> None:
    for number in range(4):
        name = f"{room}-{number}"
        phone = dial(machine, name, 440)
        phone.wait_for("first-audio")
        with Agent(machine.invite(name)["wsUrl"], sound.tone(1300, 1.0)) as agent:
            agent.wait_for("participant-joined")
            hears(machine, phone, 1300)


def test_metrics_are_the_sum_of_the_workers(machine: Patchbay, dial: Dial, room: str) -> None:
    name = 'patchbay_webhook_answer_seconds_count{outcome="answered",provider="telnyx"}'
    ended = 'patchbay_calls_ended_total{provider="telnyx",reason="caller-hung-up"}'
    before = metrics(machine)
    phones = [dial(machine, f"{room}-{number}", 440, "telnyx") for number in range(8)]
    for phone in phones:
        phone.wait_for("first-audio")
        phone.hang_up()
    for phone in phones:
        phone.join(PATIENCE)
    machine.eventually(lambda: metrics(machine)[ended] == before[ended] + len(phones))
    # Each worker answers the same.
    assert {metrics(machine)[ended] for _ in range(8)} == {before[ended] + len(phones)}
    assert metrics(machine)[name] >= before[name] + len(phones)
    # A worker that is too busy to answer in time is left out.
    machine.eventually(lambda: len(by_node(machine, "process_cpu_seconds_total")) == 2)


def test_lines_of_the_log_name_their_node(machine: Patchbay, dial: Dial, room: str) -> None:
    dial(machine, room, 440).wait_for("first-audio")
    machine.server.wait_for("leg joined its room")
    joined = [line for line in machine.server.output.splitlines() if "leg joined" in line]
    named = {re.search(r"node=(\S+)", line)[1] for line in joined}
    machine.eventually(lambda: named <= nodes(machine))


def test_many_first_webhooks_of_a_room_at_once_choose_one_node(
    machine: Patchbay, data: Path, room: str
) -> None:
    hook = machine.webhook("twilio", room)

    def ring(number: int) -> bool:
        form = {"CallSid": f"CA{number:032}", "From": "+14155550100", "To": "+14155550199"}
        with urlopen(hook, urlencode(form).encode(), timeout=PATIENCE) as answer:
            return b"<Stream" in answer.read()

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ring, range(AT_ONCE)))
    with closing(sqlite3.connect(data / "patchbay.db")) as database:
        rows = database.execute(
            "SELECT node_id, count(*) FROM calls WHERE room_id = ? GROUP BY node_id", (room,)
        ).fetchall()
    assert [calls for _, calls in rows] == [AT_ONCE]
    for call in machine.calls(roomId=room):
        machine.ask("POST", "/v2/sip/call/end", {"callId": call["callId"]})


def test_a_reload_replaces_the_workers_without_a_pause(machine: Patchbay, dial: Dial) -> None:
    pairs = Pairs(machine, dial)
    before, old = pairs.calls(), workers(machine)
    assert len(old) == 2
    machine.server.send(signal.SIGHUP)
    pairs.are_back(before)
    machine.eventually(lambda: len(workers(machine)) == 2 and not set(old) & set(workers(machine)))
    for phone in pairs.phones:
        # A caller that was told to hold would have asked once more.
        assert count(phone, "redirect") == count(phone, "start") - 1


def test_a_worker_can_be_added_and_removed(machine: Patchbay, dial: Dial) -> None:
    pairs = Pairs(machine, dial)
    machine.server.send(signal.SIGTTIN)
    machine.eventually(lambda: len(nodes(machine)) == 3)
    machine.server.send(signal.SIGTTOU)
    machine.eventually(lambda: len(nodes(machine)) == 2)
    pairs.hear_each_other()


def test_calls_of_a_killed_worker_go_on_in_the_other(machine: Patchbay, dial: Dial) -> None:
    pairs = Pairs(machine, dial)
    before = pairs.calls()
    owners = {
        phone: [event.name for event in phone.events].count("start") for phone in pairs.phones
    }
    killed, _ = workers(machine)
    os.kill(killed, signal.SIGKILL)
    machine.eventually(lambda: any(count(phone, "closed") for phone in pairs.phones))
    for phone in pairs.phones:
        if count(phone, "closed"):
            phone.wait_for("start", count=owners[phone] + 1, timeout=PATIENCE)
    pairs.hear_each_other()
    assert pairs.calls().keys() == before.keys()
    machine.eventually(lambda: len(nodes(machine)) == 2)


def test_a_caller_holds_while_the_node_of_its_room_does_not_answer(
    machine: Patchbay, dial: Dial, data: Path, room: str
) -> None:
    first = dial(machine, room, 500.0)
    answered(machine, room)
    with closing(sqlite3.connect(data / "patchbay.db")) as database:
        (owner,) = database.execute(
            "SELECT pid FROM nodes JOIN room_leases ON node_id = id WHERE room_id = ?", (room,)
        ).fetchone()
    os.kill(owner, signal.SIGSTOP)
    try:
        late = dial(machine, room, 1200.0)
        machine.eventually(lambda: any("Pause" in (event.detail or "") for event in late.events))
    finally:
        os.kill(owner, signal.SIGCONT)
    hears(machine, late, 500.0)
    hears(machine, first, 1200.0)


def connections(url: str, name: str) -> int:
    """Return how many connections with an application's name Postgres has."""
    named = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.scalar(named, {"name": name}) or 0)


def test_two_workers_share_rooms_and_few_connections_on_postgres(
    tmp_path: Path, postgres: Callable[[], str], dial: Dial
) -> None:
    url, name = postgres(), f"few-{token_hex(4)}"
    three = {"WEB_CONCURRENCY": "3", "DATABASE_CONNECTIONS": "5"}
    with running_patchbay(
        tmp_path, DATABASE_URL=f"{url}&application_name={name}", **three
    ) as patchbay:
        patchbay.server.wait_for("2 workers are started instead of 3")
        patchbay.eventually(lambda: len(nodes(patchbay)) == 2)
        pairs = Pairs(patchbay, dial)
        pairs.hear_each_other()
        before = pairs.calls()
        assert 2 <= connections(url, name) <= 4
        patchbay.server.send(signal.SIGHUP)
        pairs.are_back(before)
        for phone in pairs.phones:
            phone.hang_up()
            phone.join(PATIENCE)


def test_the_folder_of_the_workers_is_removed_at_the_end(tmp_path: Path) -> None:
    with (
        private_folder() as temporary,
        running_patchbay(tmp_path, command=GUNICORN, TMPDIR=str(temporary), **TWO) as patchbay,
    ):
        (folder,) = temporary.glob("patchbay-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert patchbay.server.stop() == 0
        assert not folder.exists()


def test_a_worker_is_replaced_although_the_folder_was_removed(tmp_path: Path) -> None:
    with (
        private_folder() as temporary,
        running_patchbay(tmp_path, TMPDIR=str(temporary), **TWO) as patchbay,
    ):
        patchbay.eventually(lambda: len(nodes(patchbay)) == 2)
        (folder,) = temporary.glob("patchbay-*")
        shutil.rmtree(folder)
        killed, _ = workers(patchbay)
        os.kill(killed, signal.SIGKILL)
        patchbay.server.wait_for("was removed and is made again")
        # A worker that serves has its socket in the new folder.
        patchbay.eventually(lambda: any(folder.glob("nd_*.sock")))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(workers(patchbay)) == 2
