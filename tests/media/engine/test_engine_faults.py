"""Exceptions in the engine: the closed sockets, the log, and the calls that continue."""

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
from service.media.rooms.fault_log import FAULT_SECONDS, MOST_FAULTS, FaultLog
from service.media.rooms.recovery import probe
from service.media.rooms.reports import LegClosed, LegStarted, Report
from service.media.transport.poller import best_poller
from service.providers.custom import WebSocketWire
from service.providers.twilio import TwilioWire
from tests.support.callers import Caller, agent, twilio
from tests.support.clients import PATIENCE, Client
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LiveRoomsHarness, steady

ROUNDS = CALM + 30
"""Frames after which the batch has the phones of ``batched_phones``."""


class FailingPoller:
    """A poller whose next ``failures_left`` polls fail."""

    def __init__(self) -> None:
        self.failures_left = 0
        self._poller = best_poller()

    def poll(self) -> list[tuple[int, int]]:
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("a fault of ours")
        return self._poller.poll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


class FaultyLoop:
    """An engine loop with a failing poller, and the clients of its sockets."""

    def __init__(self, stack: ExitStack) -> None:
        self.clock = FakeClock()
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self._earlier: list[Report] = []
        self._poller = FailingPoller()
        self.loop = Loop(self.clock, self.reports, self._poller)
        self._thread = threading.Thread(target=self.loop.run, name="engine", daemon=True)
        self._thread.start()
        self._stack = stack

    def join(self, caller: Caller) -> Client:
        client = self._stack.enter_context(Client())
        client.send(caller.start)
        self.loop.submit(Adopt(client.ours.dup(), caller.spec))
        client.ours.close()
        while not isinstance(report := self.reports.get(timeout=PATIENCE), LegStarted):
            self._earlier.append(report)
        return client

    def turn(self) -> None:
        """Return when the engine has handled its sockets and timeouts."""
        for _ in range(2):
            self.known()

    def known(self, *callers: Caller) -> set[str]:
        """Return the calls among these that have a socket."""
        ask = Ask(tuple(caller.spec.call_id for caller in callers))
        self.loop.submit(ask)
        return set(ask.reply.get(timeout=PATIENCE))

    def faults(self) -> int:
        count = AskEngineStats()
        self.loop.submit(count)
        return count.reply.get(timeout=PATIENCE).faults

    def fail(self, times: int) -> None:
        """Let this number of consecutive turns of the engine fail."""
        self._poller.failures_left = times
        while self._poller.failures_left:
            self.turn()

    def talk(self, pairs: list[tuple[Client, Caller]], rounds: int) -> None:
        for _ in range(rounds):
            for client, caller in pairs:
                client.send(caller.media(b"\x20" * 160))
            self.turn()
            self.clock.advance(PERIOD)
            self.turn()

    def closed(self) -> list[str]:
        """Return the calls of which a leg was closed since the last call."""
        with suppress(Empty):
            while True:
                self._earlier.append(self.reports.get_nowait())
        passed, self._earlier = self._earlier, []
        return [report.call_id for report in passed if isinstance(report, LegClosed)]

    def stop(self) -> None:
        self.loop.submit(Stop())
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.loop.close()


@pytest.fixture
def faulty() -> Iterator[FaultyLoop]:
    with ExitStack() as clients:
        faulty = FaultyLoop(clients)
        try:
            yield faulty
        finally:
            clients.close()
            faulty.stop()


def batched_phones(faulty: FaultyLoop) -> list[tuple[Client, Caller]]:
    """Connect enough phones for the batch, and let it take their audio."""
    callers = [twilio(f"caller{number}") for number in range(MANY + 4)]
    pairs = [(faulty.join(caller), caller) for caller in callers]
    faulty.talk(pairs, ROUNDS)
    return pairs


