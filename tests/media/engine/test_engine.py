"""The engine's thread with real sockets. Tests of timeouts move a fake clock."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from queue import SimpleQueue

import pytest
from websockets.frames import Frame, Opcode

from service.clock import Clock, SystemClock
from service.domain.calls import EndReason, LadderEvent
from service.domain.wire import PERIOD, Command, Event, Marked, MeetingLeft
from service.media.engine.commands import Adopt, Ask, HangUp, Stop
from service.media.engine.engine import Engine
from service.media.engine.loop import Loop
from service.media.engine.timeouts import (
    CLOSE_SECONDS,
    MUTE_SECONDS,
    PING_SECONDS,
    SILENT_SECONDS,
    STALL_SECONDS,
    START_SECONDS,
)
from service.media.jitter.overrun import FULL_SECONDS
from service.media.rooms.decode import MANY
from service.media.rooms.reports import LegClosed, LegStarted, LegStep, Report
from service.media.transport.connection import FLOOD
from service.providers.custom import WebSocketWire
from tests.support.callers import Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clients import PATIENCE, Client, connection
from tests.support.clocks import FakeClock

RAISE = compact({"event": "mark", "name": "raise"})


class RunningEngine:
    """An engine and the clients that are connected to it."""

    def __init__(self, clock: Clock, stack: ExitStack) -> None:
        self.engine = Engine(clock)
        self._stack = stack
        self._reports: list[Report] = []

    def connect(self, caller: Caller, receive_buffer: int | None = None) -> Client:
        """Return a client whose socket the engine has adopted, before its start message."""
        client = self._stack.enter_context(Client(receive_buffer))
        self.engine.adopt(client.ours.dup(), caller.spec)
        client.ours.close()
        return client

    def join(self, caller: Caller, receive_buffer: int | None = None) -> Client:
        client = self.connect(caller, receive_buffer)
        client.send(caller.start)
        self.wait_for(LegStarted, caller)
        return client

    def wait_for(self, kind: type[Report], caller: Caller) -> Report:
        """Return the first unclaimed report of this kind about the caller's leg."""
        while True:
            for report in self._reports:
                if isinstance(report, kind) and report.leg_id == caller.spec.leg_id:
                    self._reports.remove(report)
                    return report
            self._reports.append(self.engine.reports.get(timeout=PATIENCE))

    def closed(self, caller: Caller) -> LegClosed:
        report = self.wait_for(LegClosed, caller)
        assert isinstance(report, LegClosed)
        return report

    def steps(self, caller: Caller) -> list[LadderEvent]:
        """Return the ladder steps of the caller's leg so far."""
        while not self.engine.reports.empty():
            self._reports.append(self.engine.reports.get())
        steps = [report for report in self._reports if isinstance(report, LegStep)]
        return [step.event for step in steps if step.leg_id == caller.spec.leg_id]

    def unclaimed(self) -> list[Report]:
        """Return the reports that no call of ``wait_for`` has claimed."""
        return self._reports

    def await_turn(self) -> None:
        """Return when the engine has handled its sockets and timeouts."""
        for _ in range(2):
            self.engine.stats((), PATIENCE)


def run_engine(clock: Clock) -> Iterator[RunningEngine]:
    with ExitStack() as clients:
        running = RunningEngine(clock, clients)
        try:
            yield running
        finally:
            # Close the clients first, because the engine waits for answers to its close frames.
            clients.close()
            running.engine.stop()


@pytest.fixture
def running() -> Iterator[RunningEngine]:
    """Run an engine on the machine's clock."""
    yield from run_engine(SystemClock())


@pytest.fixture
def on_fake_clock(clock: FakeClock) -> Iterator[RunningEngine]:
    """Run an engine on a clock that the test moves."""
    yield from run_engine(clock)


def audio_of(message: bytes) -> bytes | None:
    """Return the audio in a message to an agent or a Twilio phone."""
    document = json.loads(message)
    if document["event"] != "media":
        return None
    return b64decode(document.get("media", document)["payload"])


def next_event(client: Client) -> dict[str, object]:
    """Return the next message that is not audio."""
    while audio_of(message := client.read_text()) is not None:
        pass
    document: dict[str, object] = json.loads(message)
    return document


def next_sound(client: Client) -> bytes:
    """Return the next audio that is not silence."""
    while True:
        audio = audio_of(client.read_text())
        if audio is not None and audio.strip(b"\xff\x00"):
            return audio


