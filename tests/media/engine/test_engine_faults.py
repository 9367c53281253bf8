"""Faults of ours in the engine: who loses a socket, what is logged, and that it ends there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from service.domain.calls import EndReason, Participant
from service.domain.wire import (
    PERIOD,
    Command,
    Encoding,
    MeetingLeft,
    MessageTemplate,
    ParticipantJoined,
)
from service.media.engine.commands import (
    Adopt,
    Ask,
    AskEngineStats,
    AskLoudness,
    EngineCommand,
    HangUp,
    Move,
    Stop,
)
from service.media.engine.loop import Loop
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.buffer import JitterBuffer
from service.media.jitter.columns import Rows, Taken
from service.media.rooms.decode import CALM, MANY
from service.media.rooms.faults import FAULT_SECONDS, MOST_FAULTS, Faults
from service.media.rooms.recovery import probe
from service.media.rooms.reports import LegClosed, LegStarted, Report
from service.media.transport.poller import best_poller
from service.providers.custom import WebSocketWire
from service.providers.twilio import TwilioWire
from tests.support.callers import Caller, agent, twilio
from tests.support.clients import PATIENCE, Client
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, steady

ROUNDS = CALM + 30
"""Frames after which the batch has the phones of a full house."""


class Shaky:
    """A readiness that fails the engine's turns as often as it is told to."""

    def __init__(self) -> None:
        self.owed = 0
        self._ready = best_poller()

    def poll(self) -> list[tuple[int, int]]:
        if self.owed:
            self.owed -= 1
            raise RuntimeError("a fault of ours")
        return self._ready.poll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ready, name)


class Works:
    """A loop with shaky turns, and the phones and programs at its sockets."""

    def __init__(self, stack: ExitStack) -> None:
        self.clock = FakeClock()
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self._passed: list[Report] = []
        self._ready = Shaky()
        self.loop = Loop(self.clock, self.reports, self._ready)
        self._thread = threading.Thread(target=self.loop.run, name="engine", daemon=True)
        self._thread.start()
        self._stack = stack

    def join(self, caller: Caller) -> Client:
        client = self._stack.enter_context(Client())
        client.send(caller.start)
        self.loop.submit(Adopt(client.ours.dup(), caller.spec))
        client.ours.close()
        while not isinstance(report := self.reports.get(timeout=PATIENCE), LegStarted):
            self._passed.append(report)
        return client

    def turn(self) -> None:
        """Return when the engine has looked at its sockets and the time."""
        for _ in range(2):
            self.known()

    def known(self, *callers: Caller) -> set[str]:
        """The calls among these that have a socket."""
        ask = Ask(tuple(caller.spec.call_id for caller in callers))
        self.loop.submit(ask)
        return set(ask.reply.get(timeout=PATIENCE))

    def faults(self) -> int:
        count = AskEngineStats()
        self.loop.submit(count)
        return count.reply.get(timeout=PATIENCE).faults

    def fail(self, times: int) -> None:
        """Have so many turns of the engine fail, one after the other."""
        self._ready.owed = times
        while self._ready.owed:
            self.turn()

    def talk(self, pairs: list[tuple[Client, Caller]], rounds: int) -> None:
        for _ in range(rounds):
            for client, caller in pairs:
                client.send(caller.media(b"\x20" * 160))
            self.turn()
            self.clock.advance(PERIOD)
            self.turn()

    def closed(self) -> list[str]:
        """Calls of which a leg has been closed since the last time."""
        with suppress(Empty):
            while True:
                self._passed.append(self.reports.get_nowait())
        passed, self._passed = self._passed, []
        return [report.call_id for report in passed if isinstance(report, LegClosed)]

    def stop(self) -> None:
        self.loop.submit(Stop())
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.loop.close()


@pytest.fixture
def works() -> Iterator[Works]:
    with ExitStack() as clients:
        works = Works(clients)
        try:
            yield works
        finally:
            clients.close()
            works.stop()


def full_house(works: Works) -> list[tuple[Client, Caller]]:
    """So many phones that the batch has them."""
    callers = [twilio(f"caller{number}") for number in range(MANY + 4)]
    pairs = [(works.join(caller), caller) for caller in callers]
    works.talk(pairs, ROUNDS)
    return pairs


