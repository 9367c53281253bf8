"""The fast send path gives each leg the same frame as its wire for the same audio."""

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


class FrameTransport:
    """A transport that keeps the frames of audio."""

    dropped = 0
    around = MediaSocket.around

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def text(self, message: bytes) -> None:
        raise AssertionError("An output group sends only audio.")

    def audio(self, frame: bytes) -> None:
        self.frames.append(frame)

    def forget_audio(self) -> None:
        raise AssertionError("An output group does not drop audio.")

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        raise AssertionError("An output group does not hang up.")


def callers() -> list[Caller]:
    """Return callers of all dialects in mixed order, with stream names of several lengths."""
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


def test_each_leg_receives_the_frame_of_its_wire(clock: FakeClock) -> None:
    live_rooms = LiveRooms(clock, lambda report: None)
    transports = [FrameTransport() for _ in callers()]
    legs: list[Leg] = []
    for caller, transport in zip(callers(), transports, strict=True):
        leg = live_rooms.open(caller.spec, transport)
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
        for leg, transport, samples in zip(legs, transports, mixed, strict=True):
            [message] = leg.wire.send(Play(g711.encode(samples, leg.outbound)))
            assert transport.frames[tick] == websocket_frames.frame(Opcode.TEXT, message)
            assert len(transport.frames) == tick + 1
    assert [leg.stats()["framesOut"] for leg in legs] == [3] * len(legs)
    # One group per dialect, and one for the two with longer stream names.
    assert len(arranged) == 4 + 1


def test_output_without_legs_sends_nothing() -> None:
    assert output_groups([]) == []