def test_one_engine_fault_is_counted_once_and_closes_no_socket(
    faulty: FaultyLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = batched_phones(faulty)
    callers = [caller for _, caller in pairs]
    faulty.fail(1)
    faulty.talk(pairs, 5)
    client, newcomer = pairs[0][0], agent("newcomer")
    client.settle()
    program = faulty.join(newcomer)
    faulty.talk([*pairs, (program, newcomer)], ROUNDS)
    assert faulty.known(*callers, newcomer) == {
        caller.spec.call_id for caller in [*callers, newcomer]
    }
    assert faulty.closed() == []
    assert faulty.faults() == 1
    assert caplog.text.count("Traceback") == 1
    assert client.settle()


@pytest.mark.parametrize("times", [MOST_FAULTS, MOST_FAULTS + 1])
def test_repeated_faults_return_every_call_to_its_provider_at_the_limit(
    faulty: FaultyLoop, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    pairs = batched_phones(faulty)
    callers = [caller for _, caller in pairs]
    faulty.fail(times)
    faulty.turn()
    lost = {caller.spec.call_id for caller in callers} if times > MOST_FAULTS else set()
    assert set(faulty.closed()) == lost
    assert caplog.text.count("Traceback") == 1
    if not lost:
        return
    # New calls start with a clean state.
    callers = [twilio(f"caller{number}", leg="leg-2") for number in range(len(pairs))]
    again = [(faulty.join(caller), caller) for caller in callers]
    faulty.talk(again, 2 * ROUNDS)
    assert faulty.known(*callers) == lost
    assert faulty.closed() == []
    assert faulty.faults() == times


def test_occasional_faults_close_no_socket(
    faulty: FaultyLoop, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = batched_phones(faulty)
    for _ in range(9):
        faulty.fail(1)
        faulty.talk(pairs, round(FAULT_SECONDS / PERIOD) + 1)
    assert faulty.closed() == []
    assert faulty.faults() == 9
    assert caplog.text.count("Traceback") == 1
    # One line each for the first, second, fourth and eighth fault.
    assert caplog.text.count("times so far") == 3


class FailingWire(WebSocketWire):
    """A wire that fails at one command, or when its envelope is requested."""

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
    faulty: FaultyLoop, at: type[Command] | None
) -> None:
    failing, ann, bob = agent("faulty", wire=FailingWire(at)), agent("ann"), agent("bob")
    faulty.join(failing)
    clients = [(faulty.join(caller), caller) for caller in (ann, bob)]
    if at is MeetingLeft:
        faulty.loop.submit(HangUp("call-faulty", EndReason.ENDED_BY_API, "over", None))
    faulty.talk(clients, 3)
    assert faulty.known(failing, ann, bob) == {"call-ann", "call-bob"}
    assert faulty.closed() == ["call-faulty"]
    assert faulty.faults() == 1


def test_a_call_ends_although_its_leg_fails(faulty: FaultyLoop) -> None:
    faulty.join(agent("faulty", wire=FailingWire(MeetingLeft)))
    faulty.loop.submit(HangUp("call-faulty", EndReason.ENDED_BY_API, "over", None))
    faulty.turn()
    report = faulty.reports.get(timeout=PATIENCE)
    assert isinstance(report, LegClosed)
    assert report.reason is EndReason.ENDED_BY_API


def test_a_move_succeeds_although_a_leg_of_the_new_room_fails(faulty: FaultyLoop) -> None:
    other = agent("other", wire=FailingWire(ParticipantJoined), room="other-room")
    ann = agent("ann")
    faulty.join(other)
    faulty.join(ann)
    faulty.loop.submit(Move("call-ann", "other-room", Participant("ann", "Ann", {}), None))
    assert faulty.known(ann, other) == {"call-ann"}


class WrongTemplateWire:
    """A phone's wire whose template does not match its messages."""

    def __init__(self) -> None:
        self._wire = TwilioWire()

    def template(self, message: bytes) -> MessageTemplate | None:
        return MessageTemplate(message, (0, 10**6), (3, 10**6), ((0, 10**6),), (), ())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


def test_audio_that_fails_in_bulk_is_taken_one_by_one(faulty: FaultyLoop) -> None:
    callers = [twilio(f"caller{number}") for number in range(MANY)]
    callers = [replace(one, spec=replace(one.spec, wire=WrongTemplateWire())) for one in callers]
    pairs = [(faulty.join(caller), caller) for caller in callers]
    faulty.talk(pairs, 10)
    assert len(faulty.known(*callers)) == MANY
    assert faulty.closed() == []
    assert faulty.faults() > 1
    assert pairs[0][0].settle()


@pytest.mark.parametrize(
    "request_", [AskLoudness("call-ann"), AskEngineStats()], ids=lambda one: type(one).__name__
)
def test_requests_are_answered_after_a_fault(faulty: FaultyLoop, request_: EngineCommand) -> None:
    faulty.join(agent("ann"))
    faulty.fail(1)
    faulty.loop.submit(request_)
    assert isinstance(request_, AskLoudness | AskEngineStats)
    request_.reply.get(timeout=PATIENCE)


def crowd(clock: FakeClock) -> LiveRoomsHarness:
    harness = LiveRoomsHarness(clock)
    members = [harness.join(twilio(f"caller{number}")) for number in range(MANY + 4)]
    buffer = members[3].leg.buffer
    while buffer is not None and buffer.owner is None:
        for member in members:
            member.speak(steady(1000))
        harness.tick()
    return harness


def test_only_the_leg_with_a_corrupt_row_fails(clock: FakeClock) -> None:
    harness = crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := harness.live_rooms.leg(f"call-caller{n}"))]
    assert legs[3].buffer is not None
    assert legs[3].buffer.owner is harness.live_rooms.buffers
    legs[3].buffer.row = 10**6
    harness.live_rooms.rebuild(legs, clock.monotonic())
    assert [leg for leg in legs if leg.failed] == [legs[3]]
    harness.live_rooms.close(legs[3], None, "failed")
    harness.tick(3)
    assert not any(leg.buffer.row for leg in legs if leg.buffer is not None)


