"""RFC 6455 framing: accepted and refused input, with close codes, in any pieces."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

from service.errors import RemoteError
from service.media.transport.websocket_frames import (
    MAX_MESSAGE,
    NO_STATUS,
    FrameParser,
    Opcode,
    close_frame,
    frame,
    parse_close,
)
from tests.support.fuzzing import fuzz

KEY = b"\x37\xfa\x21\x3d"

TEXT, BINARY, CONTINUATION = 0x81, 0x82, 0x80
TEXT_BEGINS, BINARY_BEGINS, GOES_ON = 0x01, 0x02, 0x00
CLOSE, PING, PONG = 0x88, 0x89, 0x8A

Message = tuple[int, bytes]


def masked(first: int, payload: bytes = b"", *, length: bytes | None = None) -> bytes:
    """Return a client's frame; ``length`` replaces the length field."""
    if length is None:
        if len(payload) < 126:
            length = bytes((len(payload),))
        elif len(payload) < 65_536:
            length = b"\x7e" + struct.pack("!H", len(payload))
        else:
            length = b"\x7f" + struct.pack("!Q", len(payload))
    hidden = bytes(byte ^ KEY[place % 4] for place, byte in enumerate(payload))
    return bytes((first, 0x80 | length[0])) + length[1:] + KEY + hidden


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def in_crumbs(data: bytes) -> Iterator[bytes]:
    """Split into bytes; the middle of long input into larger pieces, for speed."""
    step = 1 if len(data) < 4096 else 251
    for start in range(0, len(data), step):
        yield data[start : start + step]


def feed(connection: FrameParser, pieces: Iterable[bytes], got: list[Message]) -> None:
    for piece in pieces:
        got.extend(connection.receive(piece))


def received(connection: FrameParser, pieces: Iterable[bytes]) -> list[Message]:
    got: list[Message] = []
    feed(connection, pieces, got)
    return got


HALVES = "ä".encode()

ACCEPTED: dict[str, tuple[bytes, list[Message]]] = {
    "an empty text": (masked(TEXT), [(1, b"")]),
    "a text": (masked(TEXT, b"Hello"), [(1, b"Hello")]),
    "a text that is not ASCII": (masked(TEXT, "Grüße 📞".encode()), [(1, "Grüße 📞".encode())]),
    "a binary message": (masked(BINARY, b"\xff\x00"), [(2, b"\xff\x00")]),
    "125 bytes": (masked(TEXT, b"a" * 125), [(1, b"a" * 125)]),
    "126 bytes": (masked(TEXT, b"a" * 126), [(1, b"a" * 126)]),
    "127 bytes": (masked(TEXT, b"a" * 127), [(1, b"a" * 127)]),
    "65535 bytes": (masked(TEXT, b"a" * 65_535), [(1, b"a" * 65_535)]),
    "65536 bytes": (masked(TEXT, b"a" * 65_536), [(1, b"a" * 65_536)]),
    "65536 bytes in two fragments": (
        masked(TEXT_BEGINS, b"a" * 65_500) + masked(CONTINUATION, b"b" * 36),
        [(1, b"a" * 65_500 + b"b" * 36)],
    ),
    "three fragments": (
        masked(TEXT_BEGINS, b"Hel") + masked(GOES_ON, b"l") + masked(CONTINUATION, b"o"),
        [(1, b"Hello")],
    ),
    "binary fragments": (
        masked(BINARY_BEGINS, b"\xff") + masked(CONTINUATION, b"\xfe"),
        [(2, b"\xff\xfe")],
    ),
    "empty fragments": (
        masked(TEXT_BEGINS) + masked(GOES_ON) + masked(CONTINUATION, b"x"),
        [(1, b"x")],
    ),
    "a message after a fragmented one": (
        masked(TEXT_BEGINS, b"a") + masked(CONTINUATION, b"b") + masked(TEXT, b"c"),
        [(1, b"ab"), (1, b"c")],
    ),
    "two fragmented messages of the full size": (
        (masked(TEXT_BEGINS, b"a" * 65_535) + masked(CONTINUATION, b"a")) * 2,
        [(1, b"a" * 65_536)] * 2,
    ),
    "control frames between fragments": (
        masked(TEXT_BEGINS, b"a") + masked(PING, b"?") + masked(PONG) + masked(CONTINUATION, b"b"),
        [(9, b"?"), (10, b""), (1, b"ab")],
    ),
    "a ping in a message that is almost too long": (
        masked(TEXT_BEGINS, b"a" * 65_536) + masked(PING, b"p" * 125) + masked(CONTINUATION),
        [(9, b"p" * 125), (1, b"a" * 65_536)],
    ),
    "a letter split over fragments": (
        masked(TEXT_BEGINS, HALVES[:1]) + masked(CONTINUATION, HALVES[1:]),
        [(1, HALVES)],
    ),
    "an empty ping": (masked(PING), [(9, b"")]),
    "a ping of 125 bytes that are not UTF-8": (masked(PING, b"\xff" * 125), [(9, b"\xff" * 125)]),
    "an unsolicited pong": (masked(PONG, b"!"), [(10, b"!")]),
    "many messages": (masked(TEXT, b"a") * 50, [(1, b"a")] * 50),
}

