"""The tap: every recorded call sample by sample, at the ticks at which the room has heard it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.calls import Participant
from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.tap import BLOCK_TICKS, Block, Tap, Track
from tests.support.callers import ROOM, Caller, agent, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import PERIOD, LegClient, LiveRoomsHarness, steady

FIRST = 1_000


class Sink:
    """Accepts ``room`` more blocks, and keeps the samples of each track by tick."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.blocks: list[Block] = []
        self.ticks: dict[str, dict[int, NDArray[np.int16]]] = defaultdict(dict)

    def __call__(self, block: Block) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.blocks.append(block)
        for part, (track, _) in enumerate(block.parts):
            tick, payload = block.payload(part)
            frames = g711.decode(payload, block.encoding).reshape(-1, FRAME_SAMPLES)
            assert len(frames)
            for number, frame in enumerate(frames, tick):
                assert number not in self.ticks[track]
                self.ticks[track][number] = frame
        return True


class TappedRooms(LiveRoomsHarness):
    """Live rooms whose ticks are numbered from ``FIRST`` on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.sink, self.faults, self.number = Sink(), FaultLog(), FIRST
        self.tap = Tap(self.sink)
        self.live_rooms = LiveRooms(clock, self.reports.put, self.faults, self.tap)

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.live_rooms.tick(self.clock.monotonic(), self.number)
            self.number += 1
            self.clock.advance(PERIOD)

    def say(self, client: LegClient, value: int) -> None:
        client.speak(steady(value))

    def record(self, caller: Caller, room: str = ROOM, track: str = "t1") -> None:
        self.tap.record(Track(track, caller.spec.call_id, room))


@pytest.fixture
def rooms(clock: FakeClock) -> TappedRooms:
    return TappedRooms(clock)


def test_nothing_is_copied_unless_it_is_recorded(rooms: TappedRooms) -> None:
    client = rooms.join(agent("ann"))
    rooms.say(client, 500)
    rooms.tick(100)
    assert rooms.sink.blocks == []


def test_a_block_is_handed_over_each_second(rooms: TappedRooms) -> None:
    rooms.join(agent("ann"))
    rooms.record(agent("ann"))
    rooms.tick(BLOCK_TICKS - 1)
    assert rooms.sink.blocks == []
    rooms.tick()
    (block,) = rooms.sink.blocks
    assert (block.tick, block.parts) == (FIRST, (("t1", 0),))
    assert block.codes.shape == (1, BLOCK_TICKS, 2 * FRAME_SAMPLES)


def test_the_end_of_a_track_hands_over_the_rest(rooms: TappedRooms) -> None:
    rooms.join(agent("ann"))
    rooms.record(agent("ann"))
    rooms.tick(7)
    rooms.tap.stop("t1")
    assert list(rooms.sink.ticks["t1"]) == list(range(FIRST, FIRST + 7))
    rooms.tap.stop("t1")
    rooms.tick(60)
    assert len(rooms.sink.blocks) == 1
    assert not rooms.tap


@pytest.mark.parametrize("caller", [twilio("ann"), telnyx("ann"), agent("ann")])
def test_each_tick_has_the_samples_that_the_room_has_heard(
    rooms: TappedRooms, caller: Caller
) -> None:
    client = rooms.join(caller)
    listener = rooms.join(agent("listener"))
    rooms.record(caller)
    random = np.random.default_rng(5)
    for _ in range(120):
        client.speak(random.integers(-9000, 9000, FRAME_SAMPLES).astype(np.int16))
        rooms.tick()
    rooms.tap.stop("t1")
    recorded = np.concatenate([frame for _, frame in sorted(rooms.sink.ticks["t1"].items())])
    assert recorded.size == 120 * FRAME_SAMPLES
    heard = listener.heard_samples().astype(np.int16)
    assert heard.any()
    # Frames that the jitter buffer has blended are rounded to the encoding; all others are exact.
    coded = g711.decode(g711.encode(heard, caller.inbound), caller.inbound)
    assert (recorded == coded).all()
    assert (coded == heard).mean() > 0.9 or caller.inbound is Encoding.ALAW


def test_the_end_of_a_track_leaves_the_audio_of_the_others(rooms: TappedRooms) -> None:
    names = ("ann", "bob", "cid")
    clients = [rooms.join(agent(name)) for name in names]
    for name in names:
        rooms.record(agent(name), track=name)
    for number in range(30):
        for value, client in enumerate(clients, 1):
            rooms.say(client, 100 * value)
        if number == 20:
            rooms.tap.stop("ann")
        rooms.tick()
    for name in names[1:]:
        rooms.tap.stop(name)
    for value, (name, ticks) in enumerate(zip(names, (20, 30, 30), strict=True), 1):
        frames = rooms.sink.ticks[name]
        assert sorted(frames) == list(range(FIRST, FIRST + ticks))
        # The first frames are faded in.
        assert {int(frame[-1]) for tick, frame in frames.items() if tick > FIRST + 5} == {
            100 * value
        }


def test_a_call_that_comes_back_goes_on_in_the_same_track(rooms: TappedRooms) -> None:
    caller = twilio("ann")
    client = rooms.join(caller)
    rooms.record(caller)
    rooms.tick(10)
    client.leave()
    rooms.tick(5)
    rooms.join(twilio("ann", leg="leg-2"))
    rooms.tick(5)
    rooms.tap.stop("t1")
    heard = [*range(FIRST, FIRST + 10), *range(FIRST + 15, FIRST + 20)]
    assert sorted(rooms.sink.ticks["t1"]) == heard


def test_a_call_that_comes_back_with_another_encoding_goes_on(rooms: TappedRooms) -> None:
    rooms.join(twilio("ann"))
    rooms.record(twilio("ann"))
    rooms.tick(10)
    rooms.join(agent("ann", leg="leg-2"))
    rooms.tick(10)
    rooms.tap.stop("t1")
    assert sorted(rooms.sink.ticks["t1"]) == list(range(FIRST, FIRST + 20))
    encodings = [block.encoding for block in rooms.sink.blocks]
    assert encodings == [Encoding.MULAW, Encoding.LINEAR]


def test_what_is_said_in_another_room_is_not_recorded(rooms: TappedRooms) -> None:
    caller = agent("ann")
    client = rooms.join(caller)
    rooms.record(caller)
    rooms.tick(10)
    participant = Participant("ann", "Ann", {})
    rooms.live_rooms.move(client.leg, "other", participant)
    rooms.tick(10)
    rooms.live_rooms.move(client.leg, ROOM, participant)
    rooms.tick(10)
    rooms.tap.stop("t1")
    heard = [*range(FIRST, FIRST + 10), *range(FIRST + 20, FIRST + 30)]
    assert sorted(rooms.sink.ticks["t1"]) == heard


def test_skipped_ticks_are_in_no_block(rooms: TappedRooms) -> None:
    rooms.join(agent("ann"))
    rooms.record(agent("ann"))
    rooms.tick(10)
    rooms.number += 30
    rooms.tick(10)
    rooms.tap.stop("t1")
    heard = [*range(FIRST, FIRST + 10), *range(FIRST + 40, FIRST + 50)]
    assert sorted(rooms.sink.ticks["t1"]) == heard


def test_a_block_that_is_not_taken_ends_its_tracks_only(rooms: TappedRooms) -> None:
    for name, caller in (("ann", agent("ann")), ("bob", twilio("bob"))):
        rooms.join(caller)
        rooms.record(caller, track=name)
    rooms.sink.room = 1
    rooms.tick(BLOCK_TICKS)
    (kept,) = rooms.sink.ticks
    (lost,) = {"ann", "bob"} - {kept}
    assert rooms.tap.lost() == [lost]
    assert rooms.tap.lost() == []
    assert lost not in rooms.tap
    rooms.sink.room = 10
    rooms.tick(BLOCK_TICKS)
    assert sorted(rooms.sink.ticks[kept]) == list(range(FIRST, FIRST + 2 * BLOCK_TICKS))
    assert lost not in rooms.sink.ticks


def test_an_exception_of_the_tap_ends_recordings_and_no_call(clock: FakeClock) -> None:
    class Failing(Sink):
        def __call__(self, block: Block) -> bool:
            raise ZeroDivisionError

    rooms = TappedRooms(clock)
    rooms.tap = Tap(Failing())
    rooms.live_rooms = LiveRooms(clock, rooms.reports.put, rooms.faults, rooms.tap)
    client = rooms.join(agent("ann"))
    rooms.record(agent("ann"))
    rooms.tick(2 * BLOCK_TICKS)
    assert rooms.tap.lost() == ["t1"]
    assert rooms.faults.count == 1
    assert client.leg.frames_out == 2 * BLOCK_TICKS


acts = st.lists(
    st.tuples(st.sampled_from("jjlrrstttb"), st.integers(0, 24), st.integers(1, 70)),
    min_size=5,
    max_size=50,
)


@given(acts)
def test_tracks_have_exactly_the_ticks_at_which_their_calls_were_heard(
    acts: list[tuple[str, int, int]],
) -> None:
    """Any order of joins, leaves, starts and stops, with more tracks than a group begins with."""
    rooms = TappedRooms(FakeClock())
    clients: dict[int, LegClient] = {}
    recorded: set[int] = set()
    expected: dict[str, dict[int, int]] = defaultdict(dict)
    for act, who, count in acts:
        caller = agent(f"caller{who}", room=f"room-{who % 3}")
        match act:
            case "j" if who not in clients:
                clients[who] = rooms.join(caller)
            case "l" if who in clients:
                clients.pop(who).leave()
            case "r":
                recorded.add(who)
                rooms.record(caller, f"room-{who % 3}", f"t{who}")
            case "s":
                recorded.discard(who)
                rooms.tap.stop(f"t{who}")
            case "b":
                rooms.live_rooms.rebuild(
                    [client.leg for client in clients.values()], rooms.clock.monotonic()
                )
            case "t":
                for _ in range(count):
                    for talker, client in clients.items():
                        rooms.say(client, 100 * talker + rooms.number % 90 + 1)
                    for talker in recorded & set(clients):
                        heard = 100 * talker + rooms.number % 90 + 1
                        expected[f"t{talker}"][rooms.number] = heard
                    if clients:
                        rooms.tick()
                    else:
                        rooms.number += 1
    for who in recorded:
        rooms.tap.stop(f"t{who}")
    assert {track: list(ticks) for track, ticks in expected.items()} == {
        track: sorted(ticks) for track, ticks in rooms.sink.ticks.items()
    }
    assert rooms.faults.count == 0
    for track, frames in rooms.sink.ticks.items():
        # The jitter buffer of a new leg delays its audio, and blends its first frames.
        plain = [frame for frame in frames.values() if frame[0] and (frame == frame[0]).all()]
        assert {int(frame[0]) // 100 for frame in plain} <= {int(track.removeprefix("t"))}
