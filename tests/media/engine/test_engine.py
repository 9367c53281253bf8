"""The engine's thread with real sockets. Time-outs are reached by a clock that tests turn."""

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


class House:
    """An engine, and the clients who are connected to it."""

    def __init__(self, clock: Clock, stack: ExitStack) -> None:
        self.engine = Engine(clock)
        self._stack = stack
        self._reports: list[Report] = []

    def connect(self, caller: Caller, receive_buffer: int | None = None) -> Client:
        """A client whose socket is the engine's, and which has not said anything yet."""
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
        """The first report of this kind about the caller's leg that was not yet waited for."""
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
        """The rungs of the caller's leg so far."""
        while not self.engine.reports.empty():
            self._reports.append(self.engine.reports.get())
        steps = [report for report in self._reports if isinstance(report, LegStep)]
        return [step.event for step in steps if step.leg_id == caller.spec.leg_id]

    def left(self) -> list[Report]:
        """The reports that nobody waited for."""
        return self._reports

    def turn(self) -> None:
        """Return when the engine has looked at its sockets and the time."""
        for _ in range(2):
            self.engine.stats((), PATIENCE)


def open_house(clock: Clock) -> Iterator[House]:
    with ExitStack() as clients:
        house = House(clock, clients)
        try:
            yield house
        finally:
            # First, because the engine waits for those who are there to answer its close frames.
            clients.close()
            house.engine.stop()


@pytest.fixture
def house() -> Iterator[House]:
    """On the machine's own clock."""
    yield from open_house(SystemClock())


@pytest.fixture
def still(clock: FakeClock) -> Iterator[House]:
    """On the clock that the test turns."""
    yield from open_house(clock)


def audio_of(message: bytes) -> bytes | None:
    """The audio in a message to an agent or a Twilio phone."""
    document = json.loads(message)
    if document["event"] != "media":
        return None
    return b64decode(document.get("media", document)["payload"])


def next_event(client: Client) -> dict[str, object]:
    """The next message that is not audio."""
    while audio_of(message := client.read_text()) is not None:
        pass
    document: dict[str, object] = json.loads(message)
    return document


def next_sound(client: Client) -> bytes:
    """The next audio that is not silence."""
    while True:
        audio = audio_of(client.read_text())
        if audio is not None and audio.strip(b"\xff\x00"):
            return audio


def test_two_callers_hear_each_other(house: House) -> None:
    ann, bob = twilio("ann"), agent("bob")
    phone, program = house.join(ann), house.join(bob)
    for _ in range(5):
        phone.send(ann.media(b"\x20" * 160))
        program.send(bob.media(b"\x00\x20" * 160))
    assert b"\x20" not in next_sound(phone)
    assert len(next_sound(program)) == 320


def test_a_newcomer_is_told_who_is_there_and_the_others_of_the_newcomer(house: House) -> None:
    ann, bob = agent("ann"), agent("bob")
    first = house.join(ann)
    assert next_event(first)["event"] == "meeting-joined"
    second = house.join(bob)
    assert next_event(first)["event"] == "participant-joined"
    assert [next_event(second)["event"] for _ in range(2)] == [
        "meeting-joined",
        "participant-joined",
    ]
    second.send_close(1000)
    assert next_event(first)["event"] == "participant-left"


def test_first_audio_is_reported(house: House) -> None:
    ann, bob = twilio("ann"), twilio("bob")
    house.join(bob)
    phone = house.join(ann)
    phone.send(ann.media(b"\x20" * 160))
    assert isinstance(house.wait_for(LegStep, ann), LegStep)
    assert isinstance(house.wait_for(LegStep, bob), LegStep)


def test_a_ping_is_answered(house: House) -> None:
    client = house.connect(agent("ann"))
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
def test_an_agent_that_closes_cleanly_has_hung_up(
    house: House, code: int | None, reason: EndReason | None
) -> None:
    ann = agent("ann")
    client = house.join(ann)
    client.send_close(code)
    assert client.read_close() == (code, "")
    assert house.closed(ann).reason is reason


def test_a_phone_whose_socket_closes_without_stop_may_come_back(house: House) -> None:
    ann = twilio("ann")
    client = house.join(ann)
    client.send_close(1000)
    assert client.read_close() == (1000, "")
    report = house.closed(ann)
    assert (report.reason, report.detail) == (None, "closed by the peer with code 1000")


