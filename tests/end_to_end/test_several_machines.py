"""Three machines share the rooms of one database, and calls outlive each of them.

The tests are steps of one timeline, with the same calls throughout.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from time import monotonic
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from service.cli.node_probe import examine_nodes
from service.clock import SystemClock
from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from service.storage.database import Database
from tests.support.machines import (
    Fleet,
    Machine,
    Rooms,
    closes,
    count,
    hears,
    running_machines,
)
from tests.support.servers import PATIENCE, serving

ROOMS = 6
AT_ONCE = 60
AWAY_SECONDS = 12
"""Longer than a heartbeat is valid."""
FRAMES = 50
"""Frames in a second."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, postgres: Callable[[], str]) -> Iterator[Fleet]:
    with running_machines(tmp_path_factory.mktemp("machines"), postgres()) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def rooms(fleet: Fleet) -> Rooms:
    return Rooms(fleet, ROOMS)


def test_rooms_are_shared_out_and_sockets_reach_their_machine(fleet: Fleet, rooms: Rooms) -> None:
    rooms.hear_each_other()
    rooms.have_one_node_each(*fleet.machines)
    for machine in fleet.machines:
        placed = rooms.on(machine)
        assert placed
        for phones in placed.values():
            for phone in phones:
                origins = [event.detail for event in phone.events if event.name == "connecting"]
                assert origins == [machine.url.replace("http:", "ws:")]


def test_a_machine_without_an_address_does_not_serve_beside_them(
    fleet: Fleet, tmp_path: Path
) -> None:
    database = fleet.machines[0].database_url
    with serving(tmp_path, DATABASE_URL=database) as server:
        server.wait_for("NODE_URL")
    assert len(fleet.nodes()) == len(fleet.machines)


def test_doctor_and_every_health_page_reach_all_nodes(fleet: Fleet) -> None:
    nodes = fleet.nodes()
    database = Database(fleet.machines[0].database_url)

    def doctor_reaches_all() -> bool:
        lines, problems = examine_nodes(database, "secret" * 8, SystemClock())
        assert {f"{node} ({url})" for node, url in nodes.items()} <= set(lines)
        return problems == []

    def page_reaches_all(machine: Machine) -> bool:
        _, answer = machine.patchbay.ask("GET", "/console/api/health")
        return {each["node"] for each in answer["data"]["nodes"] if each["process"]} == nodes.keys()

    try:
        fleet.eventually(doctor_reaches_all)
    finally:
        database.close()
    for machine in fleet.machines:
        fleet.eventually(lambda machine=machine: page_reaches_all(machine))


def test_many_first_webhooks_of_a_room_at_once_choose_one_node(fleet: Fleet) -> None:
    room = f"room-{token_hex(4)}"
    hook = fleet.connect("twilio", room, has_credentials=False)

    def ring(number: int) -> bool:
        form = {"CallSid": f"CA{number:032}", "From": "+14155550100", "To": "+14155550199"}
        deadline = monotonic() + PATIENCE
        # On a busy machine a caller may be told to hold, because others are admitted first.
        while monotonic() < deadline:
            with urlopen(hook, urlencode(form).encode(), timeout=PATIENCE) as answer:
                if b"<Stream" in answer.read():
                    return True
        return False

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ring, range(AT_ONCE)))
        rows = fleet.query("SELECT id, node_id FROM calls WHERE room_id = :room", room=room)
        assert len(rows) == AT_ONCE
        assert len({row.node_id for row in rows}) == 1
        ended = pool.map(
            lambda row: fleet.patchbay.ask("POST", "/v2/sip/call/end", {"callId": row.id}), rows
        )
        assert {status for status, _ in ended} == {200}


def test_every_machine_shows_and_ends_the_calls_of_all(fleet: Fleet, rooms: Rooms) -> None:
    calls = rooms.calls()

    def shows_audio(machine: Machine) -> bool:
        return all(machine.patchbay.call(call_id)["stats"].get("framesIn", 0) for call_id in calls)

    for machine in fleet.machines:
        fleet.eventually(lambda machine=machine: shows_audio(machine))
    for home, asked in zip(fleet.machines, fleet.machines[1:], strict=False):
        phone = fleet.dial(next(iter(rooms.on(home))), 3000.0, "twilio", has_credentials=False)
        phone.wait_for("first-audio", timeout=PATIENCE)
        found = "SELECT id FROM calls WHERE provider_call_id = :id"
        (row,) = fleet.query(found, id=phone.call_id)
        assert asked.patchbay.ask("POST", "/v2/sip/call/end", {"callId": row.id})[0] == 200
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.SERVER_HUNG_UP


def test_a_call_moves_to_a_room_on_another_machine_and_back(fleet: Fleet, rooms: Rooms) -> None:
    one, other, *_ = (rooms.on(machine) for machine in fleet.machines)
    home, (moved, *_) = next(iter(one.items()))
    target = next(iter(other))
    (call_id,) = (
        row.id
        for row in fleet.query(
            "SELECT id FROM calls WHERE provider_call_id = :id", id=moved.call_id
        )
    )
    for number, (room, expected) in enumerate(((target, other), (home, one)), start=2):
        order = {"callId": call_id, "roomId": room}
        assert fleet.patchbay.ask("POST", "/v2/sip/call/switch-room", order)[0] == 200
        moved.wait_for("start", count=number, timeout=PATIENCE)
        tone, _ = rooms.callers[room][-1]
        fleet.eventually(lambda tone=tone: hears(moved, tone))
        assert room in expected
    assert closes(moved) == ["1012", "1012"]
    rooms.hear_each_other()


