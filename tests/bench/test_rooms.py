"""The rooms of the Python alternatives mix as exactly as the benchmark demands of every server."""

from __future__ import annotations

from base64 import b64encode

from bench.alternatives.rooms import LONGEST_QUEUE, Caller, Rooms
from bench.load import test_signal
from bench.load.dialects import audio_of
from service.domain.wire import Encoding

MULAW = Encoding.MULAW


def caller(rooms: Rooms, room: str) -> Caller:
    joined = Caller(room, "MZ1", lambda message: None)
    rooms.join(joined)
    return joined


def send(sender: Caller, seat: int, number: int) -> None:
    sender.receive(b64encode(test_signal.encode(seat, number, MULAW)).decode())


def tick(rooms: Rooms) -> dict[Caller, bytes]:
    return {listener: audio_of(message.encode()) or b"" for listener, message in rooms.tick()}


def test_each_caller_hears_exactly_the_others_of_the_room() -> None:
    rooms = Rooms()
    # They join alternately, so that the callers of one room are not adjacent.
    joined = [(room, seat, caller(rooms, room)) for seat in range(3) for room in ("a", "b")]
    for room, seat, member in joined:
        send(member, seat, 10 * (room == "b") + seat)
    mixes = tick(rooms)
    for room, seat, member in joined:
        audio = test_signal.decode(mixes[member], seat, [MULAW] * 3, MULAW)
        expected = [10 * (room == "b") + other for other in range(3)]
        expected[seat] = -1
        assert audio.numbers[0].tolist() == expected
        assert audio.exact[0].tolist() == [other != seat for other in range(3)]


def test_a_caller_that_has_left_is_not_heard() -> None:
    rooms = Rooms()
    first, second = caller(rooms, "a"), caller(rooms, "a")
    rooms.leave(second)
    send(second, 1, 5)
    assert tick(rooms) == {first: b"\xff" * 160}
    rooms.leave(first)
    assert rooms.tick() == []


def test_a_backlog_is_dropped_instead_of_delaying_audio() -> None:
    rooms = Rooms()
    first, second = caller(rooms, "a"), caller(rooms, "a")
    for number in range(LONGEST_QUEUE + 5):
        send(second, 1, number)
    audio = test_signal.decode(tick(rooms)[first], 0, [MULAW] * 2, MULAW)
    assert audio.numbers[0, 1] == 5
