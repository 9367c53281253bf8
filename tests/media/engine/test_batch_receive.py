"""The fast path in against the general one: the same bytes leave the same audio in every buffer."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from service.domain.calls import EndReason
from service.domain.wire import Event
from service.errors import RemoteError
from service.media.engine.batch_receive import FEW, BatchReceiver, Read
from service.media.jitter.buffer import JitterBuffer
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.transport.connection import MediaSocket
from service.providers.twilio import TwilioWire
from tests.support.callers import Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.lines import ListLine

PERIOD = 0.02
CALLS = FEW + 2


def masked(message: bytes, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A frame whose mask is not random, so that an example can be repeated."""
    frame = Frame(Opcode.TEXT, message).serialize(mask=False)
    head = len(frame) - len(message)
    return frame[:1] + bytes((frame[1] | 0x80,)) + frame[2:head] + mask + apply_mask(message, mask)


def media(provider: str, stream: int, number: int, payload: str) -> bytes:
    """What each provider says of a frame, with all its counters."""
    match provider:
        case "twilio" | "telnyx":
            names = ("sequenceNumber", "streamSid", f"MZ{stream:032d}")
            if provider == "telnyx":
                names = ("sequence_number", "stream_id", f"stream-{stream}")
            sequence, stream_id, name = names
            document = {
                "event": "media",
                sequence: str(number + 1),
                stream_id: name,
                "media": {
                    "track": "inbound",
                    "chunk": str(number),
                    "timestamp": str(20 * number),
                    "payload": payload,
                },
            }
        case "plivo":
            document = {
                "event": "media",
                "sequenceNumber": number + 1,
                "streamId": f"stream-{stream}",
                "media": {
                    "track": "inbound",
                    "timestamp": str(1_705_312_200_000 + 20 * number),
                    "chunk": number,
                    "payload": payload,
                },
                "extra_headers": "{X-PH-ref: abc}",
            }
        case _:
            document = {"event": "media", "payload": payload}
    return compact(document)


@dataclass
class Side:
    """The same callers on an exchange of their own, which nobody ticks."""

    exchange: LiveRooms
    intake: BatchReceiver
    legs: list[Leg]
    peers: list[MediaSocket]
    faults: list[str]

    def hear(self, place: int, data: bytes, at: float, *, fast: bool) -> None:
        peer, leg = self.peers[place], self.legs[place]
        if not fast or not self.intake.keep(peer, leg, data, at):
            self._general((peer, leg, data, at))

    def take(self) -> None:
        for read in self.intake.take():
            self._general(read)

    def _general(self, read: Read) -> None:
        peer, leg, data, at = read
        try:
            for message in peer.messages(data):
                self.exchange.message(leg, message, at)
        except RemoteError as error:
            if peer.closing is None:
                self.faults.append(f"{leg.spec.leg_id}: {error.message}")
            peer.hang_up(error.close_code, error.message, EndReason.PROTOCOL_ERROR)

    def heard(self) -> list[tuple[object, ...]]:
        """All that each leg's buffer has to give, its counters, and how many frames came.

        Of a peer that has broken the rules nothing more is read, and what it sent is not counted.
        """
        told = []
        for leg, peer in zip(self.legs, self.peers, strict=True):
            buffer = leg.buffer
            assert buffer is not None
            stats = leg.stats()
            frames = [buffer.take(2_000.0 + n * PERIOD) for n in range(12)]
            counts = [stats[name] for name in ("jitterMs", "lost", "late", "dropped")]
            came = peer.connection.frames if peer.closing is None else None
            told.append((frames, *counts, came))
        return told


