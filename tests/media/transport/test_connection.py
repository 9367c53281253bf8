"""One adopted socket, on real loopback TCP with another library's client at the far end."""

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
    """A client whose kernel takes little while it does not read."""
    with Client(receive_buffer=4096) as client:
        yield client


@pytest.fixture
def attention() -> set[MediaSocket]:
    return set()


@pytest.fixture
def peer(client: Client, clock: FakeClock, attention: set[MediaSocket]) -> MediaSocket:
    return MediaSocket(client.ours, clock, attention)


@pytest.fixture
def slow_peer(slow: Client, clock: FakeClock, attention: set[MediaSocket]) -> MediaSocket:
    return MediaSocket(slow.ours, clock, attention)


def read(peer: MediaSocket) -> list[bytes]:
    """Wait for something to come, and read it once."""
    readable, _, _ = select.select([peer.sock], [], [], PATIENCE)
    assert readable
    data = peer.receive()
    if data == b"":
        peer.lose()
    return list(peer.messages(data or b""))


def read_until_ended(peer: MediaSocket) -> None:
    while not peer.ended:
        assert read(peer) == []


def framed(peer: MediaSocket, payload: bytes) -> bytes:
    """An audio message as the peer sends it."""
    audio = b64encode(payload)
    before, after = peer.around(PREFIX, SUFFIX, len(audio))
    return before + audio + after


def is_blocked(peer: MediaSocket) -> bool:
    return peer.blocked is not None


def flood(peer: MediaSocket) -> None:
    """Send until the kernel takes no more."""
    for number in range(10_000):
        if peer.wants_write:
            return
        peer.text(b"%05d" % number + b"x" * 1000)
    pytest.fail("The kernel takes everything.")


def test_messages_are_read_as_they_came(peer: MediaSocket, client: Client) -> None:
    client.send(b"one")
    client.send("zwölf".encode())
    client.send_fragments(b"th", b"r", b"ee")
    messages: list[bytes] = []
    while len(messages) < 3:
        messages += read(peer)
    assert messages == [b"one", "zwölf".encode(), b"three"]


def test_reading_where_nothing_has_come_is_no_end(peer: MediaSocket) -> None:
    assert peer.receive() is None
    assert not peer.ended


def test_the_time_of_the_last_sign_of_life_is_kept(peer: MediaSocket, client: Client) -> None:
    assert (peer.opened, peer.heard_at) == (1000.0, 1000.0)
    client.pong()
    assert read(peer) == []
    peer.take_stock(1007.5)
    assert (peer.opened, peer.heard_at) == (1000.0, 1007.5)
    peer.take_stock(1009.0)
    assert peer.heard_at == 1007.5


def test_bytes_that_make_no_frame_are_no_sign_of_life(peer: MediaSocket, client: Client) -> None:
    for number, byte in enumerate(b"\x81\xfe\xff\xff" + bytes(20)):
        client.send_raw(bytes((byte,)))
        assert read(peer) == []
        peer.take_stock(1001.0 + number)
    assert peer.heard_at == 1000.0


def is_refused(peer: MediaSocket, client: Client, pings: int) -> bool:
    """Whether one of so many pings is refused; those before it are answered."""
    for _ in range(pings):
        client.send_raw(b"\x89\x80\0\0\0\0")
        try:
            read(peer)
        except RemoteError as error:
            return error.close_code == 1008
        client.sock.recv(2)
    return False


def test_a_minute_of_audio_may_come_at_once_and_no_more(peer: MediaSocket, client: Client) -> None:
    assert not is_refused(peer, client, FRAMES_AHEAD)
    assert not peer.is_flooding
    assert is_refused(peer, client, 1)
    assert peer.is_flooding


def test_frames_are_allowed_by_the_second_and_do_not_pile_up(
    peer: MediaSocket, client: Client
) -> None:
    for second in range(20):
        peer.take_stock(1001.0 + second)
    assert not is_refused(peer, client, FRAMES_AHEAD)
    peer.take_stock(1021.0)
    assert not is_refused(peer, client, FRAMES_A_SECOND)
    assert is_refused(peer, client, 1)