CLOSES: dict[str, bytes] = {
    "nothing": b"",
    **{
        str(code): struct.pack("!H", code)
        for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
    },
    "a reason": struct.pack("!H", 1000) + "tschüß".encode(),
    "a reason of 123 bytes": struct.pack("!H", 1001) + b"r" * 123,
}

MANY_EMPTY = masked(TEXT_BEGINS) + masked(GOES_ON) * 2000

REFUSED: dict[str, tuple[bytes, list[Message], int]] = {
    "an unmasked text": (b"\x81\x05Hello", [], 1002),
    "an unmasked ping": (b"\x89\x00", [], 1002),
    "an unmasked text after a good one": (masked(TEXT, b"a") + b"\x81\x01b", [(1, b"a")], 1002),
    **{
        f"reserved bit {bit:#x} of opcode {opcode}": (masked(0x80 | bit | opcode, b"x"), [], 1002)
        for bit in (0x40, 0x20, 0x10)
        for opcode in (0x1, 0x2, 0x9)
    },
    **{
        f"reserved opcode {opcode}": (masked(0x80 | opcode, b"x"), [], 1002)
        for opcode in (*range(3, 8), *range(11, 16))
    },
    "a fragmented ping": (masked(PING & 0x7F, b"x"), [], 1002),
    "a fragmented pong": (masked(PONG & 0x7F, b"x"), [], 1002),
    "a fragmented close": (masked(CLOSE & 0x7F), [], 1002),
    "a ping of 126 bytes": (masked(PING, b"x" * 126), [], 1002),
    "a close of 126 bytes": (masked(CLOSE, struct.pack("!H", 1000) + b"x" * 124), [], 1002),
    "a continuation of nothing": (masked(CONTINUATION, b"x"), [], 1002),
    "a continuation of a finished message": (
        masked(TEXT_BEGINS, b"a") + masked(CONTINUATION, b"b") + masked(CONTINUATION, b"c"),
        [(1, b"ab")],
        1002,
    ),
    "a text inside a text": (masked(TEXT_BEGINS, b"a") + masked(TEXT, b"b"), [], 1002),
    "a binary message inside a text": (masked(TEXT_BEGINS, b"a") + masked(BINARY), [], 1002),
    "125 in 16 bits": (masked(TEXT, b"x" * 125, length=b"\x7e\x00\x7d"), [], 1002),
    "0 in 16 bits": (masked(TEXT, length=b"\x7e\x00\x00"), [], 1002),
    "125 in 64 bits": (masked(TEXT, b"x" * 125, length=b"\x7f" + bytes(7) + b"\x7d"), [], 1002),
    "65535 in 64 bits": (masked(TEXT, length=b"\x7f" + struct.pack("!Q", 65_535)), [], 1002),
    "65537 bytes": (masked(TEXT, b"x" * 65_537), [], 1009),
    "65537 bytes announced": (masked(TEXT, length=b"\x7f" + struct.pack("!Q", 65_537)), [], 1009),
    "2 to the 62 bytes announced": (masked(BINARY, length=b"\x7f\x40" + bytes(7)), [], 1009),
    "65537 bytes in two fragments": (
        masked(TEXT_BEGINS, b"x" * 65_536) + masked(CONTINUATION, b"x"),
        [],
        1009,
    ),
    "65537 bytes in many fragments": (
        masked(BINARY_BEGINS) + masked(GOES_ON, b"x" * 1024) * 64 + masked(GOES_ON, b"x"),
        [],
        1009,
    ),
    "fragments without number": (MANY_EMPTY, [], 1009),
    "a text that is not UTF-8": (masked(TEXT, b"\xff\xfe"), [], 1007),
    "half a letter": (masked(TEXT, HALVES[:1]), [], 1007),
    "half a letter in the last fragment": (
        masked(TEXT_BEGINS, b"a") + masked(CONTINUATION, HALVES[:1]),
        [],
        1007,
    ),
    "a surrogate": (masked(TEXT, b"\xed\xa0\x80"), [], 1007),
    "an overlong letter": (masked(TEXT, b"\xc0\xaf"), [], 1007),
    "a close of one byte": (masked(CLOSE, b"\x03"), [], 1002),
    **{
        f"close code {code}": (masked(CLOSE, struct.pack("!H", code)), [], 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "a close reason that is not UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), [], 1007),
}

either_way = pytest.mark.parametrize("cut", [whole, in_crumbs])


@either_way
@pytest.mark.parametrize(("data", "messages"), ACCEPTED.values(), ids=ACCEPTED)
def test_valid_frames_are_accepted(
    data: bytes, messages: list[Message], cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    assert received(FrameParser(), cut(data)) == messages


@either_way
@pytest.mark.parametrize(("data", "messages"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_message_is_followed_by_the_next_one(
    data: bytes, messages: list[Message], cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    after = masked(TEXT, b"after")
    assert received(FrameParser(), cut(data + after)) == [*messages, (1, b"after")]


@either_way
@pytest.mark.parametrize("trailing", [b"", b"\x00" * 20, masked(TEXT, b"after")])
@pytest.mark.parametrize(("data", "messages", "code"), REFUSED.values(), ids=REFUSED)
def test_invalid_frames_are_refused_with_their_close_code(
    data: bytes,
    messages: list[Message],
    code: int,
    trailing: bytes,
    cut: Callable[[bytes], Iterator[bytes]],
) -> None:
    got: list[Message] = []
    with pytest.raises(RemoteError) as refused:
        feed(FrameParser(), cut(data + trailing), got)
    assert (got, refused.value.close_code) == (messages, code)


@pytest.mark.parametrize(("data", "messages"), ACCEPTED.values(), ids=ACCEPTED)
def test_the_fast_path_reads_a_single_text_message_or_nothing(
    data: bytes, messages: list[Message]
) -> None:
    connection = FrameParser()
    sole = connection.sole_text(data)
    assert sole is None or messages == [(Opcode.TEXT, sole)]
    if sole is None:
        assert received(connection, [data]) == messages


@pytest.mark.parametrize("length", [126, 300, 4000, 65_535])
def test_the_fast_path_reads_text_of_the_length_of_audio(length: int) -> None:
    text = bytes(32 + place % 90 for place in range(length))
    assert FrameParser().sole_text(masked(TEXT, text)) == text


@pytest.mark.parametrize(
    "data",
    [
        masked(TEXT, b"a" * 125),
        masked(TEXT, "ä".encode() * 100),
        masked(BINARY, b"a" * 300),
        masked(TEXT_BEGINS, b"a" * 300),
        masked(TEXT, b"a" * 300)[:-1],
        masked(TEXT, b"a" * 300) + b"\x81",
        b"\xc1" + masked(TEXT, b"a" * 300)[1:],
    ],
    ids=["short", "not ASCII", "binary", "fragment", "cut", "more", "reserved bit"],
)
def test_the_fast_path_leaves_other_input(data: bytes) -> None:
    assert FrameParser().sole_text(data) is None


def test_the_fast_path_is_off_inside_frames_and_messages_and_after_a_close() -> None:
    text = masked(TEXT, b"a" * 300)
    for before in (b"\x81", masked(TEXT_BEGINS, b"b"), masked(CLOSE, b"\x03\xe8")):
        connection = FrameParser()
        received(connection, [before])
        assert connection.sole_text(text) is None


@pytest.mark.parametrize("data", [b"\x81\x05", b"\xc1\x80", b"\x83\x80", b"\x09\x80", b"\x89\xfe"])
def test_an_invalid_header_is_refused_before_its_frame_is_complete(data: bytes) -> None:
    with pytest.raises(RemoteError):
        received(FrameParser(), [data])


@pytest.mark.parametrize("payload", CLOSES.values(), ids=CLOSES)
@either_way
def test_nothing_is_read_after_a_close_frame(
    payload: bytes, cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    connection = FrameParser()
    after = masked(TEXT, b"after") + b"\xff" * 40
    assert received(connection, cut(masked(CLOSE, payload) + after)) == [(8, payload)]
    assert received(connection, [masked(TEXT, b"more"), b"\xff" * 40]) == []


def test_a_close_frame_may_come_between_fragments() -> None:
    data = masked(TEXT_BEGINS, b"a") + masked(CLOSE) + masked(CONTINUATION, b"b")
    assert received(FrameParser(), [data]) == [(8, b"")]


def test_unread_data_after_a_refusal_does_not_affect_later_frames() -> None:
    """The refused peer answers with a close frame, which must be parsed."""
    connection = FrameParser()
    bad = masked(TEXT, b"\xff" * 40)
    assert received(connection, [bad[:20]]) == []
    with pytest.raises(RemoteError):
        received(connection, [bad[20:]])
    assert received(connection, [masked(CLOSE, b"\x03\xef")]) == [(8, b"\x03\xef")]


def test_a_close_payload_is_read_as_code_and_reason() -> None:
    assert parse_close(b"") == (NO_STATUS, "")
    assert parse_close(b"\x03\xe9") == (1001, "")
    assert parse_close(struct.pack("!H", 4999) + "tschüß".encode()) == (4999, "tschüß")


sizes = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65_535, 65_536]))
texts = st.one_of(st.text(max_size=200), sizes.map(lambda size: "x" * size)).map(str.encode)
binaries = st.one_of(st.binary(max_size=200), sizes.map(bytes))
controls = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
scripts = st.lists(
    st.one_of(
        st.tuples(st.just(Opcode.TEXT), texts.filter(lambda text: len(text) <= MAX_MESSAGE)),
        st.tuples(st.just(Opcode.BINARY), binaries),
        controls,
    ),
    max_size=6,
)


def say(client: Protocol, opcode: Opcode, payload: bytes, draw: st.DrawFn) -> list[Message]:
    """Send one message through ``client``, possibly in fragments; return what must arrive."""
    if opcode in (Opcode.PING, Opcode.PONG):
        (client.send_ping if opcode == Opcode.PING else client.send_pong)(payload)
        return [(opcode, payload)]
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    bounds = [0, *cuts, len(payload)]
    arriving: list[Message] = []
    for place, (start, stop) in enumerate(pairwise(bounds)):
        final = place == len(cuts)
        if place:
            if draw(st.booleans()):
                control, text = draw(controls)
                arriving += say(client, control, text, draw)
            client.send_continuation(payload[start:stop], fin=final)
        elif opcode == Opcode.TEXT:
            client.send_text(payload[start:stop], fin=final)
        else:
            client.send_binary(payload[start:stop], fin=final)
    return [*arriving, (opcode, payload)]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], list[Message]]:
    """Bytes that the ``websockets`` library sends, split anywhere, and what must arrive."""
    client = Protocol(Side.CLIENT)
    expected: list[Message] = []
    for opcode, payload in draw(scripts):
        expected += say(client, opcode, payload, draw)
    if draw(st.booleans()):
        code = draw(st.sampled_from([1000, 1001, 1011, 3000, 4999]))
        reason = draw(st.text(max_size=30))
        client.send_close(code, reason)
        expected.append((Opcode.CLOSE, struct.pack("!H", code) + reason.encode()))
    data = b"".join(client.data_to_send())
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(bounds)], expected


@given(conversations())
def test_messages_of_another_library_arrive_unchanged(
    conversation: tuple[list[bytes], list[Message]],
) -> None:
    pieces, expected = conversation
    assert received(FrameParser(), pieces) == expected


@given(scripts)
def test_sent_messages_are_read_by_another_library(
    script: list[tuple[Opcode, bytes]],
) -> None:
    client = Protocol(Side.CLIENT, max_size=None)
    client.receive_data(b"".join(frame(opcode, payload) for opcode, payload in script))
    events = [event for event in client.events_received() if isinstance(event, Frame)]
    assert client.parser_exc is None
    assert [(int(event.opcode), bytes(event.data)) for event in events] == script
    assert all(event.fin for event in events)


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4000])
@given(reason=st.text(max_size=200))
def test_close_frames_with_any_reason_are_read_by_another_library(code: int, reason: str) -> None:
    client = Protocol(Side.CLIENT)
    client.receive_data(close_frame(code, reason))
    assert client.parser_exc is None
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == code
    said = client.close_rcvd.reason
    assert reason.startswith(said)
    assert said == reason or len(said.encode()) > 123 - 4


