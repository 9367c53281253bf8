"""Changes of rooms leave other rooms untouched, and each leg hears exactly the others."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.calls import Participant
from service.domain.wire import FRAME_SAMPLES
from service.media.audio.mixer import MixLayout
from tests.support.callers import agent, twilio
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LegClient, LiveRoomsHarness, steady
from tests.support.transports import RecordingTransport


class CountingTransport(RecordingTransport):
    """A transport that counts how often the frames of its leg were laid out."""

    def __init__(self) -> None:
        super().__init__()
        self.arranged = 0

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        self.arranged += 1
        return super().around(prefix, suffix, length)


def test_joining_or_leaving_does_not_rearrange_other_rooms(harness: LiveRoomsHarness) -> None:
    legs = []
    for number in range(40):
        caller = twilio(f"caller{number}", room=f"room-{number // 4}")
        transport = CountingTransport()
        leg = harness.live_rooms.open(caller.spec, transport)
        harness.live_rooms.message(leg, caller.start, harness.clock.monotonic())
        legs.append((leg, transport))
        harness.tick()
    newcomer = harness.join(twilio("newcomer", room="room-3"))
    harness.tick()
    newcomer.leave()
    harness.tick()
    harness.live_rooms.move(legs[0][0], "room-5", Participant("ann", "Ann", {}))
    harness.tick()
    harness.live_rooms.close(legs[20][0], None, "gone")
    harness.tick()
    assert [transport.arranged for _, transport in legs] == [1] * len(legs)
    assert {leg.frames_out for leg, _ in legs[:-1]} <= set(range(1, 45))
    assert legs[1][0].frames_out == 39 + 4


acts = st.lists(
    st.tuples(st.sampled_from("jjjlmmr"), st.integers(0, 30), st.integers(0, 5)),
    min_size=5,
    max_size=60,
)


@given(acts)
def test_each_leg_hears_exactly_the_others_after_any_changes(
    happenings: list[tuple[str, int, int]],
) -> None:
    harness = LiveRoomsHarness(FakeClock())
    names = count()
    inside: list[tuple[LegClient, int, str]] = []  # with what each says, and its room
    for act, pick, room_number in happenings:
        room = f"room-{room_number}"
        if act == "j" or not inside:
            number = next(names)
            client = harness.join(agent(f"a{number}", room=room))
            inside.append((client, 1 << number % 14, room))
        else:
            place = pick % len(inside)
            client, value, _ = inside[place]
            if act == "l":
                client.leave()
                del inside[place]
            elif act == "m":
                harness.live_rooms.move(client.leg, room, client.leg.spec.participant)
                inside[place] = (client, value, room)
            else:
                name = client.leg.spec.participant.id
                again = harness.join(agent(name, room=room, leg=f"leg-{next(names)}"))
                inside[place] = (again, value, room)
        for client, value, _ in inside:
            client.speak(steady(value))
            client.speak(steady(value))
        harness.tick()
        for client, value, _ in inside:
            client.transport.payloads.clear()
            client.speak(steady(value))
        harness.tick()
        for client, _, room in inside:
            expected = sum(
                value for other, value, there in inside if there == room and other is not client
            )
            assert set(client.heard_samples().tolist()) == {expected}


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 99)), min_size=1, max_size=40))
def test_later_rooms_are_mixed_like_the_first_ones(happenings: list[tuple[int, int]]) -> None:
    seating, free, rooms = MixLayout(), list(range(200)), []
    heard = np.zeros((200, FRAME_SAMPLES), np.int16)
    for size, pick in happenings:
        if pick % 3 == 0 and rooms:
            rows = rooms.pop(pick % len(rooms))
            seating.remove(rows)
            heard[rows] = 0
            free += rows
        else:
            rows = [free.pop(pick % len(free)) for _ in range(size)]
            seating.assign(rows)
            heard[rows] = np.arange(1, size + 1)[:, None] * (pick + 1)
            rooms.append(rows)
        mixed, _ = seating.mix(heard)
        expected = np.zeros_like(heard)
        for rows in rooms:
            expected[rows] = heard[rows].sum(axis=0) - heard[rows]
        assert (mixed == expected).all()


@pytest.mark.parametrize("left", [0, 1, 5])
def test_the_layout_shrinks_after_many_legs_have_left(harness: LiveRoomsHarness, left: int) -> None:
    clients = [
        harness.join(agent(f"a{number}", room=f"room-{number // 2}")) for number in range(300)
    ]
    harness.tick()
    for client in clients[: 300 - 2 * left]:
        client.leave()
    rest = clients[300 - 2 * left :]
    for _ in range(3):
        for client in rest:
            client.speak(steady(700))
        harness.tick()
    harness.tick()
    for client in rest:
        client.transport.payloads.clear()
        client.speak(steady(700))
    harness.tick()
    assert all(set(client.heard_samples().tolist()) == {700} for client in rest)
    assert len(harness.live_rooms.live_levels()) == 2 * left


@pytest.fixture
def harness(clock: FakeClock) -> LiveRoomsHarness:
    return LiveRoomsHarness(clock)
