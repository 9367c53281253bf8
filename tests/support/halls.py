"""An exchange with real wires, lines that are lists, and a time that the test turns."""

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
from tests.support.lines import ListLine

PERIOD = 0.02


class Party:
    """One caller on the exchange: what it says is heard at once, what it is told is in ``ear``."""

    def __init__(self, hall: Hall, caller: Caller) -> None:
        self.caller = caller
        self.ear = ListLine()
        self.leg: Leg = hall.exchange.open(caller.spec, self.ear)
        self._hall = hall
        self._chunk = 0

    def say(self, message: bytes) -> None:
        self._hall.exchange.message(self.leg, message, self._hall.clock.monotonic())

    def start(self) -> Party:
        self.say(self.caller.start)
        return self

    def speak(self, samples: NDArray[np.int16]) -> None:
        self._chunk += 1
        self.say(self.caller.media(g711.encode(samples, self.caller.inbound), self._chunk))

    def skip(self) -> None:
        """Lose what would have been spoken next."""
        self._chunk += 1

    def leave(self, reason: EndReason | None = None, detail: str = "gone") -> None:
        self._hall.exchange.close(self.leg, reason, detail)

    def events(self) -> list[str]:
        return [news["event"] for news in self.ear.news()]

    def listened(self) -> NDArray[np.int32]:
        """All that was heard so far."""
        payload = b"".join(self.ear.heard)
        return g711.decode(payload, self.caller.outbound).astype(np.int32)


class Hall:
    """An exchange whose time the test turns."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.exchange = LiveRooms(clock, self.reports.put)

    def adopt(self, caller: Caller) -> Party:
        return Party(self, caller)

    def join(self, caller: Caller) -> Party:
        return self.adopt(caller).start()

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.exchange.tick(self.clock.monotonic())
            self.clock.advance(PERIOD)

    def told(self) -> Iterator[Report]:
        """Reports since the last call."""
        while not self.reports.empty():
            yield self.reports.get()


def steady(value: int) -> NDArray[np.int16]:
    """One frame of one value; with linear PCM it arrives as it is."""
    return np.full(FRAME_SAMPLES, value, np.int16)
