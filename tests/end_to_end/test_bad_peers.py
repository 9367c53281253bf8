"""Peers that violate the protocol on an open socket are closed, and other calls continue."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from websockets.frames import Frame, Opcode

from bench import process_stats
from service.clock import SystemClock
from service.media.jitter.buffer import MAX_MARKS
from service.media.rooms.leg import MAX_FAULTS, MAX_TOPICS
from service.media.transport.connection import FLOOD, FRAMES_A_SECOND, FRAMES_AHEAD
from service.simulator.audio.codec import FRAME, RATE
from service.simulator.phone import Phone
from service.simulator.providers import markup, registry
from service.simulator.providers.dialect import Dialect
from service.simulator.scenario import CALLEE, CALLER, Scenario
from tests.support.clients import FarEnd
from tests.support.contention import waited_for_a_core
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE
from tests.support.upgrades import upgrade

PHONES = ("twilio", "plivo", "telnyx")
START = {"event": "start"}
rooms = count(2)
A_SECOND = RATE // FRAME
"""Frames of audio in a second."""

IDLE = 5
"""Number of sockets that send nothing, and of sockets that send half a message."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Calls, and the seconds for which their processes had ``waited`` for a core before them."""

    phones: list[Phone]
    pids: list[int]
    waited: float


@pytest.fixture(scope="module", autouse=True)
def beside(patchbay: Patchbay) -> Iterator[Beside]:
    """Two calls in a room that run during all tests of this file."""
    webhook = patchbay.webhook("twilio", "beside")
    pids = [os.getpid(), *process_stats.family(patchbay.server.pid)]
    waited = waited_for_a_core(pids)
    phones = [Phone(Scenario(webhook_url=webhook, loop=True)).start() for _ in range(2)]
    for phone in phones:
        phone.wait_for("first-audio")
    with ExitStack() as sockets:
        for number in range(2 * IDLE):
            idle = sockets.enter_context(Guest(patchbay))
            if number % 2:
                idle.send_raw(b"\x81\xfe\x01")
        yield Beside(phones, pids, waited)
    for phone in phones:
        phone.hang_up()
        phone.join(PATIENCE)


class Guest(FarEnd):
    """Open a custom WebSocket without a start message."""

    def __init__(self, patchbay: Patchbay) -> None:
        ticket = patchbay.invite("room-1")
        status, _, sock = upgrade(ticket["wsUrl"])
        assert status == 101
        super().__init__(sock)
        self._bay = patchbay
        self.call_id = str(ticket["callId"])

    def say(self, document: object) -> None:
        self.send(json.dumps(document).encode())

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._bay.call(self.call_id)["stats"]
        return stats

    def outcome(self) -> dict[str, Any]:
        """Wait for the end of the call and return it."""
        return over(self._bay, lambda: self._bay.call(self.call_id))


def over(patchbay: Patchbay, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    patchbay.eventually(lambda: "endReason" in ask() and ask()["endReason"] is not None)
    return ask()


class Caller:
    """Send a phone's webhook and return the phone with the markup of the answer."""

    def __init__(self, patchbay: Patchbay, provider: str) -> None:
        self._bay, self._room = patchbay, f"room-{next(rooms)}"
        webhook = patchbay.webhook(provider, self._room)
        self.dialect: Dialect = registry.of(webhook)(CALLER, CALLEE, SystemClock())
        with urlopen(
            webhook, urlencode(self.dialect.webhook()).encode(), timeout=PATIENCE
        ) as answer:
            verbs = markup.parse(answer.read(), self.dialect.readers)
        self.stream = next(verb for verb in verbs if isinstance(verb, markup.Stream))
        self.opening = self.dialect.open(self.stream, self.stream.inbound)

    def connect(self, stack: ExitStack) -> FarEnd:
        status, _, sock = upgrade(self.stream.url)
        assert status == 101
        return stack.enter_context(FarEnd(sock))

    def media(self) -> bytes:
        return json.dumps(self.dialect.media(b"\x20" * 160)).encode()

    def call(self) -> dict[str, Any]:
        (call,) = self._bay.calls(roomId=self._room)
        return call

    def outcome(self) -> dict[str, Any]:
        return over(self._bay, self.call)


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, final).serialize(mask=True)