def test_without_the_database_calls_go_on_and_no_room_changes_hands(
    fleet: Fleet, rooms: Rooms
) -> None:
    hook = fleet.connect("plivo", f"room-{token_hex(4)}", has_credentials=False)
    # Rooms of earlier tests are empty, and lose their leases at any time.
    before = {room: leases(fleet)[room] for room in rooms.names}
    starts = {phone: count(phone, "start") for phone in rooms.phones}
    for machine in fleet.machines:
        machine.database.cut()
    heard = {phone: phone.report.frames_heard for phone in rooms.phones}
    late = Phone(Scenario(webhook_url=hook, sample=sound.tone(0.0, 0.02))).start()
    late.join(PATIENCE)
    assert late.report.ended is Ending.BUSY
    for phone, frames in heard.items():
        fleet.eventually(
            lambda phone=phone, frames=frames: (
                phone.report.frames_heard - frames >= AWAY_SECONDS * FRAMES
            )
        )
    for machine in fleet.machines:
        machine.database.mend()
    for machine in fleet.machines:
        fleet.eventually(lambda machine=machine: machine.patchbay.ask("GET", "/readyz")[0] == 200)
    rooms.have_one_node_each(*fleet.machines)
    assert leases(fleet).items() >= before.items()
    assert {phone: count(phone, "start") for phone in rooms.phones} == starts


def leases(fleet: Fleet) -> dict[str, tuple[str, int]]:
    """Return node and epoch of each room."""
    rows = fleet.query("SELECT room_id, node_id, epoch FROM room_leases")
    return {row.room_id: (row.node_id, row.epoch) for row in rows}


def test_calls_of_a_killed_node_go_on_elsewhere(fleet: Fleet, rooms: Rooms) -> None:
    machine = fleet.machines[0]
    before, lost = rooms.calls(), callers_on(rooms, machine)
    starts = {phone: count(phone, "start") for phone in rooms.phones}
    (worker,) = machine.workers()
    os.kill(worker, signal.SIGKILL)
    for phone in lost:
        phone.wait_for("start", count=starts[phone] + 1, timeout=PATIENCE)
    rooms.hear_each_other()
    assert rooms.calls() == before
    # Nobody else has noticed.
    assert all(
        count(phone, "start") == starts[phone] for phone in rooms.phones if phone not in lost
    )
    fleet.eventually(lambda: set(fleet.nodes().values()) == {each.url for each in fleet.machines})


def test_a_stopped_machine_and_one_without_database_hand_their_calls_over(
    fleet: Fleet, rooms: Rooms
) -> None:
    stopped, cut, *_ = (each for each in fleet.machines if rooms.on(each))
    before, cut_off = rooms.calls(), nodes_of(fleet, cut)
    on_stopped, on_cut = callers_on(rooms, stopped), callers_on(rooms, cut)
    signed = [phone for phone in on_stopped if phone.scenario.signing_key]
    unsigned = [phone for phone in on_stopped if phone not in signed]
    closed = {phone: count(phone, "closed") for phone in rooms.phones}
    stopped.freeze()
    cut.database.stall()
    fleet.eventually(lambda: any(count(phone, "closed") > closed[phone] for phone in on_cut))
    # They went on until another node has taken them over.
    assert not cut_off & fleet.nodes().keys()
    redirected = {phone.call_id for phone in signed}
    fleet.eventually(lambda: {call_id for call_id, _ in fleet.api.redirected} >= redirected)
    # Nobody could end the calls of connectors without credentials.
    assert all(count(phone, "closed") == closed[phone] for phone in unsigned)
    stopped.thaw()
    for phone in (*on_stopped, *on_cut):
        # One more than the sockets that were closed before, and the one that was open then.
        phone.wait_for("start", count=closed[phone] + 2, timeout=PATIENCE)
    cut.database.resume()
    assert all(closes(phone)[closed[phone]] == "1012" for phone in unsigned)
    fleet.eventually(lambda: set(fleet.nodes().values()) == {each.url for each in fleet.machines})
    rooms.hear_each_other()
    assert rooms.calls() == before
    rooms.have_one_node_each(*fleet.machines)


def nodes_of(fleet: Fleet, machine: Machine) -> set[str]:
    return {node_id for node_id, url in fleet.nodes().items() if url == machine.url}


def callers_on(rooms: Rooms, machine: Machine) -> list[Phone]:
    return [phone for phones in rooms.on(machine).values() for phone in phones]


def holds(phone: Phone) -> int:
    """Return how often the caller was told to wait and ask again."""
    return sum(event.name == "markup" and "Pause" in (event.detail or "") for event in phone.events)


def test_a_roll_out_of_all_machines_loses_no_call(fleet: Fleet, rooms: Rooms) -> None:
    before, pauses = rooms.calls(), {phone: holds(phone) for phone in rooms.phones}
    for machine in fleet.machines:
        machine.server.stop()
        machine.start()
        machine.listens()
        fleet.eventually(
            lambda: set(fleet.nodes().values()) == {each.url for each in fleet.machines}
        )
        rooms.calls()
    rooms.hear_each_other()
    assert rooms.calls() == before
    # The other machines answer at once. A busy one may be too slow for that now and then.
    assert any(holds(phone) == pauses[phone] for phone in rooms.phones)
    rooms.have_one_node_each(*fleet.machines)
    for phone in rooms.phones:
        phone.hang_up()
    for phone in rooms.phones:
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.CALLER_HUNG_UP
