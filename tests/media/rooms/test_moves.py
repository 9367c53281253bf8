"""Legs that go from room to room on the socket they have."""

from __future__ import annotations

import queue
from dataclasses import replace

import numpy as np
import pytest

from service.domain.calls import Participant
from service.domain.wire import FRAME_SAMPLES
from service.media.audio import g711
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.reports import LegMoved, LegStarted, Report
from tests.support.callers import ROOM, Caller, agent, compact, twilio
from tests.support.clocks import FakeClock
from tests.support.lines import ListLine

OTHER = "zzzz-zzzz-zzzz"


class Hall:
    """An exchange, and who is on it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.exchange = LiveRooms(self.clock, self.reports.put)
        self.ears: dict[str, ListLine] = {}
        self.callers: dict[str, Caller] = {}

    def adopt(self, caller: Caller) -> Leg:
        name = caller.spec.participant.id
        self.ears[name], self.callers[name] = ListLine(), caller
        return self.exchange.open(caller.spec, self.ears[name])

    def join(self, caller: Caller) -> Leg:
        leg = self.adopt(caller)
        self.exchange.message(leg, caller.start, self.clock.monotonic())
        return leg

    def speak(self, leg: Leg, value: int) -> None:
        caller = self.callers[leg.spec.participant.id]
        payload = g711.encode(np.full(FRAME_SAMPLES, value, np.int16), caller.inbound)
        self.exchange.message(leg, caller.media(payload), self.clock.monotonic())

    def tick(self) -> None:
        self.exchange.tick(self.clock.monotonic())
        self.clock.advance(0.02)

    def loudest(self, name: str) -> int:
        """The loudest sample of the last frame that was heard."""
        heard = self.ears[name].heard[-1]
        return int(np.abs(g711.decode(heard, self.callers[name].outbound).astype(int)).max())

    def news(self, name: str) -> list[tuple[str, str]]:
        """Events since the last call, and whom or which room they are about."""
        return [
            (said["event"], said.get("participant", {}).get("id") or said.get("roomId"))
            for said in self.ears[name].news()
        ]

    def told(self) -> list[Report]:
        told = []
        while not self.reports.empty():
            told.append(self.reports.get())
        return told


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_both_rooms_and_a_custom_socket_are_told_and_a_phone_is_not(hall: Hall) -> None:
    for caller in (agent("ann"), agent("zoe", room=OTHER), twilio("tom")):
        hall.join(caller)
    mover = hall.join(agent("bob"))
    phone = hall.exchange.leg("call-tom")
    for name in ("ann", "bob", "zoe", "tom"):
        hall.news(name)

    hall.exchange.move(mover, OTHER, mover.spec.participant)
    assert hall.news("ann") == [("participant-left", "bob")]
    assert hall.news("zoe") == [("participant-joined", "bob")]
    assert hall.news("bob") == [("meeting-joined", OTHER), ("participant-joined", "zoe")]

    hall.exchange.move(phone, OTHER, phone.spec.participant)
    assert hall.news("ann") == [("participant-left", "tom")]
    assert hall.news("bob") == [("participant-joined", "tom")]
    assert hall.news("tom") == []


def test_a_move_is_reported_with_the_session_of_the_new_room(hall: Hall) -> None:
    hall.join(agent("zoe", room=OTHER, session="5e55"))
    mover = hall.join(agent("bob"))
    hall.told()
    hall.exchange.move(mover, OTHER, replace(mover.spec.participant, id="rob"))
    [report] = hall.told()
    assert report == LegMoved("call-bob", "bob-leg-1", OTHER, "rob", "5e55", hall.clock.now())


def test_who_is_there_already_is_reported_and_left_alone(hall: Hall) -> None:
    hall.join(agent("ann"))
    mover = hall.join(agent("bob"))
    hall.told()
    hall.news("ann")
    hall.exchange.move(mover, ROOM, mover.spec.participant)
    assert [type(report) for report in hall.told()] == [LegMoved]
    assert hall.news("ann") == []


def test_the_mover_hears_the_new_room_in_the_very_next_frame_and_never_the_old(hall: Hall) -> None:
    ann, zoe, mover = (
        hall.join(each) for each in (agent("ann"), agent("zoe", room=OTHER), agent("bob"))
    )
    for turn in range(10):
        if turn == 5:
            hall.exchange.move(mover, OTHER, mover.spec.participant)
        for leg, value in ((ann, 1_000), (zoe, 5_000), (mover, 9_000)):
            hall.speak(leg, value)
        hall.tick()
        if turn == 4:
            assert (hall.loudest("bob"), hall.loudest("ann"), hall.loudest("zoe")) == (
                1_000,
                9_000,
                0,
            )
        if turn > 4:
            assert (hall.loudest("bob"), hall.loudest("ann"), hall.loudest("zoe")) == (
                5_000,
                0,
                9_000,
            )
    assert len(hall.ears["bob"].heard) == 10


def test_a_leg_that_has_not_started_starts_in_the_new_room(hall: Hall) -> None:
    hall.join(agent("ann"))
    hall.news("ann")
    caller = twilio("tom")
    leg = hall.adopt(caller)
    hall.told()
    hall.exchange.move(leg, OTHER, Participant("tim", "Tim"))
    assert hall.told() == []
    hall.exchange.message(leg, caller.start, hall.clock.monotonic())
    assert hall.news("ann") == []
    assert [type(report) for report in hall.told()] == [LegStarted]
    assert (leg.spec.room_id, leg.spec.participant.id) == (OTHER, "tim")


def test_a_namesake_in_the_new_room_makes_way(hall: Hall) -> None:
    hall.join(agent("zoe", room=OTHER))
    mover = hall.join(agent("bob"))
    hall.exchange.move(mover, OTHER, replace(mover.spec.participant, id="zoe"))
    assert hall.ears["zoe"].closed is not None
    assert hall.exchange.leg("call-zoe") is None
    assert len(hall.exchange) == 1


def test_another_participant_id_in_the_same_room_keeps_the_session(hall: Hall) -> None:
    mover = hall.join(agent("bob"))
    [started] = hall.told()
    hall.exchange.move(mover, ROOM, replace(mover.spec.participant, id="rob"))
    [moved] = hall.told()
    assert isinstance(started, LegStarted)
    assert isinstance(moved, LegMoved)
    assert moved.session_id == started.session_id


def test_topics_come_along(hall: Hall) -> None:
    zoe = hall.join(agent("zoe", room=OTHER))
    mover = hall.join(agent("bob"))
    now = hall.clock.monotonic()
    hall.exchange.message(mover, compact({"event": "subscribe", "topic": "CHAT"}), now)
    hall.exchange.move(mover, OTHER, mover.spec.participant)
    hall.news("bob")
    hall.exchange.message(zoe, compact({"event": "message", "topic": "CHAT", "data": "hi"}), now)
    assert [event for event, _ in hall.news("bob")] == ["message"]