def test_a_ping_is_answered_with_its_payload(peer: MediaSocket, client: Client) -> None:
    client.ping(b"\x00\xff ping")
    assert read(peer) == []
    answer = client.read()
    assert answer is not None
    assert (answer.opcode, answer.data) == (Opcode.PONG, b"\x00\xff ping")


def test_pings_between_fragments_are_answered(peer: MediaSocket, client: Client) -> None:
    client.send_fragments(b"a", b"b", b"c")
    messages: list[bytes] = []
    while not messages:
        messages += read(peer)
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
def test_a_broken_protocol_is_an_error_with_its_close_code(
    peer: MediaSocket, client: Client, data: bytes, code: int
) -> None:
    client.send_raw(data)
    with pytest.raises(RemoteError) as refused:
        read(peer)
    assert refused.value.close_code == code


def test_messages_before_a_broken_one_are_read(peer: MediaSocket, client: Client) -> None:
    client.send(b"good")
    client.send_binary(b"bad")
    messages: list[bytes] = []

    def read_on() -> None:
        while select.select([peer.sock], [], [], PATIENCE)[0]:
            messages.extend(peer.messages(peer.receive() or b""))

    with pytest.raises(RemoteError):
        read_on()
    assert messages == [b"good"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
def test_a_close_of_the_peer_is_answered_with_its_code(
    peer: MediaSocket, client: Client, attention: set[MediaSocket], code: int
) -> None:
    client.send_close(code, "bye")
    read_until_ended(peer)
    assert peer in attention
    assert (peer.peer_code, peer.reason) == (code, None)
    assert peer.detail == f"closed by the peer with code {code}"
    peer.sock.close()
    assert client.read_close() == (code, "")


def test_a_close_without_a_code_is_answered_without_one(peer: MediaSocket, client: Client) -> None:
    client.send_close()
    read_until_ended(peer)
    assert peer.peer_code == 1005
    peer.sock.close()
    assert client.read_close() == (None, "")


def test_hanging_up_is_over_when_the_peer_has_answered(
    peer: MediaSocket, client: Client, clock: FakeClock
) -> None:
    clock.advance(5)
    peer.hang_up(1008, "No start message came.", EndReason.PROTOCOL_ERROR)
    assert peer.closing == 1005.0
    assert not peer.ended
    frame = client.read()
    assert frame is not None
    assert frame.opcode is Opcode.CLOSE
    assert frame.data == struct.pack("!H", 1008) + b"No start message came."
    read_until_ended(peer)
    assert (peer.reason, peer.detail) == (EndReason.PROTOCOL_ERROR, "No start message came.")
    assert peer.peer_code is None


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("Full", EndReason.ENDED_BY_API, "Full"),
        ("", EndReason.ENDED_BY_API, "ended-by-api"),
        ("", None, "closed"),
    ],
)
def test_the_detail_of_a_hang_up_is_the_best_there_is(
    peer: MediaSocket, text: str, reason: EndReason | None, detail: str
) -> None:
    peer.hang_up(1000, text, reason)
    assert (peer.detail, peer.reason) == (detail, reason)


def test_only_the_first_hang_up_counts(peer: MediaSocket, client: Client) -> None:
    peer.hang_up(1000, "first", EndReason.ENDED_BY_API)
    peer.hang_up(1011, "second", None)
    assert (peer.detail, peer.reason) == ("first", EndReason.ENDED_BY_API)
    peer.sock.shutdown(socket.SHUT_WR)
    assert client.read_close() == (1000, "first")


def test_what_comes_after_our_close_frame_is_not_for_us(peer: MediaSocket, client: Client) -> None:
    client.send(b"before")
    assert read(peer) == [b"before"]
    client.send(b"after")
    client.ping(b"after")
    client.send_binary(b"after")
    peer.hang_up(1000, "", None)
    assert read(peer) == []
    frame = client.read()
    assert frame is not None
    assert frame.opcode is Opcode.CLOSE
    read_until_ended(peer)