def test_one_fault_of_the_engine_is_counted_once_and_closes_no_socket(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = full_house(works)
    callers = [caller for _, caller in pairs]
    works.fail(1)
    works.talk(pairs, 5)
    client, newcomer = pairs[0][0], agent("newcomer")
    client.settle()
    program = works.join(newcomer)
    works.talk([*pairs, (program, newcomer)], ROUNDS)
    assert works.known(*callers, newcomer) == {
        caller.spec.call_id for caller in [*callers, newcomer]
    }
    assert works.closed() == []
    assert works.faults() == 1
    assert caplog.text.count("Traceback") == 1
    assert client.settle()


@pytest.mark.parametrize("times", [MOST_FAULTS, MOST_FAULTS + 1])
def test_faults_in_a_row_end_with_every_call_handed_back_and_not_before(
    works: Works, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    pairs = full_house(works)
    callers = [caller for _, caller in pairs]
    works.fail(times)
    works.turn()
    lost = {caller.spec.call_id for caller in callers} if times > MOST_FAULTS else set()
    assert set(works.closed()) == lost
    assert caplog.text.count("Traceback") == 1
    if not lost:
        return
    # The next to come begin with clean state, and nothing of the old is in their way.
    callers = [twilio(f"caller{number}", leg="leg-2") for number in range(len(pairs))]
    again = [(works.join(caller), caller) for caller in callers]
    works.talk(again, 2 * ROUNDS)
    assert works.known(*callers) == lost
    assert works.closed() == []
    assert works.faults() == times


def test_occasional_faults_close_no_socket(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    pairs = full_house(works)
    for _ in range(9):
        works.fail(1)
        works.talk(pairs, round(FAULT_SECONDS / PERIOD) + 1)
    assert works.closed() == []
    assert works.faults() == 9
    assert caplog.text.count("Traceback") == 1
    # After the first, one line for the second, the fourth and the eighth.
    assert caplog.text.count("times so far") == 3


class Mute(WebSocketWire):
    """A wire that fails at one command, or where it is asked for its envelope."""

    def __init__(self, at: type[Command] | None) -> None:
        super().__init__()
        self._at = at

    def send(self, command: Command) -> list[bytes]:
        if self._at is not None and isinstance(command, self._at):
            raise RuntimeError("a fault of ours")
        return super().send(command)

    def envelope(self) -> tuple[bytes, bytes]:
        if self._at is None:
            raise RuntimeError("a fault of ours")
        return super().envelope()


@pytest.mark.parametrize("at", [None, ParticipantJoined, MeetingLeft])
def test_the_leg_with_the_faulty_wire_is_dropped_and_the_others_stay(
    works: Works, at: type[Command] | None
) -> None:
    faulty, ann, bob = agent("faulty", wire=Mute(at)), agent("ann"), agent("bob")
    works.join(faulty)
    clients = [(works.join(caller), caller) for caller in (ann, bob)]
    if at is MeetingLeft:
        works.loop.submit(HangUp("call-faulty", EndReason.ENDED_BY_API, "over", None))
    works.talk(clients, 3)
    assert works.known(faulty, ann, bob) == {"call-ann", "call-bob"}
    assert works.closed() == ["call-faulty"]
    assert works.faults() == 1


def test_a_call_that_is_ended_while_its_leg_fails_is_ended(works: Works) -> None:
    works.join(agent("faulty", wire=Mute(MeetingLeft)))
    works.loop.submit(HangUp("call-faulty", EndReason.ENDED_BY_API, "over", None))
    works.turn()
    report = works.reports.get(timeout=PATIENCE)
    assert isinstance(report, LegClosed)
    assert report.reason is EndReason.ENDED_BY_API


def test_a_move_that_fails_somebody_in_the_other_room_moves_the_leg(works: Works) -> None:
    other = agent("other", wire=Mute(ParticipantJoined), room="other-room")
    ann = agent("ann")
    works.join(other)
    works.join(ann)
    works.loop.submit(Move("call-ann", "other-room", Participant("ann", "Ann", {}), None))
    assert works.known(ann, other) == {"call-ann"}


class Misshapen:
    """A phone's wire whose shape does not fit its messages."""

    def __init__(self) -> None:
        self._wire = TwilioWire()

    def template(self, message: bytes) -> MessageTemplate | None:
        return MessageTemplate(message, (0, 10**6), (3, 10**6), ((0, 10**6),), (), ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


def test_audio_that_cannot_be_taken_in_bulk_is_taken_one_by_one(works: Works) -> None:
    callers = [twilio(f"caller{number}") for number in range(MANY)]
    callers = [replace(one, spec=replace(one.spec, wire=Misshapen())) for one in callers]
    pairs = [(works.join(caller), caller) for caller in callers]
    works.talk(pairs, 10)
    assert len(works.known(*callers)) == MANY
    assert works.closed() == []
    assert works.faults() > 1
    assert pairs[0][0].settle()


@pytest.mark.parametrize(
    "request_", [AskLoudness("call-ann"), AskEngineStats()], ids=lambda one: type(one).__name__
)
def test_requests_are_answered_after_a_fault(works: Works, request_: EngineCommand) -> None:
    works.join(agent("ann"))
    works.fail(1)
    works.loop.submit(request_)
    assert isinstance(request_, AskLoudness | AskEngineStats)
    request_.reply.get(timeout=PATIENCE)


def crowd(clock: FakeClock) -> Hall:
    hall = Hall(clock)
    parties = [hall.join(twilio(f"caller{number}")) for number in range(MANY + 4)]
    buffer = parties[3].leg.buffer
    while buffer is not None and buffer.owner is None:
        for party in parties:
            party.speak(steady(1000))
        hall.tick()
    return hall


def test_a_leg_whose_row_is_corrupt_fails_alone(clock: FakeClock) -> None:
    hall = crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := hall.exchange.leg(f"call-caller{n}"))]
    assert legs[3].buffer is not None
    assert legs[3].buffer.owner is hall.exchange.buffers
    legs[3].buffer.row = 10**6
    hall.exchange.rebuild(legs, clock.monotonic())
    assert [leg for leg in legs if leg.failed] == [legs[3]]
    hall.exchange.close(legs[3], None, "failed")
    hall.tick(3)
    assert not any(leg.buffer.row for leg in legs if leg.buffer is not None)


class Sore(BatchJitterBuffer):
    """A batch that fails whenever it is to take a frame of one row."""

    row = 0

    def take(self, rows: Rows, at: float) -> Taken:
        if self.row in rows:
            raise RuntimeError("a fault of ours")
        return super().take(rows, at)


def test_a_leg_faulty_only_in_the_batch_is_found(clock: FakeClock) -> None:
    buffers, hall = Sore(), crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := hall.exchange.leg(f"call-caller{n}"))]
    for leg in legs:
        assert leg.buffer is not None
        hall.exchange.buffers.forget(leg.buffer)
        leg.buffer.push(bytes(160), clock.monotonic() - 0.01)
        leg.buffer.push(bytes(160), clock.monotonic() - 0.01)
        leg.buffer.take(clock.monotonic())
        assert buffers.admit(leg.buffer)
        if leg is legs[9]:
            buffers.row = leg.buffer.row
    probe(legs, buffers, clock.monotonic())
    assert [leg for leg in legs if leg.failed] == [legs[9]]