def test_a_stop_message_ends_the_call(house: House) -> None:
    ann = twilio("ann")
    client = house.join(ann)
    client.send(compact({"event": "stop"}))
    assert client.read_close() == (1000, "")
    assert house.closed(ann).reason is EndReason.CALLER_HUNG_UP


def test_a_lost_connection_is_reported_without_a_reason(house: House) -> None:
    ann = agent("ann")
    client = house.join(ann)
    client.sock.close()
    report = house.closed(ann)
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
def test_a_peer_that_breaks_the_protocol_is_closed_with_the_code_for_it(
    house: House, data: bytes, code: int
) -> None:
    ann = agent("ann")
    client = house.join(ann)
    client.send_raw(data)
    assert client.read_close()[0] == code
    assert house.closed(ann).reason is EndReason.PROTOCOL_ERROR


def test_a_start_for_another_call_is_closed_with_1008(house: House) -> None:
    ann = twilio("ann", call_id="another")
    client = house.connect(ann)
    client.send(ann.start)
    assert client.read_close() == (1008, "The stream belongs to another call.")
    report = house.closed(ann)
    assert report.reason is EndReason.PROTOCOL_ERROR
    assert report.detail == "The stream belongs to another call."


def test_a_start_that_cannot_be_decoded_is_closed_with_its_reason(house: House) -> None:
    ann = telnyx("ann", encoding="OPUS")
    client = house.connect(ann)
    client.send(ann.start)
    reason = "encoding must be one of PCMU, PCMA in mono at 8000 Hz."
    assert client.read_close() == (1003, reason)
    assert house.closed(ann).detail == reason


