"""Live rooms with real wires, recording transports and a clock that the test moves."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.domain.calls import EndReason
from service.domain.wire import FRAME_SAMPLES
from service.media.audio import g711
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.reports import Report
from tests.support.callers import Caller
from tests.support.clocks import FakeClock
from tests.support.transports import RecordingTransport

PERIOD = 0.02


class LegClient:
    """The remote end of one leg. ``transport`` records the messages to it."""

    def __init__(self, harness: LiveRoomsHarness, caller: Caller) -> None:
        self.caller = caller
        self.transport = RecordingTransport()
        self.leg: Leg = harness.live_rooms.open(caller.spec, self.transport)
        self._harness = harness
        self._chunk = 0

    def send(self, message: bytes) -> None:
        self._harness.live_rooms.message(self.leg, message, self._harness.clock.monotonic())

    def start(self) -> LegClient:
        self.send(self.caller.start)
        return self

    def speak(self, samples: NDArray[np.int16]) -> None:
        self._chunk += 1
        self.send(self.caller.media(g711.encode(samples, self.caller.inbound), self._chunk))

    def skip(self) -> None:
        """Lose the next chunk."""
        self._chunk += 1

    def leave(self, reason: EndReason | None = None, detail: str = "gone") -> None:
        self._harness.live_rooms.close(self.leg, reason, detail)

    def events(self) -> list[str]:
        return [message["event"] for message in self.transport.new_messages()]

    def heard_samples(self) -> NDArray[np.int32]:
        """Return all audio received so far."""
        payload = b"".join(self.transport.payloads)
        return g711.decode(payload, self.caller.outbound).astype(np.int32)


class LiveRoomsHarness:
    """``LiveRooms`` whose time the test advances."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.live_rooms = LiveRooms(clock, self.reports.put)

    def open(self, caller: Caller) -> LegClient:
        return LegClient(self, caller)

    def join(self, caller: Caller) -> LegClient:
        return self.open(caller).start()

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.live_rooms.tick(self.clock.monotonic())
            self.clock.advance(PERIOD)

    def new_reports(self) -> Iterator[Report]:
        """Yield the reports since the last call."""
        while not self.reports.empty():
            yield self.reports.get()


def steady(value: int) -> NDArray[np.int16]:
    """Return a frame of one value; linear PCM does not change it."""
    return np.full(FRAME_SAMPLES, value, np.int16)
