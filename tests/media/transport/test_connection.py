"""One adopted socket on loopback TCP, with a client of the websockets library."""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from websockets.frames import Opcode

from service.domain.calls import EndReason
from service.errors import RemoteError
from service.media.transport.connection import FRAMES_A_SECOND, FRAMES_AHEAD, MediaSocket
from service.media.transport.send_queue import MAX_AUDIO, MAX_BYTES
from tests.support.clients import PATIENCE, Client
from tests.support.clocks import FakeClock

PREFIX, SUFFIX = b'{"event":"media","payload":"', b'"}'


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as client:
        yield client


@pytest.fixture
def slow() -> Iterator[Client]:
    """A client with a small receive buffer."""
    with Client(receive_buffer=4096) as client:
        yield client


@pytest.fixture
def attention() -> set[MediaSocket]:
    return set()


@pytest.fixture
def media_socket(client: Client, clock: FakeClock, attention: set[MediaSocket]) -> MediaSocket:
    return MediaSocket(client.ours, clock, attention)


@pytest.fixture
def slow_media_socket(slow: Client, clock: FakeClock, attention: set[MediaSocket]) -> MediaSocket:
    return MediaSocket(slow.ours, clock, attention)


def read(media_socket: MediaSocket) -> list[bytes]:
    """Wait for data, and read once."""
    readable, _, _ = select.select([media_socket.sock], [], [], PATIENCE)
    assert readable
    data = media_socket.receive()
    if data == b"":
        media_socket.lose()
    return list(media_socket.messages(data or b""))


def read_until_ended(media_socket: MediaSocket) -> None:
    while not media_socket.ended:
        assert read(media_socket) == []


def framed(media_socket: MediaSocket, payload: bytes) -> bytes:
    """Return an audio message as the socket sends it."""
    audio = b64encode(payload)
    before, after = media_socket.around(PREFIX, SUFFIX, len(audio))
    return before + audio + after


def is_blocked(media_socket: MediaSocket) -> bool:
    return media_socket.blocked is not None


def flood(media_socket: MediaSocket) -> None:
    """Send until the kernel's buffer is full."""
    for number in range(10_000):
        if media_socket.wants_write:
            return
        media_socket.text(b"%05d" % number + b"x" * 1000)
    pytest.fail("The kernel's buffer does not fill up.")


def test_messages_are_read_in_order(media_socket: MediaSocket, client: Client) -> None:
    client.send(b"one")
    client.send("zwölf".encode())
    client.send_fragments(b"th", b"r", b"ee")
    messages: list[bytes] = []
    while len(messages) < 3:
        messages += read(media_socket)
    assert messages == [b"one", "zwölf".encode(), b"three"]


def test_reading_without_data_is_no_end(media_socket: MediaSocket) -> None:
    assert media_socket.receive() is None
    assert not media_socket.ended


def test_the_time_of_the_last_received_frame_is_kept(
    media_socket: MediaSocket, client: Client
) -> None:
    assert (media_socket.opened, media_socket.heard_at) == (1000.0, 1000.0)
    client.pong()
    assert read(media_socket) == []
    media_socket.take_stock(1007.5)
    assert (media_socket.opened, media_socket.heard_at) == (1000.0, 1007.5)
    media_socket.take_stock(1009.0)
    assert media_socket.heard_at == 1007.5


def test_an_incomplete_frame_does_not_count_as_received(
    media_socket: MediaSocket, client: Client
) -> None:
    for number, byte in enumerate(b"\x81\xfe\xff\xff" + bytes(20)):
        client.send_raw(bytes((byte,)))
        assert read(media_socket) == []
        media_socket.take_stock(1001.0 + number)
    assert media_socket.heard_at == 1000.0


def is_refused(media_socket: MediaSocket, client: Client, pings: int) -> bool:
    """Return whether one of this number of pings is refused; earlier ones are answered."""
    for _ in range(pings):
        client.send_raw(b"\x89\x80\0\0\0\0")
        try:
            read(media_socket)
        except RemoteError as error:
            return error.close_code == 1008
        client.sock.recv(2)
    return False


def test_at_most_a_minute_of_audio_may_arrive_at_once(
    media_socket: MediaSocket, client: Client
) -> None:
    assert not is_refused(media_socket, client, FRAMES_AHEAD)
    assert not media_socket.is_flooding
    assert is_refused(media_socket, client, 1)
    assert media_socket.is_flooding