@pytest.fixture
def sides(clock: FakeClock) -> Iterator[Callable[[Callable[[str], Caller]], tuple[Side, Side]]]:
    with ExitStack() as sockets:

        def side(make: Callable[[str], Caller]) -> Side:
            exchange = LiveRooms(clock, lambda report: None)
            legs, peers = [], []
            for number in range(CALLS):
                caller = make(f"caller{number}")
                leg = exchange.open(caller.spec, ListLine())
                exchange.message(leg, caller.start, 1_000.0)
                ours, theirs = socket.socketpair()
                sockets.enter_context(ours)
                sockets.enter_context(theirs)
                legs.append(leg)
                peers.append(MediaSocket(ours, clock, set()))
            return Side(exchange, BatchReceiver(exchange.buffers), legs, peers, [])

        def sides(make: Callable[[str], Caller]) -> tuple[Side, Side]:
            sockets.close()  # Those of the example before.
            return side(make), side(make)

        yield sides


MAKERS: dict[str, Callable[[str], Caller]] = {
    "twilio": twilio,
    "plivo": plivo,
    "telnyx": telnyx,
    "agent": agent,
}


def audio(provider: str, number: int) -> str:
    """One frame."""
    samples = bytes((number % 256, 7)) * 80
    return b64encode(2 * samples if provider == "agent" else samples).decode()


def both(pair: Sequence[Side], place: int, data: bytes, at: float) -> None:
    fast, general = pair
    fast.hear(place, data, at, fast=True)
    general.hear(place, data, at, fast=False)


mutation = st.tuples(st.integers(0, CALLS - 1), st.integers(0, 400), st.integers(0, 255))


@pytest.mark.parametrize("provider", MAKERS)
def test_any_bytes_mean_the_same_both_ways(
    sides: Callable[[Callable[[str], Caller]], tuple[Side, Side]], provider: str
) -> None:
    """Whole frames of which some bytes are others: in the header, the mask, the text, the audio."""

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @example([(0, 0, 0), (0, 3, 0)], 1, False, b"\xc8\x80\x00\x00")
    @given(
        st.lists(mutation, max_size=4),
        st.integers(1, 3),
        st.booleans(),
        st.binary(min_size=4, max_size=4),
    )
    def check(
        mutations: list[tuple[int, int, int]], rounds: int, inside: bool, mask: bytes
    ) -> None:
        pair = sides(MAKERS[provider])
        for place in range(CALLS):
            first = masked(media(provider, place, 100, audio(provider, 1)))
            both(pair, place, first, 1_000.0)
        for number in range(rounds):
            frames = [
                bytearray(
                    masked(media(provider, place, 101 + number, audio(provider, number)), mask)
                )
                for place in range(CALLS)
            ]
            for place, position, value in mutations:
                frame = frames[place]
                if inside:
                    # Under the mask, so that it is this very byte of the message.
                    where = 8 + position % (len(frame) - 8)
                    frame[where] = value ^ frame[4 + (where - 8) % 4]
                else:
                    frame[position % len(frame)] = value
            for place, frame in enumerate(frames):
                both(pair, place, bytes(frame), 1_000.02 + number * PERIOD)
        pair[0].take()
        assert pair[0].heard() == pair[1].heard()
        assert sorted(pair[0].faults) == sorted(pair[1].faults)

    check()


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
@pytest.mark.parametrize("value", ["0999", "9 99", "-999", "1e99", "99\\u", 'a"b9', "12345"])
def test_odd_values_mean_the_same_both_ways(
    sides: Callable[[Callable[[str], Caller]], tuple[Side, Side]], provider: str, value: str
) -> None:
    """In the place of a counter of four digits, or of part of the stream's name."""
    pair = sides(MAKERS[provider])
    for place in range(CALLS):
        both(pair, place, masked(media(provider, place, 1000, audio(provider, 1))), 1_000.0)
    for place in range(CALLS):
        message = media(provider, 1111, 2222, audio(provider, 2))
        # Not in the first one, which is the example that the others are compared with.
        if place == 2:
            message = message.replace(b"2222", value.encode())
        elif place == 3:
            message = message.replace(b"1111", value.encode())
        both(pair, place, masked(message), 1_000.02)
    pair[0].take()
    assert pair[0].heard() == pair[1].heard()
    assert pair[0].faults == pair[1].faults


