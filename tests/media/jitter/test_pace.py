"""Capacity of a phone's buffer: stalls of the network, bursts, and stalls of the engine."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest

from service.domain.wire import PERIOD, Encoding
from service.media.engine.clock import TickClock
from service.media.engine.commands import Adopt, Announce, Ask
from service.media.engine.loop import Loop
from service.media.jitter.buffer import LONGEST_WINDOW, WINDOW, JitterBuffer
from service.media.jitter.effects import Effect
from service.media.jitter.pace import LONGEST_CAPACITY, PACED_CAPACITY, RENEWAL
from service.media.rooms.decode import MANY
from service.media.transport.poller import best_poller
from tests.support.callers import twilio
from tests.support.clients import Client
from tests.support.clocks import FakeClock

START = 1000.0
PHASES = [0.0, 0.0037, 0.01, 0.0163, 0.0199]
RETURN = (LONGEST_WINDOW * 2 + WINDOW * LONGEST_CAPACITY) * PERIOD
"""Seconds until the delay is back to normal after any stall."""


class Arrival(NamedTuple):
    at: float
    payload: bytes


class Heard(NamedTuple):
    """``numbers`` has the numbers of the frames heard, ``depths`` the seconds at each tick."""

    numbers: list[int]
    depths: list[float]


def numbered(number: int) -> bytes:
    return struct.pack("<I", number) * 80


def phone() -> JitterBuffer:
    return JitterBuffer(Encoding.LINEAR, paced=True)


def sent(seconds: float, phase: float) -> list[Arrival]:
    return [
        Arrival(START + phase + number * PERIOD, numbered(number))
        for number in range(round(seconds / PERIOD))
    ]


def held_up(arrivals: Sequence[Arrival], stalls: Sequence[tuple[float, float]]) -> list[Arrival]:
    """Hold back all arrivals for this long from each of these times, then deliver them at once."""
    moved = []
    for at, payload in arrivals:
        ends = [
            START + begin + length for begin, length in stalls if 0 <= at - START - begin < length
        ]
        moved.append(Arrival(max([at, *ends]), payload))
    return moved


def play(buffer: JitterBuffer, arrivals: Sequence[Arrival], seconds: float) -> Heard:
    numbers: list[int] = []
    depths: list[float] = []
    place = 0
    for number in range(round(seconds / PERIOD)):
        tick = START + number * PERIOD
        while place < len(arrivals) and arrivals[place].at <= tick:
            buffer.push(arrivals[place].payload, arrivals[place].at)
            place += 1
        frame = buffer.take(tick)
        if frame is not None and buffer.effect is not Effect.CONCEAL:
            numbers.append(*struct.unpack_from("<I", frame))
        depths.append(buffer.depth)
    return Heard(numbers, depths)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("stall", "lost"), [(0.1, 0), (0.2, 0), (0.3, 5)])
def test_five_stalls_of_the_network_lose_no_words(phase: float, stall: float, lost: int) -> None:
    stalls = [(2.0 + 3 * number, stall) for number in range(5)]
    arrivals = held_up(sent(16, phase), stalls)
    buffer = phone()
    heard = play(buffer, arrivals, 16)
    assert buffer.stats.dropped <= lost
    assert len(heard.numbers) >= arrivals.index(arrivals[-1]) - lost - LONGEST_CAPACITY
    assert heard.numbers == sorted(heard.numbers)
    # From the second stall on, the buffer bridges them without a gap.
    assert buffer.stats.gaps <= (1 if lost == 0 else 5) + 1
    assert max(heard.depths) <= LONGEST_CAPACITY * PERIOD + 1e-6


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("stall", [0.1, 0.2, 0.3])
def test_delay_and_capacity_return_to_normal_after_a_calm_time(phase: float, stall: float) -> None:
    seconds = 5 + RETURN
    buffer = phone()
    heard = play(buffer, held_up(sent(seconds, phase), [(2.0, stall)]), seconds)
    grown = max(heard.depths)
    assert grown >= stall - 2 * PERIOD
    # Nothing is cut before the end of a calm window; then one frame at a time.
    after = heard.depths[round(2.5 / PERIOD) : round(2.5 / PERIOD) + WINDOW]
    assert min(after) >= stall - 3 * PERIOD
    falls = [
        before - after
        for before, after in zip(heard.depths[150:], heard.depths[151:], strict=False)
    ]
    assert max(falls) <= 2 * PERIOD + 1e-6
    assert heard.depths[-1] <= PERIOD + 1e-6
    assert buffer.pace.capacity == PACED_CAPACITY


def test_a_stall_too_long_to_bridge_does_not_increase_the_delay() -> None:
    heard = play(phone(), held_up(sent(10, 0.01), [(2.0, RENEWAL + 0.3)]), 10)
    assert max(heard.depths[round(3 / PERIOD) :]) <= PACED_CAPACITY * PERIOD


@pytest.mark.parametrize("seconds", [1.0, 5.0, 8.0])
@pytest.mark.parametrize("at", ["first", "later"])
def test_a_burst_in_one_message_delays_a_phone_up_to_the_capacity(seconds: float, at: str) -> None:
    buffer = phone()
    before = 100 if at == "later" else 0
    arrivals = sent(2.0, 0.01)[:before]
    begin = START + 0.01 + before * PERIOD
    count = round(seconds / PERIOD)
    burst = b"".join(numbered(before + number) for number in range(count))
    arrivals.append(Arrival(begin, burst))
    for number in range(1500):
        moment = begin + (number + 1) * PERIOD
        arrivals.append(Arrival(moment, numbered(before + count + number)))
    heard = play(buffer, arrivals, 32)
    first = round((begin - START) / PERIOD)
    assert max(heard.depths[first:]) <= PACED_CAPACITY * PERIOD + 1e-6
    assert heard.depths[-100] <= 2 * PERIOD
    assert buffer.pace.capacity == PACED_CAPACITY
    # The newest frames are heard, and the others counted as dropped.
    assert before + count - 1 in heard.numbers
    assert buffer.stats.dropped >= count - PACED_CAPACITY


@pytest.mark.parametrize("frames", [5, 10, 15])
def test_a_burst_of_single_frames_does_not_increase_the_capacity(frames: int) -> None:
    buffer = phone()
    arrivals = sent(2.0, 0.01)
    arrivals += [Arrival(arrivals[-1].at, numbered(100 + number)) for number in range(frames)]
    heard = play(buffer, arrivals, 3)
    assert buffer.pace.capacity == PACED_CAPACITY
    assert max(heard.depths) <= PACED_CAPACITY * PERIOD


@pytest.mark.parametrize("samples", [80, 200, 240, 400, 800, 1600, 2400])
@pytest.mark.parametrize("phase", PHASES)
def test_pieces_of_any_length_up_to_300_ms_in_real_time_lose_nothing(
    samples: int, phase: float
) -> None:
    piece = bytes([1, 0]) * samples
    arrivals = [
        Arrival(START + phase + number * samples / 8000, piece)
        for number in range(20 * 8000 // samples)
    ]
    buffer = phone()
    play(buffer, arrivals, 20)
    assert buffer.stats.dropped <= 1
    assert buffer.pace.capacity == PACED_CAPACITY


@pytest.mark.parametrize("frames", [20, 50])
def test_a_phone_with_long_pieces_in_real_time_loses_audio_only_of_the_first(frames: int) -> None:
    piece = b"".join(numbered(number) for number in range(frames))
    arrivals = [
        Arrival(START + 0.01 + turn * frames * PERIOD, piece) for turn in range(1000 // frames)
    ]
    buffer = phone()
    play(buffer, arrivals, 20)
    assert buffer.stats.dropped == frames - PACED_CAPACITY


@pytest.mark.parametrize("every", [20, 50])
def test_occasional_lost_chunks_are_no_stall(every: int) -> None:
    buffer = phone()
    for number in range(3000):
        at = START + 0.01 + number * PERIOD
        if number % every:
            buffer.push(numbered(number), at, number)
        buffer.take(at + 0.01)
    assert buffer.chunks.lost >= 3000 // every - 2
    assert buffer.pace.capacity == PACED_CAPACITY


@pytest.mark.parametrize("pause", [0.15, 0.3, 0.45, 1.0, 30.0])
def test_a_phone_that_sends_nothing_between_words_is_not_delayed(pause: float) -> None:
    buffer = phone()
    arrivals: list[Arrival] = []
    for turn in range(10):
        begin = START + 0.01 + turn * (1.0 + pause)
        arrivals += [
            Arrival(begin + number * PERIOD, numbered(50 * turn + number)) for number in range(50)
        ]
    heard = play(buffer, arrivals, 10 * (1.0 + pause))
    assert max(heard.depths) <= 2 * PERIOD
    assert heard.numbers == list(range(500))


def test_an_agent_may_send_a_minute_ahead() -> None:
    buffer = JitterBuffer(Encoding.LINEAR, paced=False)
    for _ in range(30):
        buffer.push(bytes(320) * 100, START)
    assert buffer.stats.dropped == 0
    assert buffer.depth == pytest.approx(60)


def stalled(clock: TickClock, buffer: JitterBuffer, stalls: Sequence[tuple[float, float]]) -> Heard:
    """Simulate the engine's loop with stalls while a phone continues to send."""
    at = START
    arrivals = sent(40, 0.0137)
    numbers: list[int] = []
    depths: list[float] = []
    place = 0
    served = at
    lengths = dict(stalls)
    for begin in sorted(lengths):
        while at < START + begin:
            at += min(0.005, max(clock.wait(at), 1e-4))
            place = _turn(clock, buffer, arrivals, place, at, served, numbers, depths)
            served = at
        at += lengths[begin]
    while at < START + 39:
        at += min(0.005, max(clock.wait(at), 1e-4))
        place = _turn(clock, buffer, arrivals, place, at, served, numbers, depths)
        served = at
    return Heard(numbers, depths)


