"""Fuzz test of the frame parser: any bytes in any pieces give messages or RemoteError, bounded."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import RemoteError
from service.media.transport.websocket_frames import MAX_MESSAGE, FrameParser, Opcode, parse_close
from tests.support.fuzzing import PART, corrupted, held, pieces

MAX_FRAGMENTS = 1024

# An unfinished message, an incomplete frame, and a value for each part of both.
MOST = 2 * MAX_MESSAGE + (MAX_FRAGMENTS + 20) * PART

KEY = b"\x37\xfa\x21\x3d"


small = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(str.encode),
    st.sampled_from([125, 126, 127, 1000]).map(bytes),
    st.tuples(st.integers(0, 65_535), st.binary(max_size=123)).map(
        lambda close: struct.pack("!H", close[0]) + close[1]
    ),
)
large = st.sampled_from([40_000, MAX_MESSAGE, MAX_MESSAGE + 1]).map(bytes)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Bytes that a client sends, with headers that may not match them."""
    first = draw(st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A]))
    # Hypothesis keeps ten thousand examples in memory, so large ones are rare.
    payload = draw(small if draw(st.integers(0, 15)) else large)
    count = len(payload)
    length = (
        bytes((0x80 | count,))
        if count < 126
        else struct.pack("!BH", 0xFE, count)
        if count < 65_536
        else struct.pack("!BQ", 0xFF, count)
    )
    odd = st.binary(min_size=1, max_size=9)
    length = draw(st.one_of(*[st.just(length)] * 9, odd))
    return bytes((first,)) + length + KEY + _masked(payload)


def _masked(payload: bytes) -> bytes:
    size = len(payload)
    mask = (KEY * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


streams = st.lists(frames(), max_size=8).map(b"".join)
inputs = st.one_of(st.binary(max_size=80), streams, streams.flatmap(corrupted))
fragments = st.sampled_from([1, MAX_FRAGMENTS - 1, MAX_FRAGMENTS, 4 * MAX_FRAGMENTS]).map(
    lambda count: b"\x01\x80" + KEY + (b"\x00\x80" + KEY) * count
)


def read(connection: FrameParser, parts: list[bytes]) -> tuple[list[tuple[int, bytes]], int | None]:
    """Return the messages, and the close code of the error if there was one."""
    messages: list[tuple[int, bytes]] = []
    for part in parts:
        try:
            for message in connection.receive(part):
                messages.append(message)
        except RemoteError as error:
            assert held(connection) <= MOST
            return messages, error.close_code
        assert held(connection) <= MOST
    return messages, None


@given(data=inputs | fragments, cut=st.data())
def test_any_bytes_in_any_pieces_give_messages_or_remote_errors(
    data: bytes, cut: st.DataObject
) -> None:
    messages, code = read(FrameParser(), [data])
    assert code in (None, 1002, 1007, 1009)
    assert read(FrameParser(), cut.draw(pieces(data))) == (messages, code)
    for place, (opcode, payload) in enumerate(messages):
        assert opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG)
        assert len(payload) <= (125 if opcode >= Opcode.CLOSE else MAX_MESSAGE)
        if opcode == Opcode.TEXT:
            payload.decode()
        if opcode == Opcode.CLOSE:
            status, _ = parse_close(payload)
            assert 1000 <= status < 5000
            assert place == len(messages) - 1
            assert code is None


@given(before=inputs, after=st.lists(inputs, max_size=3))
def test_bytes_after_an_error_do_not_accumulate(before: bytes, after: list[bytes]) -> None:
    connection = FrameParser()
    for data in [before, *after, *after]:
        _, code = read(connection, [data])
        assert code in (None, 1002, 1007, 1009)


@given(before=st.one_of(st.just(b""), st.just(b""), inputs), data=inputs | frames())
@example(before=b"", data=b"\x81\xfe\x00\x7e" + KEY + _masked(b"\x80" * 126))
def test_the_fast_path_reads_frames_as_the_general_path_does(before: bytes, data: bytes) -> None:
    connection = FrameParser()
    _, code = read(connection, [before])
    text = connection.sole_text(data) if code is None else None
    assert text is None or read(connection, [data]) == ([(Opcode.TEXT, text)], None)