def test_a_fault_in_a_message_closes_its_own_leg_only(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(WebSocketWire):
        def receive(self, message: bytes) -> list[Event]:
            if b"raise" in message:
                raise RuntimeError("a fault of ours")
            return super().receive(message)

    ann, bob = agent("ann", wire=Faulty()), agent("bob")
    faulty, healthy = house.join(ann), house.join(bob)
    faulty.send(RAISE)
    assert faulty.read_close() == (1011, "")
    report = house.closed(ann)
    assert report.reason is None
    assert "a fault of ours" in caplog.text
    healthy.settle()
    assert set(house.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_a_fault_in_the_tick_closes_the_leg_that_carries_it_and_no_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(WebSocketWire):
        broken = False

        def send(self, command: Command) -> list[bytes]:
            self.broken |= isinstance(command, Marked)
            if self.broken:
                raise RuntimeError("a fault of ours")
            return super().send(command)

    ann, bob = agent("ann"), agent("bob", wire=Faulty())
    healthy, faulty = house.join(ann), house.join(bob)
    faulty.send(RAISE)
    assert faulty.read_close() == (1011, "")
    assert house.closed(bob).reason is None
    assert "a fault of ours" in caplog.text
    again = house.join(agent("bob", leg="leg-2"))
    assert next_event(again)["event"] == "meeting-joined"
    again.send(bob.media(b"\x00\x20" * 160))
    assert len(next_sound(healthy)) == 320
    assert house.engine.engine_stats(PATIENCE).faults == 1


def test_requests_that_a_fault_has_kept_waiting_are_carried_out() -> None:
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


def test_a_socket_that_cannot_be_adopted_harms_nobody(house: House) -> None:
    bob, ann = agent("bob"), agent("ann")
    healthy = house.join(bob)
    ours, theirs = connection()
    theirs.close()
    ours.close()
    house.engine.adopt(ours, ann.spec)
    report = house.closed(ann)
    assert report.reason is None
    healthy.settle()
    assert set(house.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_hanging_up_ends_the_call_with_the_reason_that_was_given(house: House) -> None:
    ann, bob = agent("ann"), agent("bob")
    client, other = house.join(ann), house.join(bob)
    house.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "The meeting has been closed")
    texts = []
    while (frame := client.read()) is not None and frame.opcode is not Opcode.CLOSE:
        texts.append(bytes(frame.data))
    assert json.loads(texts[-1]) == {
        "event": "meeting-left",
        "message": "The meeting has been closed",
    }
    assert frame is not None
    assert frame.data[2:] == b"The meeting has been closed"
    report = house.closed(ann)
    assert (report.reason, report.detail) == (EndReason.ENDED_BY_API, "The meeting has been closed")
    other.settle()
    assert set(house.engine.stats(["call-bob"], PATIENCE)) == {"call-bob"}


def test_hanging_up_a_leg_leaves_another_leg_of_its_call_alone(house: House) -> None:
    ann, again = agent("ann"), agent("ann", leg="leg-2")
    first, second = house.connect(ann), house.connect(again)
    house.engine.hang_up("call-ann", EndReason.REPLACED, "replaced", leg_id="ann-leg-1")
    assert first.read_close() == (1000, "replaced")
    assert house.closed(ann).reason is EndReason.REPLACED
    second.settle()
    house.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over", leg_id="ann-leg-1")
    second.settle()
    house.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    assert second.read_close() == (1000, "over")
    assert house.closed(again).reason is EndReason.ENDED_BY_API


def test_hanging_up_a_call_that_is_not_there_does_nothing(house: House) -> None:
    client = house.connect(agent("ann"))
    house.engine.hang_up("call-bob", EndReason.ENDED_BY_API, "over")
    client.settle()
    assert house.engine.reports.empty()


def test_stats_of_unknown_calls_are_none(house: House) -> None:
    assert house.engine.stats(["call-ann"], PATIENCE) == {}
    assert house.engine.stats([], PATIENCE) == {}


def test_stats_are_those_of_the_leg_in_the_room(house: House) -> None:
    ann = agent("ann")
    house.connect(ann)
    client = house.join(agent("ann", leg="leg-2"))
    house.connect(agent("ann", leg="leg-3"))
    client.send(b"{")
    client.settle()
    stats = house.engine.stats(["call-ann", "call-bob"], PATIENCE)
    assert set(stats) == {"call-ann"}
    assert stats["call-ann"]["malformed"] == 1


def heard(client: Client) -> None:
    """Return once a frame has come."""
    while b'"media"' not in client.read_text():
        pass


def test_figures_are_of_all_legs_and_outlive_them(house: House) -> None:
    ann, bob = twilio("ann"), agent("bob")
    phone, program = house.join(ann), house.join(bob)
    for _ in range(5):
        heard(phone)
        heard(program)
    figures = house.engine.engine_stats(PATIENCE)
    assert (figures.sockets, figures.joined, figures.requests) == (2, 2, 0)
    assert figures.frames.sent >= 10
    assert sum(figures.lateness) == len(figures.recent) >= 5
    house.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    gone = house.closed(ann)
    later = house.engine.engine_stats(PATIENCE)
    assert (later.sockets, later.joined) == (1, 1)
    assert later.frames.sent >= gone.stats["framesOut"] + 5


def test_figures_leave_the_buffers_where_they_are(house: House) -> None:
    ann, bob = twilio("ann"), twilio("bob")
    clients = [(house.join(caller), caller) for caller in (ann, bob)]
    before = 0
    for _ in range(60):
        for client, caller in clients:
            client.send(caller.media(b"\x20" * 160))
            heard(client)
        received = house.engine.engine_stats(PATIENCE).frames.received
        assert received >= before
        before = received
    found = house.engine.stats(["call-ann", "call-bob"], PATIENCE).values()
    assert before <= sum(stats["framesIn"] for stats in found)
    assert before > 0


def test_commands_from_many_threads_are_all_carried_out(house: House) -> None:
    callers = [agent(f"caller{number}") for number in range(20)]
    clients: list[Client] = []
    threads = [
        threading.Thread(target=lambda caller=caller: clients.append(house.connect(caller)))
        for caller in callers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [caller.spec.call_id for caller in callers]
    assert set(house.engine.stats(ids, PATIENCE)) == set(ids)
    assert [thread.name for thread in threading.enumerate()].count("engine") == 1


def test_stopping_hands_every_call_back_to_its_provider(house: House) -> None:
    ann, bob = twilio("ann"), agent("bob")
    clients = [house.join(ann), house.join(bob), house.connect(agent("cid"))]
    ends: list[tuple[int | None, str]] = []
    readers = [
        threading.Thread(target=lambda client=client: ends.append(client.read_close()))
        for client in clients
    ]
    for reader in readers:
        reader.start()
    house.engine.stop()
    for reader in readers:
        reader.join(PATIENCE)
    assert ends == [(1012, "Service restart")] * 3
    assert [house.closed(caller).reason for caller in (ann, bob)] == [None, None]
    assert "engine" not in [thread.name for thread in threading.enumerate()]


def test_stopping_does_not_wait_for_a_peer_that_never_answers(
    still: House, clock: FakeClock
) -> None:
    ann = agent("ann")
    still.connect(ann)
    still.turn()
    stopping = threading.Thread(target=still.engine.stop)
    stopping.start()
    while stopping.is_alive():
        clock.advance(CLOSE_SECONDS / 2)
        stopping.join(0.05)
    report = still.closed(ann)
    assert (report.reason, report.detail) == (None, "Service restart")


def test_an_engine_that_was_stopped_starts_again(house: House) -> None:
    client = house.join(agent("ann"))
    reader = threading.Thread(target=client.read_close)
    reader.start()
    house.engine.stop()
    reader.join(PATIENCE)
    again = house.join(agent("ann", leg="leg-2"))
    assert next_event(again)["event"] == "meeting-joined"


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    engine = Engine(SystemClock())
    engine.stop()
    assert engine.stats([], PATIENCE) == {}
    engine.stop()
    engine.stop()
    assert engine.reports.empty()


def test_a_socket_that_never_starts_is_closed(still: House, clock: FakeClock) -> None:
    ann = twilio("ann")
    client = still.connect(ann)
    still.turn()
    clock.advance(START_SECONDS - 0.5)
    client.settle()
    still.turn()
    clock.advance(2)
    still.turn()
    assert client.read_close() == (1008, "No start message came.")
    assert still.closed(ann).reason is None


def test_a_socket_whose_start_was_not_understood_is_closed_with_the_reason(
    still: House, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client = still.connect(ann)
    client.send(b'{"event":"start"')
    client.settle()
    clock.advance(START_SECONDS + 1)
    still.turn()
    reason = "No start message was understood: The message is not JSON."
    assert client.read_close() == (1008, reason)
    assert still.closed(ann).detail == reason


def test_a_peer_that_does_not_answer_our_close_is_cut_off(still: House, clock: FakeClock) -> None:
    ann = agent("ann")
    client = still.connect(ann)
    still.engine.hang_up("call-ann", EndReason.ENDED_BY_API, "over")
    still.turn()
    clock.advance(CLOSE_SECONDS - 0.5)
    still.turn()
    assert still.engine.stats(["call-ann"], PATIENCE) != {}
    clock.advance(1.5)
    still.turn()
    report = still.closed(ann)
    assert (report.reason, report.detail) == (EndReason.ENDED_BY_API, "over")
    with pytest.raises(ConnectionResetError):
        client.read_raw()


def test_a_peer_is_pinged_and_stays_while_it_answers(still: House, clock: FakeClock) -> None:
    client = still.join(agent("ann"))
    for _ in range(10):
        clock.advance(PING_SECONDS)
        frame = client.read()
        while frame is not None and frame.opcode is not Opcode.PING:
            frame = client.read()
        assert frame is not None
        client.settle()
    assert still.engine.stats(["call-ann"], PATIENCE) != {}


def test_a_peer_that_has_gone_silent_is_cut_off(still: House, clock: FakeClock) -> None:
    ann = agent("ann")
    still.join(ann)
    other = still.join(agent("bob"))
    clock.advance(1)
    still.turn()
    for _ in range(5):
        clock.advance((SILENT_SECONDS - 1) / 5)
        other.settle()
    assert set(still.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}
    clock.advance(2.5)
    report = still.closed(ann)
    assert (report.reason, report.detail) == (None, "the peer has gone silent")
    other.settle()
    assert set(still.engine.stats(["call-ann", "call-bob"], PATIENCE)) == {"call-bob"}


def test_a_peer_that_sends_a_frame_byte_by_byte_has_gone_silent(
    still: House, clock: FakeClock
) -> None:
    ann = agent("ann")
    client = still.join(ann)
    client.send_raw(b"\x81\xfe\x00\xff" + bytes(4))
    for _ in range(round(SILENT_SECONDS / 2) - 1):
        client.send_raw(b"x")
        clock.advance(2)
        still.turn()
    clock.advance(5)
    report = still.closed(ann)
    assert (report.reason, report.detail) == (None, "the peer has gone silent")


def silence(still: House, clock: FakeClock, seconds: float, *alive: Client) -> None:
    """Let time pass in which these clients answer every ping and say nothing else."""
    for _ in range(round(seconds / 5)):
        clock.advance(5)
        for client in alive:
            client.settle()
        still.turn()


@pytest.mark.parametrize("speaks", [True, False], ids=["after audio", "from the start"])
def test_a_phone_that_sends_no_audio_and_answers_pings_stays(
    still: House, clock: FakeClock, speaks: bool
) -> None:
    ann = telnyx("ann")
    client = still.join(ann)
    if speaks:
        client.send(ann.media(b"\x20" * 160, 1))
    still.turn()
    silence(still, clock, 40 * MUTE_SECONDS, client)
    assert set(still.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}
    assert still.steps(ann).count(LadderEvent.NO_AUDIO) == 1


def test_a_phone_that_stops_answering_pings_is_handed_back_to_its_provider(
    still: House, clock: FakeClock
) -> None:
    ann = twilio("ann")
    client, other = still.join(ann), still.join(twilio("bob"))
    program = still.join(agent("cid"))
    client.pong()
    clock.advance(1)
    still.turn()
    silence(still, clock, MUTE_SECONDS - 5, other, program)
    assert len(still.engine.stats(["call-ann", "call-bob", "call-cid"], PATIENCE)) == 3
    silence(still, clock, 10, other, program)
    reason = "Nothing came for 30 seconds, not even a pong."
    assert client.read_close() == (1000, reason)
    report = still.closed(ann)
    assert (report.reason, report.detail) == (None, reason)
    assert len(still.engine.stats(["call-bob", "call-cid"], PATIENCE)) == 2


def test_a_phone_that_answers_no_pings_stays_while_it_acknowledges_what_is_sent(
    still: House, clock: FakeClock
) -> None:
    still.join(plivo("ann"))
    silence(still, clock, 4 * MUTE_SECONDS)
    assert set(still.engine.stats(["call-ann"], PATIENCE)) == {"call-ann"}


def test_phones_that_many_others_are_heard_with_are_not_taken_for_silent(
    still: House, clock: FakeClock
) -> None:
    """They are so many that the batch has them, which keeps no time for each."""
    callers = [twilio(f"caller{number}") for number in range(MANY)]
    clients = [still.join(caller) for caller in callers]
    for _ in range(round(MUTE_SECONDS / PERIOD) + 100):
        for client, caller in zip(clients, callers, strict=True):
            client.send(caller.media(b"\x20" * 160))
        still.turn()
        clock.advance(PERIOD)
        still.turn()
    assert len(still.engine.stats([caller.spec.call_id for caller in callers], PATIENCE)) == MANY


@pytest.mark.parametrize("phone", [twilio, plivo, telnyx])
@pytest.mark.parametrize("already", [0, 50], ids=["first", "later"])
def test_five_seconds_in_one_message_make_no_phone_late(
    still: House, clock: FakeClock, phone: Callable[[str], Caller], already: int
) -> None:
    ann = phone("ann")
    client = still.join(ann)
    for number in range(already + 60):
        frames = 250 if number == already else 1
        client.send(ann.media(b"\x20" * 160 * frames, number + 1))
        still.turn()
        clock.advance(PERIOD)
        still.turn()
    stats = still.engine.stats(["call-ann"], PATIENCE)["call-ann"]
    assert stats["bufferMs"] <= 120
    assert stats["dropped"] >= 250 - 6
    assert stats["framesIn"] + stats["dropped"] + stats["bufferMs"] / 20 == already + 250 + 59


@pytest.mark.parametrize("phones", [2, MANY])
@pytest.mark.parametrize("stall", [0.06, 0.2, 1.0])
def test_after_a_stall_of_ours_nobody_is_heard_later_than_before(
    still: House, clock: FakeClock, phones: int, stall: float
) -> None:
    callers = [twilio(f"caller{number}") for number in range(phones)]
    clients = [still.join(caller) for caller in callers]

    def talk(frames: int) -> None:
        for _ in range(frames):
            for client, caller in zip(clients, callers, strict=True):
                client.send(caller.media(b"\x20" * 160))
        still.turn()

    def go_on(seconds: float) -> None:
        for _ in range(round(seconds / PERIOD)):
            talk(1)
            for _ in range(4):
                clock.advance(PERIOD / 4)
                still.turn()

    def waiting() -> float:
        stats = still.engine.stats([caller.spec.call_id for caller in callers], PATIENCE)
        return max(one["bufferMs"] for one in stats.values())

    go_on(1.0)
    before = waiting()
    for _ in range(3):
        clock.advance(stall)
        talk(round(stall / PERIOD))
        go_on(0.5)
    assert waiting() <= before + 1000 * PERIOD


def test_a_peer_that_floods_is_closed_with_1008(house: House) -> None:
    ann, bob = agent("ann"), agent("bob")
    client, other = house.join(ann), house.join(bob)
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
    report = house.closed(ann)
    assert (report.reason, report.detail) == (EndReason.PROTOCOL_ERROR, FLOOD)
    other.settle()


def test_a_peer_that_is_always_too_fast_is_reported_once(still: House, clock: FakeClock) -> None:
    ann = twilio("ann")
    client = still.join(ann)
    for _ in range(round(2.5 * FULL_SECONDS / PERIOD)):
        for _ in range(2):
            client.send(ann.media(b"\x20" * 160))
        still.turn()
        clock.advance(PERIOD)
        still.turn()
    stats = still.engine.stats(["call-ann"], PATIENCE)["call-ann"]
    assert stats["dropped"] > stats["framesIn"] / 2
    client.send_close(1000)
    steps = [still.wait_for(LegStep, ann) for _ in range(2)]
    assert [step.event for step in steps if isinstance(step, LegStep)] == [
        LadderEvent.FIRST_AUDIO_IN,
        LadderEvent.OVERRUN,
    ]
    still.closed(ann)
    assert not [report for report in still.left() if isinstance(report, LegStep)]


@pytest.mark.parametrize("last", ["stop", "close"])
def test_last_words_are_heard_before_the_end_of_the_connection(still: House, last: str) -> None:
    """They wait for the tick together with the audio before them, and the end comes sooner."""
    bob = twilio("bob") if last == "stop" else plivo("bob")
    client = still.join(bob)
    client.send(bob.media(b"\x20" * 160))
    still.turn()
    client.send(bob.media(b"\x20" * 160))
    still.turn()
    if last == "stop":
        client.send(compact({"event": "stop", "stop": {"accountSid": "A" * 200}}))
    else:
        client.send_close(1000, "x" * 120)
    still.turn()
    client.sock.close()
    assert still.closed(bob).reason is EndReason.CALLER_HUNG_UP


def test_a_peer_that_stops_reading_is_cut_off_while_the_others_go_on(
    still: House, clock: FakeClock
) -> None:
    deaf, bob = twilio("deaf"), twilio("bob")
    still.join(deaf, receive_buffer=4096)
    other = still.join(bob)
    heard = 0
    while not still.engine.stats(["call-deaf"], PATIENCE)["call-deaf"]["framesUnsent"]:
        other.send(bob.media(b"\x20" * 160))
        for _ in range(10):
            clock.advance(0.021)
            still.turn()
        heard += len(other.settle())
    assert heard > 50
    clock.advance(STALL_SECONDS - 2)
    still.turn()
    assert still.engine.stats(["call-deaf"], PATIENCE) != {}
    clock.advance(3)
    report = still.closed(deaf)
    assert (report.reason, report.detail) == (None, "the peer has stopped reading")
    assert report.stats["framesUnsent"] > 0
    other.settle()
    clock.advance(0.1)
    assert audio_of(other.read_text()) == b"\xff" * 160


def test_ticks_come_with_the_clock_and_those_of_a_stall_are_not_made_up_for(
    still: House, clock: FakeClock
) -> None:
    client = still.join(twilio("ann"))
    clock.advance(0.001)
    client.settle()
    for _ in range(10):
        clock.advance(0.02)
        assert audio_of(client.read_text()) == b"\xff" * 160
    clock.advance(5)
    for _ in range(50):
        still.turn()
        clock.advance(0.01)
    # Half a second is 25 ticks, and the one that was due in the stall. None is made up for.
    assert 25 <= len(client.settle()) <= 27
