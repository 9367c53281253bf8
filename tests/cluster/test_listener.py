"""The listener: what it refuses, and that nobody makes it wait."""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from service.cluster import channel
from service.cluster.address import MAX_PATH, address
from service.cluster.channel import LENGTH, MAX_BYTES, Frame, FrameReader
from service.cluster.listener import Listener
from service.cluster.messages import (
    Accepted,
    Answer,
    GetLevels,
    GetStats,
    Message,
    Rejected,
    decode_answer,
    encode,
)
from service.errors import ServiceError
from tests.support.clients import PATIENCE
from tests.support.running_nodes import open_descriptors


def echo(message: Message, frame: Frame) -> Answer:
    if isinstance(message, GetLevels):
        raise TimeoutError("The media engine does not answer.")
    return Accepted(repr(message))


@pytest.fixture
def refused() -> SimpleQueue[None]:
    """An entry for each message and connection that was refused."""
    return SimpleQueue()


@pytest.fixture
def listener(folder: Path, refused: SimpleQueue[None]) -> Iterator[Listener]:
    running = Listener(folder, "node", echo, lambda: refused.put(None))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def connect(folder: Path, listener: Listener) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connected() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(address(folder, "node"))
        opened.append(sock)
        return sock

    yield connected
    for sock in opened:
        sock.close()


def answer_to(sock: socket.socket, body: bytes, descriptor: int | None = None) -> Answer:
    channel.send(sock, body, descriptor)
    return next_answer(sock)


def next_answer(sock: socket.socket) -> Answer:
    reader = FrameReader(sock)
    while (frame := reader.read()) is None:
        pass
    return decode_answer(frame.body)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_closed(sock: socket.socket) -> bool:
    with suppress(ConnectionError):
        return sock.recv(1) == b""
    return True


Connect = Callable[[], socket.socket]


def test_messages_on_one_connection_are_answered_one_after_the_other(connect: Connect) -> None:
    sock = connect()
    for name in ("one", "two"):
        assert answer_to(sock, encode(GetStats((name,)))) == Accepted(repr(GetStats((name,))))


def test_a_malformed_message_is_refused_logged_and_counted(
    connect: Connect, refused: SimpleQueue[None], caplog: pytest.LogCaptureFixture
) -> None:
    sock = connect()
    answer = answer_to(sock, b'["GetStats",{"call_ids":7}]')
    assert answer == Rejected("call_ids must be a list.")
    assert refused.qsize() == 1
    assert "refused: call_ids must be a list." in caplog.text
    # Its end is known, so the connection can be used.
    assert isinstance(answer_to(sock, encode(GetStats(()))), Accepted)


def test_a_message_that_is_too_long_ends_its_connection(
    connect: Connect, refused: SimpleQueue[None]
) -> None:
    sock = connect()
    sock.sendall(LENGTH.pack(MAX_BYTES + 1))
    assert is_closed(sock)
    assert refused.qsize() == 1


def test_a_message_before_the_answer_to_the_last_ends_its_connection(
    connect: Connect, refused: SimpleQueue[None]
) -> None:
    sock = connect()
    body = encode(GetStats(()))
    sock.sendall((LENGTH.pack(len(body)) + body) * 2)
    assert is_closed(sock)
    assert refused.qsize() == 1


def test_a_long_message_in_pieces_holds_up_no_other(connect: Connect) -> None:
    slow, other = connect(), connect()
    body = encode(GetStats(("x" * 1_000_000,)))
    data = LENGTH.pack(len(body)) + body
    slow.sendall(data[:3])
    assert isinstance(answer_to(other, encode(GetStats(()))), Accepted)
    slow.sendall(data[3:500_000])
    assert isinstance(answer_to(other, encode(GetStats(()))), Accepted)
    slow.sendall(data[500_000:])
    assert isinstance(next_answer(slow), Accepted)


def test_untaken_descriptors_are_closed(connect: Connect) -> None:
    sock = connect()
    answer_to(sock, encode(GetStats(())))
    before = open_descriptors()
    given, kept = socket.socketpair()
    for body in (encode(GetStats(())), b"no message"):
        answer_to(sock, body, given.fileno())
    # One that comes with half a message.
    half = connect()
    socket.send_fds(half, [LENGTH.pack(50)], [given.fileno()])
    answer_to(sock, encode(GetStats(())))
    half.close()
    # More than one.
    many = connect()
    socket.send_fds(many, [LENGTH.pack(2) + b"{}"], [given.fileno()] * 3)
    assert is_closed(many)
    many.close()
    answer_to(sock, encode(GetStats(())))
    given.close()
    # Its last descriptor was closed.
    kept.settimeout(PATIENCE)
    assert kept.recv(1) == b""
    kept.close()
    answer_to(sock, encode(GetStats(())))
    assert open_descriptors() == before


def test_an_engine_that_does_not_answer_is_told_as_such(connect: Connect) -> None:
    assert answer_to(connect(), encode(GetLevels())) == Rejected(
        "The media engine does not answer."
    )


def test_a_shortage_of_descriptors_is_logged_once_and_holds_up_no_open_connection(
    folder: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    known = connect()
    answer_to(known, encode(GetStats(())))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late:
        with no_descriptors():
            late.connect(address(folder, "node"))
            for _ in range(3):
                assert isinstance(answer_to(known, encode(GetStats(()))), Accepted)
        assert isinstance(answer_to(late, encode(GetStats(()))), Accepted)
    [record] = caplog.records
    assert "a connection of another worker is not accepted" in record.getMessage()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_peer_of_another_user_is_refused(
    folder: Path, listener: Listener, refused: SimpleQueue[None], caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid():
        pytest.skip("Only root can become another user.")
    # Open to all, so that nothing but the user is in the way.
    for path in (folder, Path(address(folder, "node"))):
        path.chmod(0o777)
    child = os.fork()
    if not child:
        code = 2
        with suppress(BaseException):
            os.setresuid(65534, 65534, 65534)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(PATIENCE)
            sock.connect(address(folder, "node"))
            code = 0 if is_closed(sock) else 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert refused.qsize() == 1
    assert "it comes from a process of another user" in caplog.text


def test_a_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(ServiceError, match="open to its own user alone"):
        Listener(folder, "node", echo).start()


def test_a_path_that_is_too_long_is_refused_with_its_remedy(folder: Path) -> None:
    assert len(address(folder, "n" * 32)) <= MAX_PATH
    with pytest.raises(ServiceError, match="set TMPDIR to a shorter one"):
        Listener(folder / ("x" * 80), "n" * 32, echo)


def test_the_address_is_gone_with_the_listener(folder: Path) -> None:
    listener = Listener(folder, "other", echo)
    listener.start()
    assert [path.name for path in folder.iterdir()] == ["other.sock"]
    listener.stop()
    assert not list(folder.iterdir())


def test_a_peer_that_resets_its_connection_ends_only_that(
    connect: Connect, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    rude = connect()
    channel.send(rude, encode(GetStats(("x" * 1_000_000,))))
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    rude.close()
    assert isinstance(answer_to(connect(), encode(GetStats(()))), Accepted)
    assert not caplog.records
