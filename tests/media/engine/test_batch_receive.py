"""The fast receive path gives the same buffers as the general path for the same bytes."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import example, given
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
from tests.support.transports import RecordingTransport

PERIOD = 0.02
CALLS = FEW + 2


def masked(message: bytes, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """Return a frame with a fixed mask, so that an example can be repeated."""
    frame = Frame(Opcode.TEXT, message).serialize(mask=False)
    head = len(frame) - len(message)
    return frame[:1] + bytes((frame[1] | 0x80,)) + frame[2:head] + mask + apply_mask(message, mask)


def media(provider: str, stream: int, number: int, payload: str) -> bytes:
    """Return the media message of each provider with all its counters."""
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
class Receiver:
    """Callers in their own ``LiveRooms``, without ticks."""

    live_rooms: LiveRooms
    batch_receiver: BatchReceiver
    legs: list[Leg]
    sockets: list[MediaSocket]
    faults: list[str]

    def receive(self, place: int, data: bytes, at: float, *, fast: bool) -> None:
        media_socket, leg = self.sockets[place], self.legs[place]
        if not fast or not self.batch_receiver.keep(media_socket, leg, data, at):
            self._general((media_socket, leg, data, at))

    def take(self) -> None:
        for read in self.batch_receiver.take():
            self._general(read)

    def _general(self, read: Read) -> None:
        media_socket, leg, data, at = read
        try:
            for message in media_socket.messages(data):
                self.live_rooms.message(leg, message, at)
        except RemoteError as error:
            if media_socket.closing is None:
                self.faults.append(f"{leg.spec.leg_id}: {error.message}")
            media_socket.hang_up(error.close_code, error.message, EndReason.PROTOCOL_ERROR)

    def contents(self) -> list[tuple[object, ...]]:
        """Return the frames in each leg's buffer, its counters, and the number of frames received.

        A socket that has violated the protocol is not read any further, so its frames do not count.
        """
        contents = []
        for leg, media_socket in zip(self.legs, self.sockets, strict=True):
            buffer = leg.buffer
            assert buffer is not None
            stats = leg.stats()
            frames = [buffer.take(2_000.0 + n * PERIOD) for n in range(12)]
            counts = [stats[name] for name in ("jitterMs", "lost", "late", "dropped")]
            came = media_socket.connection.frames if media_socket.closing is None else None
            contents.append((frames, *counts, came))
        return contents


@pytest.fixture
def receivers(
    clock: FakeClock,
) -> Iterator[Callable[[Callable[[str], Caller]], tuple[Receiver, Receiver]]]:
    with ExitStack() as stack:

        def receiver(make: Callable[[str], Caller]) -> Receiver:
            live_rooms = LiveRooms(clock, lambda report: None)
            legs, sockets = [], []
            for number in range(CALLS):
                caller = make(f"caller{number}")
                leg = live_rooms.open(caller.spec, RecordingTransport())
                live_rooms.message(leg, caller.start, 1_000.0)
                ours, theirs = socket.socketpair()
                stack.enter_context(ours)
                stack.enter_context(theirs)
                legs.append(leg)
                sockets.append(MediaSocket(ours, clock, set()))
            return Receiver(live_rooms, BatchReceiver(live_rooms.buffers), legs, sockets, [])

        def receivers(make: Callable[[str], Caller]) -> tuple[Receiver, Receiver]:
            stack.close()  # Close the sockets of the previous example.
            return receiver(make), receiver(make)

        yield receivers


MAKERS: dict[str, Callable[[str], Caller]] = {
    "twilio": twilio,
    "plivo": plivo,
    "telnyx": telnyx,
    "agent": agent,
}


def audio(provider: str, number: int) -> str:
    """Return one frame of audio in base64."""
    samples = bytes((number % 256, 7)) * 80
    return b64encode(2 * samples if provider == "agent" else samples).decode()


def both(pair: Sequence[Receiver], place: int, data: bytes, at: float) -> None:
    fast, general = pair
    fast.receive(place, data, at, fast=True)
    general.receive(place, data, at, fast=False)


mutation = st.tuples(st.integers(0, CALLS - 1), st.integers(0, 400), st.integers(0, 255))


@pytest.mark.hypothesis
@pytest.mark.parametrize("provider", MAKERS)
def test_any_bytes_give_the_same_result_on_both_paths(
    receivers: Callable[[Callable[[str], Caller]], tuple[Receiver, Receiver]], provider: str
) -> None:
    """Change bytes of complete frames: in the header, the mask, the text, the audio."""

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
        pair = receivers(MAKERS[provider])
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
                    # Apply the mask, so that this byte of the message changes.
                    where = 8 + position % (len(frame) - 8)
                    frame[where] = value ^ frame[4 + (where - 8) % 4]
                else:
                    frame[position % len(frame)] = value
            for place, frame in enumerate(frames):
                both(pair, place, bytes(frame), 1_000.02 + number * PERIOD)
        pair[0].take()
        assert pair[0].contents() == pair[1].contents()
        assert sorted(pair[0].faults) == sorted(pair[1].faults)

    check()


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
@pytest.mark.parametrize("value", ["0999", "9 99", "-999", "1e99", "99\\u", 'a"b9', "12345"])
def test_odd_values_give_the_same_result_on_both_paths(
    receivers: Callable[[Callable[[str], Caller]], tuple[Receiver, Receiver]],
    provider: str,
    value: str,
) -> None:
    """Replace a counter of four digits, or a part of the stream's name."""
    pair = receivers(MAKERS[provider])
    for place in range(CALLS):
        both(pair, place, masked(media(provider, place, 1000, audio(provider, 1))), 1_000.0)
    for place in range(CALLS):
        message = media(provider, 1111, 2222, audio(provider, 2))
        # Not in the first one, from which the pattern is made.
        if place == 2:
            message = message.replace(b"2222", value.encode())
        elif place == 3:
            message = message.replace(b"1111", value.encode())
        both(pair, place, masked(message), 1_000.02)
    pair[0].take()
    assert pair[0].contents() == pair[1].contents()
    assert pair[0].faults == pair[1].faults