def test_the_rate_of_frames_is_limited_per_second(
    media_socket: MediaSocket, client: Client
) -> None:
    for second in range(20):
        media_socket.take_stock(1001.0 + second)
    assert not is_refused(media_socket, client, FRAMES_AHEAD)
    media_socket.take_stock(1021.0)
    assert not is_refused(media_socket, client, FRAMES_A_SECOND)
    assert is_refused(media_socket, client, 1)


def test_a_ping_is_answered_with_its_payload(media_socket: MediaSocket, client: Client) -> None:
    client.ping(b"\x00\xff ping")
    assert read(media_socket) == []
    answer = client.read()
    assert answer is not None
    assert (answer.opcode, answer.data) == (Opcode.PONG, b"\x00\xff ping")


def test_pings_between_fragments_are_answered(media_socket: MediaSocket, client: Client) -> None:
    client.send_fragments(b"a", b"b", b"c")
    messages: list[bytes] = []
    while not messages:
        messages += read(media_socket)
    pongs = [client.read(), client.read()]
    assert [pong and (pong.opcode, pong.data) for pong in pongs] == [
        (Opcode.PONG, b"between"),
        (Opcode.PONG, b"between"),
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", 1002),
        (b"\x82\x80\0\0\0\0", 1003),
        (b"\x81\xff" + struct.pack("!Q", 65_537) + bytes(4), 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ],
    ids=["unmasked", "binary", "oversize", "not UTF-8"],
)
def test_a_protocol_violation_is_an_error_with_its_close_code(
    media_socket: MediaSocket, client: Client, data: bytes, code: int
) -> None:
    client.send_raw(data)
    with pytest.raises(RemoteError) as refused:
        read(media_socket)
    assert refused.value.close_code == code


def test_messages_before_a_violation_are_read(media_socket: MediaSocket, client: Client) -> None:
    client.send(b"good")
    client.send_binary(b"bad")
    messages: list[bytes] = []

    def read_on() -> None:
        while select.select([media_socket.sock], [], [], PATIENCE)[0]:
            messages.extend(media_socket.messages(media_socket.receive() or b""))

    with pytest.raises(RemoteError):
        read_on()
    assert messages == [b"good"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
def test_a_close_frame_is_answered_with_its_code(
    media_socket: MediaSocket, client: Client, attention: set[MediaSocket], code: int
) -> None:
    client.send_close(code, "bye")
    read_until_ended(media_socket)
    assert media_socket in attention
    assert (media_socket.peer_code, media_socket.reason) == (code, None)
    assert media_socket.detail == f"closed by the peer with code {code}"
    media_socket.sock.close()
    assert client.read_close() == (code, "")


def test_a_close_frame_without_a_code_is_answered_without_one(
    media_socket: MediaSocket, client: Client
) -> None:
    client.send_close()
    read_until_ended(media_socket)
    assert media_socket.peer_code == 1005
    media_socket.sock.close()
    assert client.read_close() == (None, "")


def test_hanging_up_ends_with_the_peer_s_answer(
    media_socket: MediaSocket, client: Client, clock: FakeClock
) -> None:
    clock.advance(5)
    media_socket.hang_up(1008, "No start message came.", EndReason.PROTOCOL_ERROR)
    assert media_socket.closing == 1005.0
    assert not media_socket.ended
    frame = client.read()
    assert frame is not None
    assert frame.opcode is Opcode.CLOSE
    assert frame.data == struct.pack("!H", 1008) + b"No start message came."
    read_until_ended(media_socket)
    assert (media_socket.reason, media_socket.detail) == (
        EndReason.PROTOCOL_ERROR,
        "No start message came.",
    )
    assert media_socket.peer_code is None


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("Full", EndReason.ENDED_BY_API, "Full"),
        ("", EndReason.ENDED_BY_API, "ended-by-api"),
        ("", None, "closed"),
    ],
)
def test_the_detail_of_a_hang_up_is_its_most_specific_text(
    media_socket: MediaSocket, text: str, reason: EndReason | None, detail: str
) -> None:
    media_socket.hang_up(1000, text, reason)
    assert (media_socket.detail, media_socket.reason) == (detail, reason)


def test_only_the_first_hang_up_counts(media_socket: MediaSocket, client: Client) -> None:
    media_socket.hang_up(1000, "first", EndReason.ENDED_BY_API)
    media_socket.hang_up(1011, "second", None)
    assert (media_socket.detail, media_socket.reason) == ("first", EndReason.ENDED_BY_API)
    media_socket.sock.shutdown(socket.SHUT_WR)
    assert client.read_close() == (1000, "first")