def test_legs_with_which_no_tick_can_be_made_are_found_among_many(clock: FakeClock) -> None:
    hall = crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := hall.exchange.leg(f"call-caller{n}"))]
    rooms = [hall.join(twilio(f"other{n}", room=f"room-{n // 3}")).leg for n in range(30)]
    for leg in (legs[5], rooms[7], rooms[20]):
        # Frames of another encoding than the leg is decoded in: the tick of all of them fails.
        assert leg.buffer is not None
        leg.buffer = JitterBuffer(Encoding.LINEAR, paced=True)
        for _ in range(20):
            leg.buffer.push(bytes(321 * 2), clock.monotonic() - 0.1)
    everybody = [*legs, *rooms]
    with pytest.raises(ValueError, match="shape"):
        hall.tick()
    hall.exchange.rebuild(everybody, clock.monotonic(), sift=True)
    assert {leg for leg in everybody if leg.failed} == {legs[5], rooms[7], rooms[20]}
    for leg in (legs[5], rooms[7], rooms[20]):
        hall.exchange.close(leg, None, "failed")
    hall.tick(3)


def test_a_batch_ignores_a_row_of_another_batch() -> None:
    """That was how one fault became a fault of every tick."""
    old, new = BatchJitterBuffer(), BatchJitterBuffer()
    buffer, other = (JitterBuffer(Encoding.MULAW, paced=True) for _ in range(2))
    for each in (buffer, other):
        for number in range(2):
            each.push(bytes([number]) * 160, 1000.0)
        assert each.take(1000.02)
    assert old.admit(buffer)
    old.release(buffer)
    row = buffer.row
    new.forget(buffer)
    assert buffer.row == 0
    buffer.row = row
    assert new.admit(other)
    assert new.admit(buffer)
    assert buffer.row != other.row


def test_faults_at_other_places_are_logged_with_their_own_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    for _ in range(3):
        try:
            [].pop()
        except IndexError:
            faults.note("first")
    try:
        {}.popitem()
    except KeyError:
        faults.note("second")
    assert faults.count == 4
    assert caplog.text.count("Traceback") == 2