@pytest.mark.parametrize("provider", MAKERS)
def test_frames_that_come_in_pieces_or_together_mean_the_same_both_ways(
    sides: Callable[[Callable[[str], Caller]], tuple[Side, Side]], provider: str
) -> None:
    """Each caller's bytes are cut up differently, so that reads are whole frames now and then."""

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.integers(1, 900), max_size=6), st.integers(0, 3))
    def check(cuts: list[int], takes: int) -> None:
        pair = sides(MAKERS[provider])
        for place in range(CALLS):
            data = b"".join(
                masked(media(provider, place, 100 + number, audio(provider, number)))
                for number in range(5)
            )
            both(pair, place, data[: len(data) // 5], 1_000.0)
            start = len(data) // 5
            # The last caller's reads are cut as the example says, those of the others are frames.
            lengths = cuts if place == CALLS - 1 else [start] * 4
            for turn, length in enumerate([*lengths, len(data)]):
                piece = data[start : start + length]
                start += len(piece)
                if piece:
                    both(pair, place, piece, 1_000.02)
                if turn < takes:
                    pair[0].take()
        pair[0].take()
        assert pair[0].heard() == pair[1].heard()
        assert pair[0].faults == pair[1].faults

    check()


@pytest.mark.parametrize("provider", MAKERS)
def test_frames_that_have_piled_up_are_still_taken_together(
    sides: Callable[[Callable[[str], Caller]], tuple[Side, Side]], provider: str
) -> None:
    """After a stall each read is several frames, and parsing them would make the stall last."""
    pair = sides(MAKERS[provider])
    for place in range(CALLS):
        both(pair, place, masked(media(provider, place, 100, audio(provider, 1))), 1_000.0)
    for place in range(CALLS):
        frames = [masked(media(provider, place, n, audio(provider, n))) for n in range(101, 105)]
        both(pair, place, b"".join(frames) + frames[0][:50], 1_000.1)
    left = list(pair[0].intake.take())
    assert [len(data) for _, _, data, _ in left] == [50] * CALLS
    for read in left:
        pair[0]._general(read)
    assert pair[0].heard() == pair[1].heard()


class CountingWire(TwilioWire):
    """Counts the messages that are parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.parsed = 0

    def receive(self, message: bytes) -> list[Event]:
        self.parsed += 1
        return super().receive(message)


def test_no_ordinary_message_is_parsed_nor_put_into_a_buffer_alone(clock: FakeClock) -> None:
    """Of a thousand frames of each of twenty calls, a handful is looked at one by one."""
    exchange = LiveRooms(clock, lambda report: None)
    intake = BatchReceiver(exchange.buffers)
    wires, pushed = [], 0
    seats: list[tuple[MediaSocket, Leg]] = []
    with ExitStack() as sockets:
        for number in range(20):
            caller = twilio(f"caller{number}")
            wire = CountingWire()
            wires.append(wire)
            spec = caller.spec
            object.__setattr__(spec, "wire", wire)
            leg = exchange.open(spec, ListLine())
            exchange.message(leg, caller.start, clock.monotonic())
            ours, theirs = socket.socketpair()
            sockets.enter_context(ours)
            sockets.enter_context(theirs)
            seats.append((MediaSocket(ours, clock, set()), leg))
        for number in range(1000):
            for place, (peer, leg) in enumerate(seats):
                data = masked(media("twilio", place, 1000 + number, audio("twilio", number)))
                if not intake.keep(peer, leg, data, clock.monotonic()):
                    for message in peer.messages(data):
                        exchange.message(leg, message, clock.monotonic())
            clock.advance(0.005)
            for peer, leg, data, at in intake.take():
                pushed += 1
                for message in peer.messages(data):
                    exchange.message(leg, message, at)
            exchange.tick(clock.monotonic())
            clock.advance(0.015)
        kept = [isinstance(leg.buffer, JitterBuffer) and leg.buffer.owner for _, leg in seats]
        taken = [leg.stats()["framesIn"] for _, leg in seats]
    assert [wire.parsed for wire in wires] == [2] * 20, "the start and the first audio"
    assert pushed == 0
    assert kept == [exchange.buffers] * 20
    assert min(taken) >= 999