def test_messages_after_our_close_frame_are_ignored(
    media_socket: MediaSocket, client: Client
) -> None:
    client.send(b"before")
    assert read(media_socket) == [b"before"]
    client.send(b"after")
    client.ping(b"after")
    client.send_binary(b"after")
    media_socket.hang_up(1000, "", None)
    assert read(media_socket) == []
    frame = client.read()
    assert frame is not None
    assert frame.opcode is Opcode.CLOSE
    read_until_ended(media_socket)


def test_nothing_is_sent_after_our_close_frame(media_socket: MediaSocket, client: Client) -> None:
    media_socket.text(b"before")
    media_socket.hang_up(1000, "", None)
    media_socket.text(b"after")
    media_socket.audio(framed(media_socket, b"after"))
    media_socket.ping()
    media_socket.sock.shutdown(socket.SHUT_WR)
    assert client.read_text() == b"before"
    assert client.read_close() == (1000, "")


def test_messages_read_together_end_at_the_hang_up(
    media_socket: MediaSocket, client: Client
) -> None:
    client.send_raw(b"".join(b"\x81\x81\0\0\0\0" + letter for letter in (b"a", b"b", b"c")))
    select.select([media_socket.sock], [], [], PATIENCE)
    messages = []
    for message in media_socket.messages(media_socket.receive() or b""):
        messages.append(message)
        media_socket.hang_up(1000, "", None)
    assert messages == [b"a"]


def test_a_lost_connection_ends_the_socket(
    media_socket: MediaSocket, client: Client, attention: set[MediaSocket]
) -> None:
    client.sock.close()
    read_until_ended(media_socket)
    assert media_socket in attention
    assert (media_socket.reason, media_socket.peer_code) == (None, None)
    assert media_socket.detail.startswith("connection lost")


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def test_a_reset_while_reading_ends_the_socket(media_socket: MediaSocket, client: Client) -> None:
    reset(client)
    read_until_ended(media_socket)
    assert media_socket.detail == "connection lost: Connection reset by peer"


def test_a_reset_while_sending_ends_the_socket_and_raises_nothing(
    media_socket: MediaSocket, client: Client, attention: set[MediaSocket]
) -> None:
    reset(client)
    select.select([media_socket.sock], [], [], PATIENCE)
    media_socket.text(b"one")
    media_socket.text(b"two")
    media_socket.hang_up(1000, "late", EndReason.ENDED_BY_API)
    assert media_socket.ended
    assert media_socket in attention
    assert media_socket.detail.startswith("connection lost")
    assert media_socket.reason is None


def test_a_connection_lost_while_closing_keeps_its_reason(
    media_socket: MediaSocket, client: Client
) -> None:
    media_socket.hang_up(1000, "the end", EndReason.ENDED_BY_API)
    reset(client)
    read_until_ended(media_socket)
    assert (media_socket.reason, media_socket.detail) == (EndReason.ENDED_BY_API, "the end")


def test_aborting_resets_the_connection(media_socket: MediaSocket, client: Client) -> None:
    media_socket.abort("the peer has gone silent")
    assert (media_socket.ended, media_socket.detail) == (True, "the peer has gone silent")
    media_socket.sock.close()
    with pytest.raises(ConnectionResetError):
        client.read()


@pytest.mark.parametrize("length", [0, 1, 95, 96, 216, 428, 4000])
def test_audio_between_its_envelope_is_a_message(
    media_socket: MediaSocket, client: Client, length: int
) -> None:
    """From 96 characters on, the header of the frame is longer."""
    before, after = media_socket.around(PREFIX, SUFFIX, length)
    media_socket.audio(before + b"A" * length + after)
    media_socket.text(b"next")
    assert client.read_text() == PREFIX + b"A" * length + SUFFIX
    assert client.read_text() == b"next"


def test_a_ping_has_no_payload(media_socket: MediaSocket, client: Client) -> None:
    media_socket.ping()
    frame = client.read()
    assert frame is not None
    assert (frame.opcode, frame.data) == (Opcode.PING, b"")


def test_unsent_data_is_written_later_in_order(
    slow_media_socket: MediaSocket, slow: Client, attention: set[MediaSocket], clock: FakeClock
) -> None:
    flood(slow_media_socket)
    assert slow_media_socket in attention
    assert slow_media_socket.blocked == clock.monotonic()
    for number in range(20):
        slow_media_socket.text(b"last %d" % number)
    messages = []
    while slow_media_socket.wants_write:
        clock.advance(0.1)
        messages.append(slow.read_text())
        slow_media_socket.write()
    assert not is_blocked(slow_media_socket)
    while not messages[-1].startswith(b"last 19"):
        messages.append(slow.read_text())
    numbers = [int(message[:5]) for message in messages[:-20]]
    assert numbers == list(range(len(numbers)))
    assert messages[-20:] == [b"last %d" % number for number in range(20)]


