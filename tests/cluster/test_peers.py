"""Requests to other nodes: connections that are used again, and nodes that are gone or slow."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.cluster import channel
from service.cluster.address import address
from service.cluster.channel import Frame
from service.cluster.listener import Listener
from service.cluster.messages import (
    Accepted,
    Answer,
    GetStats,
    HangUpCall,
    Message,
    Rejected,
    encode,
)
from service.cluster.peers import REST_SECONDS, Peers, Unanswered
from service.domain.calls import EndReason
from tests.support.clocks import FakeClock
from tests.support.running_nodes import open_descriptors

QUESTION = GetStats(("call",))
LONG = GetStats(("x" * 1_000_000,))


def answer(message: Message, frame: Frame) -> Answer:
    if isinstance(message, HangUpCall):
        return Rejected("not today")
    return Accepted(len(str(message)))


@pytest.fixture
def other(folder: Path) -> Iterator[Listener]:
    listener = Listener(folder, "other", answer)
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def peers(folder: Path, clock: FakeClock) -> Iterator[Peers]:
    peers = Peers(folder, "own", clock.monotonic)
    yield peers
    peers.close()


def silent(folder: Path, node_id: str) -> socket.socket:
    """Return a socket that listens and answers nothing, like a process that was stopped."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(address(folder, node_id))
    sock.listen()
    return sock


def killed(folder: Path, node_id: str) -> None:
    """Leave the address of a node behind, as one does that was killed."""
    silent(folder, node_id).close()


def test_a_connection_is_used_again(peers: Peers, other: Listener) -> None:
    peers.ask("other", QUESTION)
    before = open_descriptors()
    for _ in range(20):
        peers.ask("other", QUESTION)
    assert open_descriptors() == before


def test_threads_ask_at_once_and_leave_few_connections(peers: Peers, other: Listener) -> None:
    peers.ask("other", QUESTION)
    before = len(open_descriptors())
    threads = [threading.Thread(target=peers.ask, args=("other", LONG)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(50):
        # The other end closes its connections between two answers.
        assert peers.ask("other", QUESTION) == len(str(QUESTION))
    # Both ends of each connection are in this process.
    assert len(open_descriptors()) <= before + 6


def test_only_listening_nodes_are_found(peers: Peers, folder: Path, other: Listener) -> None:
    own = Listener(folder, "own", answer)
    own.start()
    assert peers.ids() == ["other"]
    own.stop()
    other.stop()
    assert peers.ids() == []


def test_a_refusal_is_an_error_with_its_reason(peers: Peers, other: Listener) -> None:
    with pytest.raises(Unanswered, match="Node other refuses: not today"):
        peers.ask("other", HangUpCall("call", EndReason.ALONE, ""))


def test_a_killed_node_is_logged_once_and_its_address_removed(
    peers: Peers, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(folder, "other")
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(Unanswered, match="Node other is gone"):
            peers.ask("other", QUESTION)
    assert [record.getMessage() for record in caplog.records] == ["Node other is gone."]
    assert not list(folder.iterdir())
    assert open_descriptors() == before


def test_a_node_that_ends_after_a_connection_was_kept_is_gone(peers: Peers, folder: Path) -> None:
    listener = Listener(folder, "other", answer)
    listener.start()
    peers.ask("other", QUESTION)
    listener.stop()
    for _ in range(2):
        with pytest.raises(Unanswered, match="Node other is gone"):
            peers.ask("other", QUESTION)


def test_a_node_that_does_not_answer_is_left_alone_for_a_moment(
    peers: Peers, folder: Path, clock: FakeClock
) -> None:
    with silent(folder, "other") as listening:
        with pytest.raises(Unanswered, match="Node other does not answer"):
            peers.ask("other", QUESTION, seconds=0.05)
        with pytest.raises(Unanswered, match="did not answer a moment ago"):
            peers.ask("other", QUESTION)
        assert peers.is_silent("other")
        assert not peers.is_silent("another")
        clock.advance(REST_SECONDS)
        assert not peers.is_silent("other")
        with pytest.raises(Unanswered, match="Node other does not answer"):
            peers.ask("other", QUESTION, seconds=0.05)
        listening.settimeout(0)
        # It was asked twice, and not in between.
        for _ in range(2):
            listening.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_node_that_reads_nothing_takes_no_longer(peers: Peers, folder: Path) -> None:
    with silent(folder, "other"), pytest.raises(Unanswered, match="does not answer"):
        peers.ask("other", LONG, seconds=0.05)


def test_all_are_asked_before_the_first_has_answered(
    peers: Peers, folder: Path, other: Listener
) -> None:
    killed(folder, "dead")
    with silent(folder, "aaa"):
        questions = dict.fromkeys(("aaa", "dead", "other"), QUESTION)
        assert peers.ask_all(questions, seconds=0.1) == {"other": len(str(QUESTION))}


def test_malformed_answer_is_an_error(peers: Peers, folder: Path) -> None:
    with silent(folder, "other") as listening, ThreadPoolExecutor() as pool:
        asked = pool.submit(peers.ask, "other", QUESTION)
        accepted, _ = listening.accept()
        with accepted:
            channel.send(accepted, encode(QUESTION))
            with pytest.raises(Unanswered, match="Node other answers with something else"):
                asked.result()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_that_was_stopped_is_bounded_and_answers_once_it_goes_on(
    peers: Peers, folder: Path, clock: FakeClock
) -> None:
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        listener = Listener(folder, "child", answer)
        listener.start()
        os.write(done, b"\0")
        signal.pause()
        os._exit(0)
    try:
        os.read(ready, 1)
        assert peers.ask("child", QUESTION) == len(str(QUESTION))
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        with pytest.raises(Unanswered, match="Node child does not answer"):
            peers.ask("child", LONG, seconds=0.1)
        os.kill(child, signal.SIGCONT)
        clock.advance(REST_SECONDS)
        assert peers.ask("child", QUESTION) == len(str(QUESTION))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(done)
    with pytest.raises(Unanswered, match="Node child is gone"):
        peers.ask("child", QUESTION)