class FailingBatch(BatchJitterBuffer):
    """A batch that fails when it takes a frame of one row."""

    row = 0

    def take(self, rows: Rows, at: float) -> Taken:
        if self.row in rows:
            raise RuntimeError("a fault of ours")
        return super().take(rows, at)


def test_a_leg_that_fails_only_in_the_batch_is_found(clock: FakeClock) -> None:
    buffers, harness = FailingBatch(), crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := harness.live_rooms.leg(f"call-caller{n}"))]
    for leg in legs:
        assert leg.buffer is not None
        harness.live_rooms.buffers.forget(leg.buffer)
        leg.buffer.push(bytes(160), clock.monotonic() - 0.01)
        leg.buffer.push(bytes(160), clock.monotonic() - 0.01)
        leg.buffer.take(clock.monotonic())
        assert buffers.admit(leg.buffer)
        if leg is legs[9]:
            buffers.row = leg.buffer.row
    probe(legs, buffers, clock.monotonic())
    assert [leg for leg in legs if leg.failed] == [legs[9]]


def test_legs_that_fail_every_tick_are_found_among_many(clock: FakeClock) -> None:
    harness = crowd(clock)
    legs = [leg for n in range(MANY + 4) if (leg := harness.live_rooms.leg(f"call-caller{n}"))]
    rooms = [harness.join(twilio(f"other{n}", room=f"room-{n // 3}")).leg for n in range(30)]
    for leg in (legs[5], rooms[7], rooms[20]):
        # Frames in another encoding than that of the leg: the tick fails for all legs.
        assert leg.buffer is not None
        leg.buffer = JitterBuffer(Encoding.LINEAR, paced=True)
        for _ in range(20):
            leg.buffer.push(bytes(321 * 2), clock.monotonic() - 0.1)
    all_legs = [*legs, *rooms]
    with pytest.raises(ValueError, match="shape"):
        harness.tick()
    harness.live_rooms.rebuild(all_legs, clock.monotonic(), sift=True)
    assert {leg for leg in all_legs if leg.failed} == {legs[5], rooms[7], rooms[20]}
    for leg in (legs[5], rooms[7], rooms[20]):
        harness.live_rooms.close(leg, None, "failed")
    harness.tick(3)


def test_a_batch_ignores_a_row_of_another_batch() -> None:
    """Otherwise one fault would repeat in every tick."""
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


def test_faults_at_different_places_are_logged_with_their_tracebacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = FaultLog()
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
