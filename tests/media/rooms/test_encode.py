"""The fast path out against the wires: each leg's frame is what its wire says of the same audio."""

from __future__ import annotations

import numpy as np

from service.domain.calls import EndReason
from service.domain.wire import FRAME_SAMPLES, Play, Started
from service.media.audio import g711
from service.media.rooms.encode import output_groups
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.transport import websocket_frames
from service.media.transport.connection import MediaSocket
from service.media.transport.websocket_frames import Opcode
from tests.support.callers import Caller, agent, plivo, telnyx, twilio
from tests.support.clocks import FakeClock


class FrameLine:
    """Keeps frames as they would go to a socket."""

    dropped = 0
    around = MediaSocket.around

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def text(self, message: bytes) -> None:
        raise AssertionError("A sheet says nothing but audio.")

    def audio(self, frame: bytes) -> None:
        self.frames.append(frame)

    def forget_audio(self) -> None:
        raise AssertionError("A sheet takes nothing back.")

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        raise AssertionError("A sheet hangs nobody up.")


def party() -> list[Caller]:
    """All dialects, mixed up, with names of several lengths, some of them alike."""
    return [
        twilio("a"),
        agent("b"),
        plivo("c"),
        twilio("d"),
        telnyx("e"),
        twilio("a-longer-name"),
        plivo("f"),
        agent("g"),
        telnyx("h", encoding="PCMU"),
        twilio("another-namex"),
    ]


def test_each_leg_is_sent_what_its_wire_says(clock: FakeClock) -> None:
    exchange = LiveRooms(clock, lambda report: None)
    lines = [FrameLine() for _ in party()]
    legs: list[Leg] = []
    for caller, line in zip(party(), lines, strict=True):
        leg = exchange.open(caller.spec, line)
        [started] = leg.wire.receive(caller.start)
        assert isinstance(started, Started)
        leg.start(started, 0)
        legs.append(leg)
    arranged = output_groups(legs)
    rng = np.random.default_rng(4)
    for tick in range(3):
        mixed = rng.integers(-32_768, 32_768, (len(legs), FRAME_SAMPLES)).astype(np.int16)
        for sheet in arranged:
            sheet.play(mixed)
        for leg, line, samples in zip(legs, lines, mixed, strict=True):
            [message] = leg.wire.send(Play(g711.encode(samples, leg.outbound)))
            assert line.frames[tick] == websocket_frames.frame(Opcode.TEXT, message)
            assert len(line.frames) == tick + 1
    assert [leg.stats()["framesOut"] for leg in legs] == [3] * len(legs)
    # One for each dialect, and one for the two whose streams have longer names.
    assert len(arranged) == 4 + 1


def test_nobody_is_there_to_be_sent_anything() -> None:
    assert output_groups([]) == []
