"""Legs that go on in another engine of the machine, on the same socket."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from service.clock import SystemClock
from service.domain.calls import EndReason
from service.domain.wire import FRAME_SAMPLES
from service.media.engine.commands import TakenLeg
from service.media.engine.engine import Engine
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, Report
from tests.support.callers import Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clients import PATIENCE, Client

OTHER = "zzzz-zzzz-zzzz"


class TwoEngines:
    """Two engines, ``first`` and ``second``, and clients of their sockets."""

    def __init__(self, stack: ExitStack) -> None:
        self.first, self.second = Engine(SystemClock()), Engine(SystemClock())
        self._stack = stack

    def connect(self, engine: Engine, caller: Caller, receive_buffer: int | None = None) -> Client:
        client = self._stack.enter_context(Client(receive_buffer))
        engine.adopt(client.ours.dup(), caller.spec)
        client.ours.close()
        return client

    def join(self, engine: Engine, caller: Caller, receive_buffer: int | None = None) -> Client:
        client = self.connect(engine, caller, receive_buffer)
        client.send(caller.start)
        wait_for(engine, LegStarted)
        return client

    def pass_on(self, caller: Caller) -> TakenLeg:
        """Move a leg from the first engine to the second, into ``OTHER``."""
        taken: SimpleQueue[TakenLeg] = SimpleQueue()
        self.first.take_out(caller.spec.call_id, taken.put)
        leg = taken.get(timeout=PATIENCE)
        spec = replace(leg.spec, wire=type(leg.spec.wire)(), room_id=OTHER, session_id="5e55")
        self.second.adopt(leg.sock, spec, leg.state)
        return leg


R = TypeVar("R", bound=Report)


def wait_for(engine: Engine, kind: type[R]) -> R:
    while True:
        report = engine.reports.get(timeout=PATIENCE)
        if isinstance(report, kind):
            return report


def await_message(client: Client, part: str) -> None:
    """Read up to a message that contains this."""
    while part not in client.read_text().decode():
        pass


@pytest.fixture
def engines() -> Iterator[TwoEngines]:
    with ExitStack() as clients:
        two = TwoEngines(clients)
        try:
            yield two
        finally:
            clients.close()
            two.first.stop()
            two.second.stop()


def numbered(number: int) -> bytes:
    """Return a frame of linear audio by which it is recognised."""
    return np.full(FRAME_SAMPLES, number * 64, "<i2").tobytes()


def numbers(client: Client, until: int) -> list[int]:
    """Return the numbers of the frames that a listener gets, up to one of them."""
    found: list[int] = []
    while until not in found:
        document = json.loads(client.read_text())
        if document["event"] == "media":
            # The beginning of a frame may be faded.
            sample = int(np.frombuffer(b64decode(document["payload"]), "<i2")[-1])
            if sample and sample % 64 == 0:
                found.append(sample // 64)
    return found


def test_every_frame_of_an_agent_is_heard_once_in_one_of_the_rooms(engines: TwoEngines) -> None:
    bob = agent("bob")
    here = engines.join(engines.first, agent("ann"))
    there = engines.join(engines.second, agent("zoe", room=OTHER))
    program = engines.join(engines.first, bob)
    for number in range(1, 101):
        program.send(bob.media(numbered(number)))
    heard = numbers(here, until=5)

    engines.pass_on(bob)
    for number in range(101, 121):
        program.send(bob.media(numbered(number)))
    program.send(compact({"event": "mark", "name": "all"}))
    heard_there = numbers(there, until=120)
    moved = wait_for(engines.second, LegMoved)
    assert (moved.room_id, moved.leg_id) == (OTHER, bob.spec.leg_id)
    # Frames that the first room heard after number 5 are still to be read.
    between = numbers(here, until=heard_there[0] - 1) if heard_there[0] > 6 else []
    assert heard + between + heard_there == list(range(1, 121))


@pytest.mark.parametrize("make", [twilio, plivo, telnyx])
def test_a_phone_goes_on_in_its_dialect(engines: TwoEngines, make: Callable[[str], Caller]) -> None:
    ann, bob = make("ann"), agent("bob", room=OTHER)
    phone = engines.join(engines.first, ann)
    listener = engines.join(engines.second, bob)
    for chunk in range(1, 6):
        phone.send(ann.media(b"\x20" * FRAME_SAMPLES, chunk))
    engines.pass_on(ann)
    for chunk in range(6, 11):
        phone.send(ann.media(b"\x20" * FRAME_SAMPLES, chunk))
    listener.send(bob.media(b"\x00\x20" * FRAME_SAMPLES))
    assert wait_for(engines.second, LegMoved).room_id == OTHER
    await_message(phone, '"payload"')
    while not any(b64decode(json.loads(listener.read_text()).get("payload", ""))):
        pass


def test_a_message_that_has_arrived_in_part_is_completed(engines: TwoEngines) -> None:
    ann, bob = agent("ann"), agent("bob", room=OTHER)
    program = engines.join(engines.first, ann)
    listener = engines.join(engines.second, bob)
    listener.send(compact({"event": "subscribe", "topic": "CHAT"}))
    text = compact({"event": "message", "topic": "CHAT", "data": "in pieces"})
    pieces = (
        Frame(Opcode.TEXT, text[:9], fin=False),
        Frame(Opcode.CONT, text[9:20], fin=False),
        Frame(Opcode.CONT, text[20:], fin=True),
    )
    sent = b"".join(piece.serialize(mask=True) for piece in pieces)
    program.send_raw(sent[:-10])
    listener.settle()
    engines.first.stats((), PATIENCE)
    engines.pass_on(ann)
    program.send_raw(sent[-10:])
    await_message(listener, "in pieces")


def test_output_that_its_peer_has_not_read_is_kept_in_order(engines: TwoEngines) -> None:
    ann, bob = agent("ann"), agent("bob")
    slow = engines.join(engines.first, ann, receive_buffer=2048)
    talker = engines.join(engines.first, bob)
    slow.send(compact({"event": "subscribe", "topic": "CHAT"}))
    slow.settle()
    sent = 20
    for number in range(1, sent + 1):
        text = f"{number:05}" + "x" * 8000
        talker.send(compact({"event": "message", "topic": "CHAT", "data": text}))
    talker.settle()
    taken = engines.pass_on(ann)
    assert taken.state.unsent
    found = []
    while len(found) < sent:
        document = json.loads(slow.read_text())
        if document["event"] == "message":
            found.append(int(document["data"]["message"][:5]))
    assert found == list(range(1, sent + 1))


def test_a_mark_is_answered_after_the_audio_before_it(engines: TwoEngines) -> None:
    ann, bob = agent("ann"), agent("bob", room=OTHER)
    program = engines.join(engines.first, ann)
    listener = engines.join(engines.second, bob)
    for number in range(1, 31):
        program.send(ann.media(numbered(number)))
    program.send(compact({"event": "mark", "name": "end"}))
    program.settle()
    engines.pass_on(ann)
    await_message(program, '"end"')
    assert numbers(listener, until=30)[-1] == 30


def test_statistics_and_levels_continue(engines: TwoEngines) -> None:
    ann = agent("ann")
    program = engines.join(engines.first, ann)
    for _ in range(60):
        program.send(ann.media(numbered(50)))
    program.send(compact({"event": "mark", "name": "one"}))
    await_message(program, '"one"')
    engines.pass_on(ann)
    for _ in range(60):
        program.send(ann.media(numbered(50)))
    program.send(compact({"event": "mark", "name": "two"}))
    await_message(program, '"two"')
    program.send_close(1000)
    closed = wait_for(engines.second, LegClosed)
    assert (closed.reason, closed.stats["framesIn"]) == (EndReason.CALLER_HUNG_UP, 120)
    assert closed.loudness is not None
    assert len(closed.loudness.said) == 2
    received = [engine.engine_stats().frames.received for engine in (engines.first, engines.second)]
    assert received == [60, 60]


def test_a_leg_that_has_not_started_starts_in_the_other_engine(engines: TwoEngines) -> None:
    ann = twilio("ann")
    phone = engines.connect(engines.first, ann)
    phone.send(compact({"event": "connected"}))
    phone.settle()
    engines.pass_on(ann)
    phone.send(ann.start)
    assert wait_for(engines.second, LegStarted).call_id == ann.spec.call_id


def test_the_others_are_told_that_a_leg_has_left(engines: TwoEngines) -> None:
    bob = agent("bob")
    listener = engines.join(engines.first, agent("ann"))
    engines.join(engines.first, bob)
    engines.pass_on(bob)
    await_message(listener, '"participant-left"')
    assert [leg.call_id for leg in engines.first.legs()] == ["call-ann"]


def test_a_newer_socket_of_the_call_keeps_it(engines: TwoEngines) -> None:
    ann = twilio("ann")
    old = engines.join(engines.first, ann)
    engines.join(engines.second, twilio("ann", room=OTHER, leg="leg-2"))
    engines.pass_on(ann)
    assert old.read_close() == (1000, "The call has another socket now.")


def test_a_leg_that_is_being_closed_is_not_taken_out(engines: TwoEngines) -> None:
    ann = twilio("ann")
    engines.join(engines.first, ann)
    engines.first.hang_up(ann.spec.call_id, EndReason.ENDED_BY_API, "over")
    taken: SimpleQueue[TakenLeg] = SimpleQueue()
    engines.first.take_out(ann.spec.call_id, taken.put)
    engines.first.stats((), PATIENCE)
    assert taken.empty()