def test_a_close_frame_without_a_status_has_no_payload() -> None:
    client = Protocol(Side.CLIENT)
    client.receive_data(close_frame(NO_STATUS, "not said"))
    assert client.parser_exc is None
    assert client.state is State.CLOSING
    assert close_frame(NO_STATUS, "not said") == b"\x88\x00"


LARGEST_HEADER = 14
HELD = MAX_MESSAGE + LARGEST_HEADER + 1025 * LARGEST_HEADER
"""Maximum bytes of input without output: one message and its headers."""

plausible = st.builds(
    masked,
    st.sampled_from([TEXT, TEXT_BEGINS, GOES_ON, CONTINUATION, PING, PONG, BINARY_BEGINS]),
    st.one_of(st.binary(max_size=20), st.integers(0, 40_000).map(bytes)),
)


@fuzz(60)
@given(st.lists(st.one_of(st.binary(max_size=40), plausible), max_size=12))
def test_arbitrary_bytes_raise_only_remote_errors_and_do_not_accumulate(
    pieces: list[bytes],
) -> None:
    connection = FrameParser()
    fed = passed = 0
    with suppress(RemoteError):
        for piece in pieces:
            fed += len(piece)
            for opcode, payload in connection.receive(piece):
                assert len(payload) <= MAX_MESSAGE
                if opcode == Opcode.CLOSE:
                    return
                passed += len(payload)
            assert fed - passed <= HELD + LARGEST_HEADER * len(pieces)