BROKEN = {
    "an unmasked frame": (b"\x81\x05Hello", 1002),
    "a compressed frame": (b"\xc1\x81\0\0\0\0x", 1002),
    "a reserved opcode": (b"\x83\x81\0\0\0\0x", 1002),
    "a long ping": (b"\x89\xfe\0\x7e\0\0\0\0" + bytes(126), 1002),
    "a code that may not be sent": (masked(8, struct.pack("!H", 1005)), 1002),
    "a message within a message": (masked(1, b"{", final=False) + masked(1, b"}"), 1002),
    "not UTF-8": (masked(1, b'{"event":"\xff"}'), 1007),
    "not UTF-8 in pieces": (masked(1, b"\xc3", final=False) + masked(0, b"\x28"), 1007),
    "a binary message": (masked(2, bytes(320)), 1003),
    "an oversize frame": (b"\x81\xff" + struct.pack("!Q", 2**63) + bytes(4), 1009),
    "an oversize message": (
        masked(1, bytes(40_000), final=False) + masked(0, bytes(40_000))[:8],
        1009,
    ),
    "pieces without end": (masked(1, b"", final=False) + masked(0, b"", final=False) * 1100, 1009),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("started", [True, False], ids=["started", "before start"])
def test_an_rfc_violation_is_closed_with_its_code(
    patchbay: Patchbay, data: bytes, code: int, started: bool
) -> None:
    with Guest(patchbay) as guest:
        if started:
            guest.say(START)
            guest.settle()
        with suppress(ConnectionError):  # The server need not read to the end.
            guest.send_raw(data)
        assert guest.read_close()[0] == code
        call = guest.outcome()
    assert call["endReason"] == "protocol-error"
    assert call["status"] == ("ended" if started else "failed")
    assert call["timelog"][-1]["detail"].endswith(".")


BOMBS = {
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 12_000,
    "closed lists": b'{"event":"media","payload":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "wide": b'{"event":"media","payload":[' + b"[]," * 20_000 + b"0]}",
    "a huge number": b'{"event":"media","payload":' + b"9" * 60_000 + b"}",
    "a huge exponent": b'{"event":"media","payload":1e999999999}',
    "a huge name": b'{"event":"mark","name":"' + b"n" * 60_000 + b'"}',
    "a huge topic": b'{"event":"subscribe","topic":"' + b"t" * 60_000 + b'"}',
    "a huge text": b'{"event":"message","topic":"t","data":"' + b"x" * 60_000 + b'"}',
    "no text": b'{"event":"message","topic":"t","data":{"a":1}}',
    "no base64": b'{"event":"media","payload":"' + b"%" * 60_000 + b'"}',
    "half a sample": b'{"event":"media","payload":"AAAA"}',
    "half of a surrogate": b'{"event":"\\ud800"}',
    "no object": b'"start"',
    "no JSON": b"start",
    "nothing": b"",
    "a second start": b'{"event":"start"}',
}


def test_malformed_messages_are_counted_and_too_many_are_fatal(patchbay: Patchbay) -> None:
    with Guest(patchbay) as guest:
        guest.send(b'{"event":"media","payload":"AAAA"}')
        guest.say(START)
        for message in BOMBS.values():
            guest.send(message)
        guest.settle()
        counted = len(BOMBS) + 1
        assert guest.stats()["malformed"] == counted
        for _ in range(MAX_FAULTS - counted):
            guest.send(b"{")
        guest.settle()
        assert guest.stats()["malformed"] == MAX_FAULTS
        guest.send(b"{")
        assert guest.read_close() == (1002, "The message is not JSON.")
        call = guest.outcome()
    assert call["endReason"] == "protocol-error"
    assert call["stats"]["malformed"] == MAX_FAULTS + 1


@pytest.mark.parametrize(
    ("event", "name", "most"), [("mark", "name", MAX_MARKS), ("subscribe", "topic", MAX_TOPICS)]
)
def test_too_many_marks_or_topics_are_closed_with_1008(
    patchbay: Patchbay, event: str, name: str, most: int
) -> None:
    with Guest(patchbay) as guest:
        guest.say(START)
        # The marks wait for audio of 45 seconds.
        for _ in range(15):
            guest.say({"event": "media", "payload": "AAAA" * 16_000})
        for number in range(most):
            guest.say({"event": event, name: f"n{number}"})
        guest.settle()
        guest.say({"event": event, name: "n"})
        assert guest.read_close()[0] == 1008
        assert guest.outcome()["endReason"] == "protocol-error"


FLOODS = {
    "audio": masked(1, b'{"event":"media","payload":"AAAAAAAA"}'),
    "pings": masked(9, b""),
    "pieces": masked(1, b'{"event"', final=False) + masked(9, b"") + masked(0, b':"x"}'),
}


@pytest.mark.parametrize("frames", FLOODS.values(), ids=FLOODS)
def test_thousands_of_frames_a_second_are_closed_with_1008(
    patchbay: Patchbay, frames: bytes
) -> None:
    with Guest(patchbay) as guest:
        guest.say(START)
        guest.send_raw(frames * (FRAMES_AHEAD + 5 * FRAMES_A_SECOND))
        while (frame := guest.read()) is not None and frame.opcode is not Opcode.CLOSE:
            pass
    assert frame is not None
    assert bytes(frame.data) == struct.pack("!H", 1008) + FLOOD.encode()
    assert guest.outcome()["timelog"][-1]["detail"] == FLOOD


def test_a_peer_that_reads_nothing_is_disconnected_at_the_limit(
    patchbay: Patchbay,
) -> None:
    with Guest(patchbay) as guest:
        guest.say(START)
        with suppress(ConnectionError):
            for _ in range(5):
                guest.send_raw(masked(9, bytes(125)) * 1000)
        call = guest.outcome()
    assert call["endReason"] == "connection-lost"
    assert call["timelog"][-1]["detail"] == "the peer has stopped reading"


DIALECTS = [(own, other) for own in PHONES for other in (*PHONES, "websocket") if own != other]


# Telnyx's start message is identified by its reference, not by its call id.
@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_a_start_for_another_call_is_refused_and_that_call_continues(
    patchbay: Patchbay, provider: str
) -> None:
    mine, other = Caller(patchbay, provider), Caller(patchbay, provider)
    with ExitStack() as stack:
        own = other.connect(stack)
        thief = mine.connect(stack)
        for message in other.opening:
            own.send(json.dumps(message).encode())
            thief.send(json.dumps(message).encode())
        assert thief.read_close() == (1008, "The stream belongs to another call.")
        own.settle()
        assert mine.outcome()["endReason"] == "protocol-error"
        patchbay.eventually(lambda: other.call()["status"] == "answered")


@pytest.mark.parametrize("provider", PHONES)
def test_a_reused_reference_is_refused_and_its_call_continues(
    patchbay: Patchbay, provider: str
) -> None:
    caller = Caller(patchbay, provider)
    with ExitStack() as stack:
        own = caller.connect(stack)
        for message in caller.opening:
            own.send(json.dumps(message).encode())
        own.send(caller.media())
        own.settle()
        status, _, again = upgrade(caller.stream.url)
        again.close()
        assert status == 410
        own.settle()
        patchbay.eventually(lambda: caller.call()["status"] == "answered")


@pytest.mark.parametrize(("provider", "spoken"), DIALECTS)
def test_a_start_in_another_dialect_than_the_reference_s_is_refused(
    patchbay: Patchbay, provider: str, spoken: str
) -> None:
    caller = Caller(patchbay, provider)
    with ExitStack() as stack:
        peer = caller.connect(stack)
        if spoken == "websocket":
            opening, media = [START], b'{"event":"media","payload":"AAAA"}'
        else:
            another = Caller(patchbay, spoken)
            opening, media = list(another.opening), another.media()
        for message in opening:
            peer.send(json.dumps(message).encode())
        for _ in range(MAX_FAULTS + 1):
            with suppress(ConnectionError):
                peer.send(media)
        assert peer.read_close()[0] in (1002, 1008)
        call = caller.outcome()
    assert (call["status"], call["endReason"]) == ("failed", "protocol-error")
    assert re.search("start message|streamSid", call["timelog"][-1]["detail"])


def test_the_other_calls_heard_every_frame(
    patchbay: Patchbay, beside: Beside, record_property: Callable[[str, object], None]
) -> None:
    late = (waited_for_a_core(beside.pids) - beside.waited) * A_SECOND
    for phone in beside.phones:
        phone.hang_up()
        phone.join(PATIENCE)
    reports = [phone.report for phone in beside.phones]
    record_property("frames heard", [report.frames_heard for report in reports])
    record_property("frames missing", [report.frames_missing for report in reports])
    record_property("longest gaps", [report.longest_gap_ms for report in reports])
    patchbay.eventually(lambda: all(call["stats"] for call in patchbay.calls(roomId="beside")))
    calls = patchbay.calls(roomId="beside")
    assert len(calls) == len(reports)
    for report, call in zip(reports, calls, strict=True):
        assert (report.ended, report.redirects, report.problems) == ("caller-hung-up", 0, ())
        assert call["endReason"] == "caller-hung-up"
        for loss in ("framesUnsent", "lost", "late", "malformed"):
            assert call["stats"][loss] == 0
        # No frame was lost. What came after a gap waits, and the last second may not have been
        # played.
        unplayed = call["stats"]["framesOut"] - report.frames_heard
        assert unplayed <= A_SECOND + report.frames_missing
        # The calls are made on this machine, which may itself be late.
        assert report.frames_missing <= report.frames_heard // 4 + late
    assert "Traceback" not in patchbay.server.output