def test_nothing_is_sent_after_our_close_frame(peer: MediaSocket, client: Client) -> None:
    peer.text(b"before")
    peer.hang_up(1000, "", None)
    peer.text(b"after")
    peer.audio(framed(peer, b"after"))
    peer.ping()
    peer.sock.shutdown(socket.SHUT_WR)
    assert client.read_text() == b"before"
    assert client.read_close() == (1000, "")


def test_messages_that_are_read_together_end_where_the_line_is_hung_up(
    peer: MediaSocket, client: Client
) -> None:
    client.send_raw(b"".join(b"\x81\x81\0\0\0\0" + letter for letter in (b"a", b"b", b"c")))
    select.select([peer.sock], [], [], PATIENCE)
    messages = []
    for message in peer.messages(peer.receive() or b""):
        messages.append(message)
        peer.hang_up(1000, "", None)
    assert messages == [b"a"]


def test_a_lost_connection_ends_the_peer(
    peer: MediaSocket, client: Client, attention: set[MediaSocket]
) -> None:
    client.sock.close()
    read_until_ended(peer)
    assert peer in attention
    assert (peer.reason, peer.peer_code) == (None, None)
    assert peer.detail.startswith("connection lost")


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def test_a_reset_while_reading_ends_the_peer(peer: MediaSocket, client: Client) -> None:
    reset(client)
    read_until_ended(peer)
    assert peer.detail == "connection lost: Connection reset by peer"


def test_a_reset_while_sending_ends_the_peer_and_raises_nothing(
    peer: MediaSocket, client: Client, attention: set[MediaSocket]
) -> None:
    reset(client)
    select.select([peer.sock], [], [], PATIENCE)
    peer.text(b"one")
    peer.text(b"two")
    peer.hang_up(1000, "late", EndReason.ENDED_BY_API)
    assert peer.ended
    assert peer in attention
    assert peer.detail.startswith("connection lost")
    assert peer.reason is None


def test_a_connection_that_is_lost_while_closing_keeps_what_it_was_closed_for(
    peer: MediaSocket, client: Client
) -> None:
    peer.hang_up(1000, "the end", EndReason.ENDED_BY_API)
    reset(client)
    read_until_ended(peer)
    assert (peer.reason, peer.detail) == (EndReason.ENDED_BY_API, "the end")


def test_aborting_resets_the_connection(peer: MediaSocket, client: Client) -> None:
    peer.abort("the peer has gone silent")
    assert (peer.ended, peer.detail) == (True, "the peer has gone silent")
    peer.sock.close()
    with pytest.raises(ConnectionResetError):
        client.read()


@pytest.mark.parametrize("length", [0, 1, 95, 96, 216, 428, 4000])
def test_what_stands_around_audio_makes_it_a_message(
    peer: MediaSocket, client: Client, length: int
) -> None:
    """At 96 characters the header of the frame grows."""
    before, after = peer.around(PREFIX, SUFFIX, length)
    peer.audio(before + b"A" * length + after)
    peer.text(b"next")
    assert client.read_text() == PREFIX + b"A" * length + SUFFIX
    assert client.read_text() == b"next"


def test_a_ping_has_nothing_to_say(peer: MediaSocket, client: Client) -> None:
    peer.ping()
    frame = client.read()
    assert frame is not None
    assert (frame.opcode, frame.data) == (Opcode.PING, b"")


def test_what_the_kernel_does_not_take_is_written_later_in_order(
    slow_peer: MediaSocket, slow: Client, attention: set[MediaSocket], clock: FakeClock
) -> None:
    flood(slow_peer)
    assert slow_peer in attention
    assert slow_peer.blocked == clock.monotonic()
    for number in range(20):
        slow_peer.text(b"last %d" % number)
    messages = []
    while slow_peer.wants_write:
        clock.advance(0.1)
        messages.append(slow.read_text())
        slow_peer.write()
    assert not is_blocked(slow_peer)
    while not messages[-1].startswith(b"last 19"):
        messages.append(slow.read_text())
    numbers = [int(message[:5]) for message in messages[:-20]]
    assert numbers == list(range(len(numbers)))
    assert messages[-20:] == [b"last %d" % number for number in range(20)]