def test_a_peer_that_reads_nothing_is_blocked_since_its_last_read(
    slow_media_socket: MediaSocket, slow: Client, clock: FakeClock
) -> None:
    flood(slow_media_socket)
    for _ in range(200):
        slow_media_socket.text(b"x" * 1000)
    since = slow_media_socket.blocked
    assert since == 1000.0
    clock.advance(3)
    slow_media_socket.write()
    slow_media_socket.text(b"more")
    assert slow_media_socket.blocked == since
    while slow_media_socket.blocked == since:
        slow.read_text()
        slow_media_socket.write()
    assert slow_media_socket.blocked == 1003.0


def test_audio_for_a_peer_that_does_not_read_is_dropped_oldest_first(
    slow_media_socket: MediaSocket, slow: Client
) -> None:
    flood(slow_media_socket)
    for number in range(100):
        slow_media_socket.audio(framed(slow_media_socket, b"%03d" % number * 50))
    slow_media_socket.text(b"last")
    assert slow_media_socket.dropped == 100 - MAX_AUDIO
    messages: list[bytes] = []
    while not messages or messages[-1] != b"last":
        messages.append(slow.read_text())
        slow_media_socket.write()
    heard = [b64decode(json.loads(m)["payload"]) for m in messages if m.startswith(PREFIX)]
    assert heard == [b"%03d" % number * 50 for number in range(100 - MAX_AUDIO, 100)]


def test_dropped_audio_does_not_delay_later_messages(
    slow_media_socket: MediaSocket, slow: Client
) -> None:
    flood(slow_media_socket)
    slow_media_socket.audio(framed(slow_media_socket, b"before" * 50))
    slow_media_socket.forget_audio()
    slow_media_socket.text(b"clear")
    slow_media_socket.audio(framed(slow_media_socket, b"after" * 50))
    messages: list[bytes] = []
    while not messages or not messages[-1].startswith(PREFIX):
        messages.append(slow.read_text())
        slow_media_socket.write()
    assert messages[-2] == b"clear"
    assert b64decode(json.loads(messages[-1])["payload"]) == b"after" * 50


def test_a_peer_that_leaves_too_much_unread_is_given_up(
    slow_media_socket: MediaSocket, attention: set[MediaSocket]
) -> None:
    flood(slow_media_socket)
    for _ in range(MAX_BYTES // 1000 + 1):
        slow_media_socket.text(b"x" * 1000)
    assert slow_media_socket.ended
    assert slow_media_socket in attention
    assert slow_media_socket.detail == "the peer has stopped reading"


def test_close_frame_follows_the_queued_data(slow_media_socket: MediaSocket, slow: Client) -> None:
    flood(slow_media_socket)
    slow_media_socket.text(b"goodbye")
    slow_media_socket.hang_up(1000, "the end", EndReason.ENDED_BY_API)
    texts = []
    while True:
        frame = slow.read()
        assert frame is not None
        if frame.opcode is Opcode.CLOSE:
            break
        texts.append(frame.data)
        slow_media_socket.write()
    assert texts[-1] == b"goodbye"


def test_a_unix_socket_can_be_adopted_too(clock: FakeClock, attention: set[MediaSocket]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        media_socket = MediaSocket(ours, clock, attention)
        theirs.sendall(b"\x81\x82\0\0\0\0ok")
        assert read(media_socket) == [b"ok"]
        media_socket.text(b"ok")
        assert theirs.recv(100) == b"\x81\x02ok"


def test_a_socket_that_was_reset_before_adoption_ends(
    client: Client, clock: FakeClock, attention: set[MediaSocket]
) -> None:
    reset(client)
    select.select([client.ours], [], [], PATIENCE)
    media_socket = MediaSocket(client.ours, clock, attention)
    read_until_ended(media_socket)
    assert media_socket.detail.startswith("connection lost")


def test_a_pong_is_recorded(client: Client, media_socket: MediaSocket) -> None:
    assert not media_socket.answers_pings
    client.pong()
    read(media_socket)
    assert media_socket.answers_pings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_acknowledgement_is_known_only_on_tcp(
    client: Client, media_socket: MediaSocket, clock: FakeClock, attention: set[MediaSocket]
) -> None:
    media_socket.text(b"{}")
    client.read()
    assert media_socket.has_acknowledged(PATIENCE)
    assert not media_socket.has_acknowledged(0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not MediaSocket(ours, clock, attention).has_acknowledged(PATIENCE)