def _turn(
    clock: TickClock,
    buffer: JitterBuffer,
    arrivals: Sequence[Arrival],
    place: int,
    at: float,
    served: float,
    numbers: list[int],
    depths: list[float],
) -> int:
    if clock.stalled(at):
        buffer.settle(at)
    earliest = served if at > served + PERIOD else None
    while place < len(arrivals) and arrivals[place].at <= at:
        buffer.push(arrivals[place].payload, at, None, earliest)
        place += 1
    if clock.advance(at):
        frame = buffer.take(at)
        if frame is not None:
            numbers.append(*struct.unpack_from("<I", frame))
        depths.append(buffer.depth)
    return place


@pytest.mark.parametrize("stall", [0.03, 0.05, 0.07, 0.1, 0.3, 3.0])
def test_stalls_of_the_engine_do_not_increase_the_delay(stall: float) -> None:
    """The stalls are a second apart, so that no calm window ends."""
    buffer = phone()
    stalls = [(5.0 + number * (0.9 + stall), stall) for number in range(8)]
    heard = stalled(TickClock(START), buffer, stalls)
    assert buffer.pace.capacity == PACED_CAPACITY
    last = stalls[-1][0] + stall
    after = heard.depths[-round((39 - last - 0.3) / PERIOD) :]
    assert max(after) <= 2 * PERIOD
    # Only the audio of the stalls is skipped.
    assert buffer.stats.dropped <= 8 * (stall / PERIOD + 2)