def test_a_peer_that_takes_nothing_is_blocked_since_it_last_took_something(
    slow_peer: MediaSocket, slow: Client, clock: FakeClock
) -> None:
    flood(slow_peer)
    for _ in range(200):
        slow_peer.text(b"x" * 1000)
    since = slow_peer.blocked
    assert since == 1000.0
    clock.advance(3)
    slow_peer.write()
    slow_peer.text(b"more")
    assert slow_peer.blocked == since
    while slow_peer.blocked == since:
        slow.read_text()
        slow_peer.write()
    assert slow_peer.blocked == 1003.0


def test_audio_for_a_peer_that_does_not_read_is_dropped_oldest_first(
    slow_peer: MediaSocket, slow: Client
) -> None:
    flood(slow_peer)
    for number in range(100):
        slow_peer.audio(framed(slow_peer, b"%03d" % number * 50))
    slow_peer.text(b"last")
    assert slow_peer.dropped == 100 - MAX_AUDIO
    messages: list[bytes] = []
    while not messages or messages[-1] != b"last":
        messages.append(slow.read_text())
        slow_peer.write()
    heard = [b64decode(json.loads(m)["payload"]) for m in messages if m.startswith(PREFIX)]
    assert heard == [b"%03d" % number * 50 for number in range(100 - MAX_AUDIO, 100)]


def test_audio_that_is_forgotten_does_not_keep_the_next_words_waiting(
    slow_peer: MediaSocket, slow: Client
) -> None:
    flood(slow_peer)
    slow_peer.audio(framed(slow_peer, b"before" * 50))
    slow_peer.forget_audio()
    slow_peer.text(b"clear")
    slow_peer.audio(framed(slow_peer, b"after" * 50))
    messages: list[bytes] = []
    while not messages or not messages[-1].startswith(PREFIX):
        messages.append(slow.read_text())
        slow_peer.write()
    assert messages[-2] == b"clear"
    assert b64decode(json.loads(messages[-1])["payload"]) == b"after" * 50


def test_a_peer_that_leaves_too_much_unread_is_given_up(
    slow_peer: MediaSocket, attention: set[MediaSocket]
) -> None:
    flood(slow_peer)
    for _ in range(MAX_BYTES // 1000 + 1):
        slow_peer.text(b"x" * 1000)
    assert slow_peer.ended
    assert slow_peer in attention
    assert slow_peer.detail == "the peer has stopped reading"


def test_the_close_frame_comes_after_what_was_queued(slow_peer: MediaSocket, slow: Client) -> None:
    flood(slow_peer)
    slow_peer.text(b"goodbye")
    slow_peer.hang_up(1000, "the end", EndReason.ENDED_BY_API)
    texts = []
    while True:
        frame = slow.read()
        assert frame is not None
        if frame.opcode is Opcode.CLOSE:
            break
        texts.append(frame.data)
        slow_peer.write()
    assert texts[-1] == b"goodbye"


def test_a_unix_socket_can_be_adopted_too(clock: FakeClock, attention: set[MediaSocket]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = MediaSocket(ours, clock, attention)
        theirs.sendall(b"\x81\x82\0\0\0\0ok")
        assert read(peer) == [b"ok"]
        peer.text(b"ok")
        assert theirs.recv(100) == b"\x81\x02ok"


def test_a_socket_that_was_reset_before_it_was_adopted_ends_the_peer(
    client: Client, clock: FakeClock, attention: set[MediaSocket]
) -> None:
    reset(client)
    select.select([client.ours], [], [], PATIENCE)
    peer = MediaSocket(client.ours, clock, attention)
    read_until_ended(peer)
    assert peer.detail.startswith("connection lost")


def test_a_pong_is_remembered(client: Client, peer: MediaSocket) -> None:
    assert not peer.answers_pings
    client.pong()
    read(peer)
    assert peer.answers_pings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_acknowledgement_is_known_on_tcp_only(
    client: Client, peer: MediaSocket, clock: FakeClock, attention: set[MediaSocket]
) -> None:
    peer.text(b"{}")
    client.read()
    assert peer.has_acknowledged(PATIENCE)
    assert not peer.has_acknowledged(0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not MediaSocket(ours, clock, attention).has_acknowledged(PATIENCE)
