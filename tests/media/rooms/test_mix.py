"""Rooms that change: nobody in another room is touched, and everybody hears exactly the others."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.calls import Participant
from service.domain.wire import FRAME_SAMPLES
from service.media.audio.mixer import MixLayout
from tests.support.callers import agent, twilio
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, Party, steady
from tests.support.lines import ListLine


class Asked(ListLine):
    """A line that counts how often a leg was arranged on it."""

    def __init__(self) -> None:
        super().__init__()
        self.arranged = 0

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        self.arranged += 1
        return super().around(prefix, suffix, length)


def test_joining_or_leaving_rearranges_no_other_room(hall: Hall) -> None:
    legs = []
    for number in range(40):
        caller = twilio(f"caller{number}", room=f"room-{number // 4}")
        line = Asked()
        leg = hall.exchange.open(caller.spec, line)
        hall.exchange.message(leg, caller.start, hall.clock.monotonic())
        legs.append((leg, line))
        hall.tick()
    newcomer = hall.join(twilio("newcomer", room="room-3"))
    hall.tick()
    newcomer.leave()
    hall.tick()
    hall.exchange.move(legs[0][0], "room-5", Participant("ann", "Ann", {}))
    hall.tick()
    hall.exchange.close(legs[20][0], None, "gone")
    hall.tick()
    assert [line.arranged for _, line in legs] == [1] * len(legs)
    assert {leg.frames_out for leg, _ in legs[:-1]} <= set(range(1, 45))
    assert legs[1][0].frames_out == 39 + 4


acts = st.lists(
    st.tuples(st.sampled_from("jjjlmmr"), st.integers(0, 30), st.integers(0, 5)),
    min_size=5,
    max_size=60,
)


@settings(max_examples=60)
@given(acts)
def test_everybody_hears_exactly_the_others_however_rooms_change(
    happenings: list[tuple[str, int, int]],
) -> None:
    hall = Hall(FakeClock())
    names = count()
    inside: list[tuple[Party, int, str]] = []  # with what each says, and its room
    for act, pick, room_number in happenings:
        room = f"room-{room_number}"
        if act == "j" or not inside:
            number = next(names)
            party = hall.join(agent(f"a{number}", room=room))
            inside.append((party, 1 << number % 14, room))
        else:
            place = pick % len(inside)
            party, value, _ = inside[place]
            if act == "l":
                party.leave()
                del inside[place]
            elif act == "m":
                hall.exchange.move(party.leg, room, party.leg.spec.participant)
                inside[place] = (party, value, room)
            else:
                name = party.leg.spec.participant.id
                again = hall.join(agent(name, room=room, leg=f"leg-{next(names)}"))
                inside[place] = (again, value, room)
        for party, value, _ in inside:
            party.speak(steady(value))
            party.speak(steady(value))
        hall.tick()
        for party, value, _ in inside:
            party.ear.heard.clear()
            party.speak(steady(value))
        hall.tick()
        for party, _, room in inside:
            expected = sum(
                value for other, value, there in inside if there == room and other is not party
            )
            assert set(party.listened().tolist()) == {expected}


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 99)), min_size=1, max_size=40))
def test_rooms_added_later_are_mixed_like_the_first_ones(happenings: list[tuple[int, int]]) -> None:
    seating, free, rooms = MixLayout(), list(range(200)), []
    heard = np.zeros((200, FRAME_SAMPLES), np.int16)
    for size, pick in happenings:
        if pick % 3 == 0 and rooms:
            rows = rooms.pop(pick % len(rooms))
            seating.unseat(rows)
            heard[rows] = 0
            free += rows
        else:
            rows = [free.pop(pick % len(free)) for _ in range(size)]
            seating.seat(rows)
            heard[rows] = np.arange(1, size + 1)[:, None] * (pick + 1)
            rooms.append(rows)
        mixed, _ = seating.mix(heard)
        expected = np.zeros_like(heard)
        for rows in rooms:
            expected[rows] = heard[rows].sum(axis=0) - heard[rows]
        assert (mixed == expected).all()


@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_house_that_has_emptied_goes_on_in_few_rows(hall: Hall, left: int) -> None:
    parties = [hall.join(agent(f"a{number}", room=f"room-{number // 2}")) for number in range(300)]
    hall.tick()
    for party in parties[: 300 - 2 * left]:
        party.leave()
    rest = parties[300 - 2 * left :]
    for _ in range(3):
        for party in rest:
            party.speak(steady(700))
        hall.tick()
    hall.tick()
    for party in rest:
        party.ear.heard.clear()
        party.speak(steady(700))
    hall.tick()
    assert all(set(party.listened().tolist()) == {700} for party in rest)
    assert len(hall.exchange.live_levels()) == 2 * left


@pytest.fixture
def hall(clock: FakeClock) -> Hall:
    return Hall(clock)