@pytest.mark.hypothesis
@pytest.mark.parametrize("provider", MAKERS)
def test_split_and_joined_frames_give_the_same_result_on_both_paths(
    receivers: Callable[[Callable[[str], Caller]], tuple[Receiver, Receiver]], provider: str
) -> None:
    """Split each caller's bytes differently, so that some reads are complete frames."""

    @given(st.lists(st.integers(1, 900), max_size=6), st.integers(0, 3))
    def check(cuts: list[int], takes: int) -> None:
        pair = receivers(MAKERS[provider])
        for place in range(CALLS):
            data = b"".join(
                masked(media(provider, place, 100 + number, audio(provider, number)))
                for number in range(5)
            )
            both(pair, place, data[: len(data) // 5], 1_000.0)
            start = len(data) // 5
            # The example splits the last caller's reads; the reads of the others are frames.
            lengths = cuts if place == CALLS - 1 else [start] * 4
            for turn, length in enumerate([*lengths, len(data)]):
                piece = data[start : start + length]
                start += len(piece)
                if piece:
                    both(pair, place, piece, 1_000.02)
                if turn < takes:
                    pair[0].take()
        pair[0].take()
        assert pair[0].contents() == pair[1].contents()
        assert pair[0].faults == pair[1].faults

    check()


@pytest.mark.parametrize("provider", MAKERS)
def test_accumulated_frames_are_still_taken_in_bulk(
    receivers: Callable[[Callable[[str], Caller]], tuple[Receiver, Receiver]], provider: str
) -> None:
    """After a stall each read is several frames, and parsing them would prolong the stall."""
    pair = receivers(MAKERS[provider])
    for place in range(CALLS):
        both(pair, place, masked(media(provider, place, 100, audio(provider, 1))), 1_000.0)
    for place in range(CALLS):
        frames = [masked(media(provider, place, n, audio(provider, n))) for n in range(101, 105)]
        both(pair, place, b"".join(frames) + frames[0][:50], 1_000.1)
    left = list(pair[0].batch_receiver.take())
    assert [len(data) for _, _, data, _ in left] == [50] * CALLS
    for read in left:
        pair[0]._general(read)
    assert pair[0].contents() == pair[1].contents()


class CountingWire(TwilioWire):
    """A wire that counts the messages that it parses."""

    def __init__(self) -> None:
        super().__init__()
        self.parsed = 0

    def receive(self, message: bytes) -> list[Event]:
        self.parsed += 1
        return super().receive(message)


def test_ordinary_messages_are_neither_parsed_nor_buffered_one_by_one(clock: FakeClock) -> None:
    """Of a thousand frames of each of twenty calls, only a few are parsed one by one."""
    live_rooms = LiveRooms(clock, lambda report: None)
    batch_receiver = BatchReceiver(live_rooms.buffers)
    wires, pushed = [], 0
    sockets_and_legs: list[tuple[MediaSocket, Leg]] = []
    with ExitStack() as sockets:
        for number in range(20):
            caller = twilio(f"caller{number}")
            wire = CountingWire()
            wires.append(wire)
            spec = caller.spec
            object.__setattr__(spec, "wire", wire)
            leg = live_rooms.open(spec, RecordingTransport())
            live_rooms.message(leg, caller.start, clock.monotonic())
            ours, theirs = socket.socketpair()
            sockets.enter_context(ours)
            sockets.enter_context(theirs)
            sockets_and_legs.append((MediaSocket(ours, clock, set()), leg))
        for number in range(1000):
            for place, (media_socket, leg) in enumerate(sockets_and_legs):
                data = masked(media("twilio", place, 1000 + number, audio("twilio", number)))
                if not batch_receiver.keep(media_socket, leg, data, clock.monotonic()):
                    for message in media_socket.messages(data):
                        live_rooms.message(leg, message, clock.monotonic())
            clock.advance(0.005)
            for media_socket, leg, data, at in batch_receiver.take():
                pushed += 1
                for message in media_socket.messages(data):
                    live_rooms.message(leg, message, at)
            live_rooms.tick(clock.monotonic())
            clock.advance(0.015)
        kept = [
            isinstance(leg.buffer, JitterBuffer) and leg.buffer.owner for _, leg in sockets_and_legs
        ]
        taken = [leg.stats()["framesIn"] for _, leg in sockets_and_legs]
    assert [wire.parsed for wire in wires] == [2] * 20, "the start and the first audio"
    assert pushed == 0
    assert kept == [live_rooms.buffers] * 20
    assert min(taken) >= 999