def test_two_callers_hear_each_other(running: RunningEngine) -> None:
    ann, bob = twilio("ann"), agent("bob")
    phone, program = running.join(ann), running.join(bob)
    for _ in range(5):
        phone.send(ann.media(b"\x20" * 160))
        program.send(bob.media(b"\x00\x20" * 160))
    assert b"\x20" not in next_sound(phone)
    assert len(next_sound(program)) == 320


def test_a_new_participant_and_the_others_are_told_of_each_other(
    running: RunningEngine,
) -> None:
    ann, bob = agent("ann"), agent("bob")
    first = running.join(ann)
    assert next_event(first)["event"] == "meeting-joined"
    second = running.join(bob)
    assert next_event(first)["event"] == "participant-joined"
    assert [next_event(second)["event"] for _ in range(2)] == [
        "meeting-joined",
        "participant-joined",
    ]
    second.send_close(1000)
    assert next_event(first)["event"] == "participant-left"


def test_first_audio_is_reported(running: RunningEngine) -> None:
    ann, bob = twilio("ann"), twilio("bob")
    running.join(bob)
    phone = running.join(ann)
    phone.send(ann.media(b"\x20" * 160))
    assert isinstance(running.wait_for(LegStep, ann), LegStep)
    assert isinstance(running.wait_for(LegStep, bob), LegStep)


def test_a_ping_is_answered(running: RunningEngine) -> None:
    client = running.connect(agent("ann"))
    assert client.settle() == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, EndReason.CALLER_HUNG_UP),
        (1001, EndReason.CALLER_HUNG_UP),
        (None, EndReason.CALLER_HUNG_UP),
        (1011, None),
    ],
)
def test_a_clean_close_by_an_agent_is_a_hang_up(
    running: RunningEngine, code: int | None, reason: EndReason | None
) -> None:
    ann = agent("ann")
    client = running.join(ann)
    client.send_close(code)
    assert client.read_close() == (code, "")
    assert running.closed(ann).reason is reason


def test_a_phone_whose_socket_closes_without_stop_may_return(running: RunningEngine) -> None:
    ann = twilio("ann")
    client = running.join(ann)
    client.send_close(1000)
    assert client.read_close() == (1000, "")
    report = running.closed(ann)
    assert (report.reason, report.detail) == (None, "closed by the peer with code 1000")


def test_a_stop_message_ends_the_call(running: RunningEngine) -> None:
    ann = twilio("ann")
    client = running.join(ann)
    client.send(compact({"event": "stop"}))
    assert client.read_close() == (1000, "")
    assert running.closed(ann).reason is EndReason.CALLER_HUNG_UP


def test_a_lost_connection_is_reported_without_a_reason(running: RunningEngine) -> None:
    ann = agent("ann")
    client = running.join(ann)
    client.sock.close()
    report = running.closed(ann)
    assert report.reason is None
    assert report.detail.startswith("connection lost")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", 1002),
        (b"\x82\x80\0\0\0\0", 1003),
        (b"\x81\xff\0\0\0\0\0\1\0\1\0\0\0\0", 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ],
    ids=["unmasked", "binary", "oversize", "not UTF-8"],
)
def test_a_protocol_violation_closes_the_socket_with_its_code(
    running: RunningEngine, data: bytes, code: int
) -> None:
    ann = agent("ann")
    client = running.join(ann)
    client.send_raw(data)
    assert client.read_close()[0] == code
    assert running.closed(ann).reason is EndReason.PROTOCOL_ERROR


def test_a_start_for_another_call_is_closed_with_1008(running: RunningEngine) -> None:
    ann = twilio("ann", call_id="another")
    client = running.connect(ann)
    client.send(ann.start)
    assert client.read_close() == (1008, "The stream belongs to another call.")
    report = running.closed(ann)
    assert report.reason is EndReason.PROTOCOL_ERROR
    assert report.detail == "The stream belongs to another call."


def test_a_start_that_cannot_be_decoded_is_closed_with_its_reason(running: RunningEngine) -> None:
    ann = telnyx("ann", encoding="OPUS")
    client = running.connect(ann)
    client.send(ann.start)
    reason = "encoding must be one of PCMU, PCMA in mono at 8000 Hz."
    assert client.read_close() == (1003, reason)
    assert running.closed(ann).detail == reason