def test_a_stall_of_the_engine_is_no_network_jitter() -> None:
    buffer = phone()
    stalled(TickClock(START), buffer, [(5.0, 0.3), (10.0, 0.3)])
    assert buffer.stats.jitter < 0.003


class Held:
    """A poller that delays the engine after a poll, before it reads."""

    def __init__(self, clock: FakeClock) -> None:
        self.holds: list[Callable[[], None]] = []
        self._ready = best_poller()
        self._clock = clock

    def poll(self) -> list[tuple[int, int]]:
        found = self._ready.poll()
        if self.holds and found:
            self.holds.pop()()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ready, name)


@pytest.mark.parametrize("phones", [2, MANY])
@pytest.mark.parametrize("stall", [0.04, 0.1, 0.2])
def test_a_stall_during_reading_is_no_network_stall(
    clock: FakeClock, phones: int, stall: float
) -> None:
    """The engine reads with the time of its poll, so later data must not seem late."""
    ready = Held(clock)
    loop = Loop(clock, SimpleQueue(), ready)
    callers = [twilio(f"caller{number}") for number in range(phones)]
    with ExitStack() as stack:
        clients = [stack.enter_context(Client()) for _ in callers]

        def say(frames: int) -> None:
            for client, caller in zip(clients, callers, strict=True):
                for _ in range(frames):
                    client.send(caller.media(b"\x20" * 160))

        def hold() -> None:
            clock.advance(stall)
            say(round(stall / PERIOD))

        def go_on(rounds: int) -> None:
            for _ in range(rounds):
                say(1)
                for _ in range(4):
                    clock.advance(PERIOD / 4)
                    loop.submit(Announce())
                    loop.turn()

        for client, caller in zip(clients, callers, strict=True):
            loop.submit(Adopt(client.ours.dup(), caller.spec))
            client.send(caller.start)
        go_on(60)
        for _ in range(3):
            ready.holds.append(hold)
            go_on(40)
        # A burst is cut to the normal capacity: the stall has not increased it.
        say(14)
        loop.submit(Announce())
        loop.turn()
        clock.advance(PERIOD / 4)
        go_on(1)
        ask = Ask(tuple(caller.spec.call_id for caller in callers))
        loop.submit(ask)
        loop.turn()
        waiting = [stats["bufferMs"] for stats in ask.reply.get(timeout=1).values()]
        assert len(waiting) == phones
        assert max(waiting) <= 1000 * PACED_CAPACITY * PERIOD
    loop.close()
