"""The rooms of the Python alternatives mix as exactly as is asked of everybody."""

from __future__ import annotations

from base64 import b64encode

from bench.alternatives.rooms import LONGEST_QUEUE, Caller, Rooms
from bench.load import test_signal
from bench.load.dialects import heard
from service.domain.wire import Encoding

MULAW = Encoding.MULAW


def caller(rooms: Rooms, room: str) -> Caller:
    joined = Caller(room, "MZ1", lambda message: None)
    rooms.join(joined)
    return joined


def say(who: Caller, seat: int, number: int) -> None:
    who.hear(b64encode(test_signal.say(seat, number, MULAW)).decode())


def tick(rooms: Rooms) -> dict[Caller, bytes]:
    return {who: heard(message.encode()) or b"" for who, message in rooms.tick()}


def test_everybody_hears_exactly_the_others_of_the_room() -> None:
    rooms = Rooms()
    # They join in turn, so that a room's callers do not stand together.
    joined = [(room, seat, caller(rooms, room)) for seat in range(3) for room in ("a", "b")]
    for room, seat, who in joined:
        say(who, seat, 10 * (room == "b") + seat)
    mixes = tick(rooms)
    for room, seat, who in joined:
        audio = test_signal.listen(mixes[who], seat, [MULAW] * 3, MULAW)
        expected = [10 * (room == "b") + other for other in range(3)]
        expected[seat] = -1
        assert audio.numbers[0].tolist() == expected
        assert audio.exact[0].tolist() == [other != seat for other in range(3)]


def test_whoever_has_left_is_heard_no_more() -> None:
    rooms = Rooms()
    first, second = caller(rooms, "a"), caller(rooms, "a")
    rooms.leave(second)
    say(second, 1, 5)
    assert tick(rooms) == {first: b"\xff" * 160}
    rooms.leave(first)
    assert rooms.tick() == []


def test_a_backlog_does_not_become_delay() -> None:
    rooms = Rooms()
    first, second = caller(rooms, "a"), caller(rooms, "a")
    for number in range(LONGEST_QUEUE + 5):
        say(second, 1, number)
    audio = test_signal.listen(tick(rooms)[first], 0, [MULAW] * 2, MULAW)
    assert audio.numbers[0, 1] == 5