def test_a_fault_in_a_message_closes_only_its_own_leg(
    running: RunningEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(WebSocketWire):
        def receive(self, message: bytes) -> list[Event]:
            if b"raise" in message:
                raise RuntimeError("a fault of ours")
            return super().receive(message)

    ann, bob = agent("ann", wire=Faulty()), agent("bob")
    faulty, healthy = running.join(ann), running.join(bob)
    faulty.send(RAISE)
    assert faulty.read_close() == (1011, "")
    report = running.closed(ann)
    assert report.reason is None
    assert "a fault of ours" in caplog.text
    healthy.settle()
    assert set(running.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_a_fault_in_the_tick_closes_only_the_faulty_leg(
    running: RunningEngine, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(WebSocketWire):
        broken = False

        def send(self, command: Command) -> list[bytes]:
            self.broken |= isinstance(command, Marked)
            if self.broken:
                raise RuntimeError("a fault of ours")
            return super().send(command)

    ann, bob = agent("ann"), agent("bob", wire=Faulty())
    healthy, faulty = running.join(ann), running.join(bob)
    faulty.send(RAISE)
    assert faulty.read_close() == (1011, "")
    assert running.closed(bob).reason is None
    assert "a fault of ours" in caplog.text
    again = running.join(agent("bob", leg="leg-2"))
    assert next_event(again)["event"] == "meeting-joined"
    again.send(bob.media(b"\x00\x20" * 160))
    assert len(next_sound(healthy)) == 320
    assert running.engine.engine_stats(PATIENCE).faults == 1


def test_commands_delayed_by_a_fault_are_executed() -> None:
    class Faulty(WebSocketWire):
        def send(self, command: Command) -> list[bytes]:
            if isinstance(command, MeetingLeft):
                raise RuntimeError("a fault of ours")
            return super().send(command)

    reports: SimpleQueue[Report] = SimpleQueue()
    loop = Loop(SystemClock(), reports)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    ann = agent("ann", wire=Faulty())
    ask = Ask(("call-ann",))
    with Client() as client:
        client.send(ann.start)
        loop.submit(Adopt(client.ours.dup(), ann.spec))
        assert isinstance(reports.get(timeout=PATIENCE), LegStarted)
        loop.submit(HangUp("call-ann", EndReason.ENDED_BY_API, "over", None))
        loop.submit(ask)
        assert ask.reply.get(timeout=PATIENCE) == {}
        assert isinstance(reports.get(timeout=PATIENCE), LegClosed)
    loop.submit(Stop())
    thread.join(PATIENCE)
    assert not thread.is_alive()
    loop.close()


def test_a_socket_that_cannot_be_adopted_affects_no_other(running: RunningEngine) -> None:
    bob, ann = agent("bob"), agent("ann")
    healthy = running.join(bob)
    ours, theirs = connection()
    theirs.close()
    ours.close()
    running.engine.adopt(ours, ann.spec)
    report = running.closed(ann)
    assert report.reason is None
    healthy.settle()
    assert set(running.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_hanging_up_ends_the_call_with_the_given_reason(running: RunningEngine) -> None:
    ann, bob = agent("ann"), agent("bob")
    client, other = running.join(ann), running.join(bob)
    running.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "The meeting has been closed")
    texts = []
    while (frame := client.read()) is not None and frame.opcode is not Opcode.CLOSE:
        texts.append(bytes(frame.data))
    assert json.loads(texts[-1]) == {
        "event": "meeting-left",
        "message": "The meeting has been closed",
    }
    assert frame is not None
    assert frame.data[2:] == b"The meeting has been closed"
    report = running.closed(ann)
    assert (report.reason, report.detail) == (EndReason.ENDED_BY_API, "The meeting has been closed")
    other.settle()
    assert set(running.engine.stats(["call-bob"], PATIENCE)) == {"call-bob"}


def test_hanging_up_a_leg_does_not_affect_another_leg_of_its_call(running: RunningEngine) -> None:
    ann, again = agent("ann"), agent("ann", leg="leg-2")
    first, second = running.connect(ann), running.connect(again)
    running.engine.hang_up("call-ann", EndReason.REPLACED, "replaced", leg_id="ann-leg-1")
    assert first.read_close() == (1000, "replaced")
    assert running.closed(ann).reason is EndReason.REPLACED
    second.settle()
    running.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over", leg_id="ann-leg-1")
    second.settle()
    running.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    assert second.read_close() == (1000, "over")
    assert running.closed(again).reason is EndReason.ENDED_BY_API


def test_a_call_that_is_handed_back_goes_on_elsewhere(running: RunningEngine) -> None:
    ann = agent("ann")
    client = running.connect(ann)
    running.engine.hand_back("call-ann", "elsewhere")
    assert client.read_close() == (1012, "elsewhere")
    assert running.closed(ann).reason is None


def test_hanging_up_an_unknown_call_does_nothing(running: RunningEngine) -> None:
    client = running.connect(agent("ann"))
    running.engine.hang_up("call-bob", EndReason.ENDED_BY_API, "over")
    client.settle()
    assert running.engine.reports.empty()


def test_unknown_calls_have_no_stats(running: RunningEngine) -> None:
    assert running.engine.stats(["call-ann"], PATIENCE) == {}
    assert running.engine.stats([], PATIENCE) == {}


def test_stats_are_of_the_leg_in_the_room(running: RunningEngine) -> None:
    ann = agent("ann")
    running.connect(ann)
    client = running.join(agent("ann", leg="leg-2"))
    running.connect(agent("ann", leg="leg-3"))
    client.send(b"{")
    client.settle()
    stats = running.engine.stats(["call-ann", "call-bob"], PATIENCE)
    assert set(stats) == {"call-ann"}
    assert stats["call-ann"]["malformed"] == 1


def heard(client: Client) -> None:
    """Return after the next frame of audio."""
    while b'"media"' not in client.read_text():
        pass


def test_engine_stats_include_closed_legs(running: RunningEngine) -> None:
    ann, bob = twilio("ann"), agent("bob")
    phone, program = running.join(ann), running.join(bob)
    for _ in range(5):
        heard(phone)
        heard(program)
    stats = running.engine.engine_stats(PATIENCE)
    assert (stats.sockets, stats.joined, stats.requests) == (2, 2, 0)
    assert stats.frames.sent >= 10
    assert sum(stats.lateness) == len(stats.recent) >= 5
    running.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    gone = running.closed(ann)
    later = running.engine.engine_stats(PATIENCE)
    assert (later.sockets, later.joined) == (1, 1)
    assert later.frames.sent >= gone.stats["framesOut"] + 5


def test_engine_stats_do_not_unbatch_buffers(running: RunningEngine) -> None:
    ann, bob = twilio("ann"), twilio("bob")
    clients = [(running.join(caller), caller) for caller in (ann, bob)]
    before = 0
    for _ in range(60):
        for client, caller in clients:
            client.send(caller.media(b"\x20" * 160))
            heard(client)
        received = running.engine.engine_stats(PATIENCE).frames.received
        assert received >= before
        before = received
    found = running.engine.stats(["call-ann", "call-bob"], PATIENCE).values()
    assert before <= sum(stats["framesIn"] for stats in found)
    assert before > 0


def engine_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "engine"}


def test_all_commands_of_many_threads_are_executed(running: RunningEngine) -> None:
    others = engine_threads()
    callers = [agent(f"caller{number}") for number in range(20)]
    clients: list[Client] = []
    threads = [
        threading.Thread(target=lambda caller=caller: clients.append(running.connect(caller)))
        for caller in callers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [caller.spec.call_id for caller in callers]
    assert set(running.engine.stats(ids, PATIENCE)) == set(ids)
    assert len(engine_threads() - others) == 1


def test_stopping_returns_every_call_to_its_provider(running: RunningEngine) -> None:
    others = engine_threads()
    ann, bob = twilio("ann"), agent("bob")
    clients = [running.join(ann), running.join(bob), running.connect(agent("cid"))]
    ends: list[tuple[int | None, str]] = []
    readers = [
        threading.Thread(target=lambda client=client: ends.append(client.read_close()))
        for client in clients
    ]
    for reader in readers:
        reader.start()
    running.engine.stop()
    for reader in readers:
        reader.join(PATIENCE)
    assert ends == [(1012, "Service restart")] * 3
    assert [running.closed(caller).reason for caller in (ann, bob)] == [None, None]
    assert engine_threads() <= others


def test_stopping_does_not_wait_for_a_peer_that_never_answers(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = agent("ann")
    on_fake_clock.connect(ann)
    on_fake_clock.await_turn()
    stopping = threading.Thread(target=on_fake_clock.engine.stop)
    stopping.start()
    while stopping.is_alive():
        clock.advance(CLOSE_SECONDS / 2)
        stopping.join(0.05)
    report = on_fake_clock.closed(ann)
    assert (report.reason, report.detail) == (None, "Service restart")


def test_a_stopped_engine_can_start_again(running: RunningEngine) -> None:
    client = running.join(agent("ann"))
    reader = threading.Thread(target=client.read_close)
    reader.start()
    running.engine.stop()
    reader.join(PATIENCE)
    again = running.join(agent("ann", leg="leg-2"))
    assert next_event(again)["event"] == "meeting-joined"


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    engine = Engine(SystemClock())
    engine.stop()
    assert engine.stats([], PATIENCE) == {}
    engine.stop()
    engine.stop()
    assert engine.reports.empty()


def test_a_socket_that_never_starts_is_closed(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client = on_fake_clock.connect(ann)
    on_fake_clock.await_turn()
    clock.advance(START_SECONDS - 0.5)
    client.settle()
    on_fake_clock.await_turn()
    clock.advance(2)
    on_fake_clock.await_turn()
    assert client.read_close() == (1008, "No start message came.")
    assert on_fake_clock.closed(ann).reason is None


def test_a_socket_with_an_invalid_start_is_closed_with_the_reason(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client = on_fake_clock.connect(ann)
    client.send(b'{"event":"start"')
    client.settle()
    clock.advance(START_SECONDS + 1)
    on_fake_clock.await_turn()
    reason = "No start message was understood: The message is not JSON."
    assert client.read_close() == (1008, reason)
    assert on_fake_clock.closed(ann).detail == reason


def test_a_peer_that_does_not_answer_a_close_frame_is_disconnected(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = agent("ann")
    client = on_fake_clock.connect(ann)
    on_fake_clock.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    on_fake_clock.await_turn()
    clock.advance(CLOSE_SECONDS - 0.5)
    on_fake_clock.await_turn()
    assert on_fake_clock.engine.stats(["call-ann"], PATIENCE) != {}
    clock.advance(1.5)
    on_fake_clock.await_turn()
    report = on_fake_clock.closed(ann)
    assert (report.reason, report.detail) == (EndReason.ENDED_BY_API, "over")
    with pytest.raises(ConnectionResetError):
        client.read_raw()


def test_a_peer_that_answers_pings_stays_connected(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    client = on_fake_clock.join(agent("ann"))
    for _ in range(10):
        clock.advance(PING_SECONDS)
        frame = client.read()
        while frame is not None and frame.opcode is not Opcode.PING:
            frame = client.read()
        assert frame is not None
        client.settle()
    assert on_fake_clock.engine.stats(["call-ann"], PATIENCE) != {}


def test_a_silent_peer_is_disconnected(on_fake_clock: RunningEngine, clock: FakeClock) -> None:
    ann = agent("ann")
    on_fake_clock.join(ann)
    other = on_fake_clock.join(agent("bob"))
    clock.advance(1)
    on_fake_clock.await_turn()
    for _ in range(5):
        clock.advance((SILENT_SECONDS - 1) / 5)
        other.settle()
    assert set(on_fake_clock.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}
    clock.advance(2.5)
    report = on_fake_clock.closed(ann)
    assert (report.reason, report.detail) == (None, "the peer has gone silent")
    other.settle()
    assert set(on_fake_clock.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_a_peer_that_sends_a_frame_byte_by_byte_is_silent(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = agent("ann")
    client = on_fake_clock.join(ann)
    client.send_raw(b"\x81\xfe\x00\xff" + bytes(4))
    for _ in range(round(SILENT_SECONDS / 2) - 1):
        client.send_raw(b"x")
        clock.advance(2)
        on_fake_clock.await_turn()
    clock.advance(5)
    report = on_fake_clock.closed(ann)
    assert (report.reason, report.detail) == (None, "the peer has gone silent")


def silence(on_fake_clock: RunningEngine, clock: FakeClock, seconds: float, *alive: Client) -> None:
    """Move the clock while these clients answer pings and send nothing else."""
    for _ in range(round(seconds / 5)):
        clock.advance(5)
        for client in alive:
            client.settle()
        on_fake_clock.await_turn()


@pytest.mark.parametrize("speaks", [True, False], ids=["after audio", "from the start"])
def test_a_phone_without_audio_that_answers_pings_stays_connected(
    on_fake_clock: RunningEngine, clock: FakeClock, speaks: bool
) -> None:
    ann = telnyx("ann")
    client = on_fake_clock.join(ann)
    if speaks:
        client.send(ann.media(b"\x20" * 160, 1))
    on_fake_clock.await_turn()
    silence(on_fake_clock, clock, 40 * MUTE_SECONDS, client)
    assert set(on_fake_clock.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}
    assert on_fake_clock.steps(ann).count(LadderEvent.NO_AUDIO) == 1


def test_a_phone_that_stops_answering_pings_is_returned_to_its_provider(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client, other = on_fake_clock.join(ann), on_fake_clock.join(twilio("bob"))
    program = on_fake_clock.join(agent("cid"))
    client.pong()
    clock.advance(1)
    on_fake_clock.await_turn()
    silence(on_fake_clock, clock, MUTE_SECONDS - 5, other, program)
    assert len(on_fake_clock.engine.stats(["call-ann", "call-bob", "call-cid"], PATIENCE)) == 3
    silence(on_fake_clock, clock, 10, other, program)
    reason = "Nothing came for 30 seconds, not even a pong."
    assert client.read_close() == (1000, reason)
    report = on_fake_clock.closed(ann)
    assert (report.reason, report.detail) == (None, reason)
    assert len(on_fake_clock.engine.stats(["call-bob", "call-cid"], PATIENCE)) == 2


def test_a_phone_that_acknowledges_data_but_no_pings_stays_connected(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    on_fake_clock.join(plivo("ann"))
    silence(on_fake_clock, clock, 4 * MUTE_SECONDS)
    assert set(on_fake_clock.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}


def test_batched_phones_are_not_taken_for_silent(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    """They are numerous enough for the batch, which keeps no time per leg."""
    callers = [twilio(f"caller{number}") for number in range(MANY)]
    clients = [on_fake_clock.join(caller) for caller in callers]
    for _ in range(round(MUTE_SECONDS / PERIOD) + 100):
        for client, caller in zip(clients, callers, strict=True):
            client.send(caller.media(b"\x20" * 160))
        on_fake_clock.await_turn()
        clock.advance(PERIOD)
        on_fake_clock.await_turn()
    assert (
        len(on_fake_clock.engine.stats([caller.spec.call_id for caller in callers], PATIENCE))
        == MANY
    )


@pytest.mark.parametrize("phone", [twilio, plivo, telnyx])
@pytest.mark.parametrize("already", [0, 50], ids=["first", "later"])
def test_five_seconds_in_one_message_do_not_delay_a_phone(
    on_fake_clock: RunningEngine, clock: FakeClock, phone: Callable[[str], Caller], already: int
) -> None:
    ann = phone("ann")
    client = on_fake_clock.join(ann)
    for number in range(already + 60):
        frames = 250 if number == already else 1
        client.send(ann.media(b"\x20" * 160 * frames, number + 1))
        on_fake_clock.await_turn()
        clock.advance(PERIOD)
        on_fake_clock.await_turn()
    stats = on_fake_clock.engine.stats(["call-ann"], PATIENCE)["call-ann"]
    assert stats["bufferMs"] <= 120
    assert stats["dropped"] >= 250 - 6
    assert stats["framesIn"] + stats["dropped"] + stats["bufferMs"] / 20 == already + 250 + 59


@pytest.mark.parametrize("phones", [2, MANY])
@pytest.mark.parametrize("stall", [0.06, 0.2, 1.0])
def test_a_stall_of_the_engine_does_not_increase_the_delay(
    on_fake_clock: RunningEngine, clock: FakeClock, phones: int, stall: float
) -> None:
    callers = [twilio(f"caller{number}") for number in range(phones)]
    clients = [on_fake_clock.join(caller) for caller in callers]

    def talk(frames: int) -> None:
        for _ in range(frames):
            for client, caller in zip(clients, callers, strict=True):
                client.send(caller.media(b"\x20" * 160))
        on_fake_clock.await_turn()

    def go_on(seconds: float) -> None:
        for _ in range(round(seconds / PERIOD)):
            talk(1)
            for _ in range(4):
                clock.advance(PERIOD / 4)
                on_fake_clock.await_turn()

    def waiting() -> float:
        stats = on_fake_clock.engine.stats([caller.spec.call_id for caller in callers], PATIENCE)
        return max(one["bufferMs"] for one in stats.values())

    go_on(1.0)
    before = waiting()
    for _ in range(3):
        clock.advance(stall)
        talk(round(stall / PERIOD))
        go_on(0.5)
    assert waiting() <= before + 1000 * PERIOD


def test_a_flooding_peer_is_closed_with_1008(running: RunningEngine) -> None:
    ann, bob = agent("ann"), agent("bob")
    client, other = running.join(ann), running.join(bob)
    frames = Frame(Opcode.TEXT, ann.media(b"")).serialize(mask=True) * 100

    def flood() -> None:
        with suppress(OSError):
            for _ in range(200):
                client.send_raw(frames)

    thread = threading.Thread(target=flood)
    thread.start()
    assert client.read_close() == (1008, FLOOD)
    client.sock.close()
    thread.join(PATIENCE)
    report = running.closed(ann)
    assert (report.reason, report.detail) == (EndReason.PROTOCOL_ERROR, FLOOD)
    other.settle()


def test_a_peer_that_is_permanently_too_fast_is_reported_once(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client = on_fake_clock.join(ann)
    for _ in range(round(2.5 * FULL_SECONDS / PERIOD)):
        for _ in range(2):
            client.send(ann.media(b"\x20" * 160))
        on_fake_clock.await_turn()
        clock.advance(PERIOD)
        on_fake_clock.await_turn()
    stats = on_fake_clock.engine.stats(["call-ann"], PATIENCE)["call-ann"]
    assert stats["dropped"] > stats["framesIn"] / 2
    client.send_close(1000)
    steps = [on_fake_clock.wait_for(LegStep, ann) for _ in range(2)]
    assert [step.event for step in steps if isinstance(step, LegStep)] == [
        LadderEvent.FIRST_AUDIO_IN,
        LadderEvent.OVERRUN,
    ]
    on_fake_clock.closed(ann)
    assert not [report for report in on_fake_clock.unclaimed() if isinstance(report, LegStep)]


@pytest.mark.parametrize("last", ["stop", "close"])
def test_the_last_audio_is_heard_before_the_end_of_the_connection(
    on_fake_clock: RunningEngine, last: str
) -> None:
    """The audio waits for the next tick, and the connection ends before it."""
    bob = twilio("bob") if last == "stop" else plivo("bob")
    client = on_fake_clock.join(bob)
    client.send(bob.media(b"\x20" * 160))
    on_fake_clock.await_turn()
    client.send(bob.media(b"\x20" * 160))
    on_fake_clock.await_turn()
    if last == "stop":
        client.send(compact({"event": "stop", "stop": {"accountSid": "A" * 200}}))
    else:
        client.send_close(1000, "x" * 120)
    on_fake_clock.await_turn()
    client.sock.close()
    assert on_fake_clock.closed(bob).reason is EndReason.CALLER_HUNG_UP


def test_a_peer_that_stops_reading_is_disconnected_and_the_others_continue(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    deaf, bob = twilio("deaf"), twilio("bob")
    on_fake_clock.join(deaf, receive_buffer=4096)
    other = on_fake_clock.join(bob)
    heard = 0
    while not on_fake_clock.engine.stats(["call-deaf"], PATIENCE)["call-deaf"]["framesUnsent"]:
        other.send(bob.media(b"\x20" * 160))
        for _ in range(10):
            clock.advance(0.021)
            on_fake_clock.await_turn()
        heard += len(other.settle())
    assert heard > 50
    clock.advance(STALL_SECONDS - 2)
    on_fake_clock.await_turn()
    assert on_fake_clock.engine.stats(["call-deaf"], PATIENCE) != {}
    clock.advance(3)
    report = on_fake_clock.closed(deaf)
    assert (report.reason, report.detail) == (None, "the peer has stopped reading")
    assert report.stats["framesUnsent"] > 0
    other.settle()
    clock.advance(0.1)
    assert audio_of(other.read_text()) == b"\xff" * 160


def test_ticks_follow_the_clock_and_skip_a_stall(
    on_fake_clock: RunningEngine, clock: FakeClock
) -> None:
    client = on_fake_clock.join(twilio("ann"))
    clock.advance(0.001)
    client.settle()
    for _ in range(10):
        clock.advance(0.02)
        assert audio_of(client.read_text()) == b"\xff" * 160
    clock.advance(5)
    for _ in range(50):
        on_fake_clock.await_turn()
        clock.advance(0.01)
    # Half a second has 25 ticks, plus the one that was due during the stall; no tick is made up.
    assert 25 <= len(client.settle()) <= 27
