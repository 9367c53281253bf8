"""Unread logs: writing goes on, and dropped lines are counted."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from service.telemetry.log_output import QueuedWriter

MOST = 100
LINE = b"x" * 1023 + b"\n"
PIPE = 64 * 1024


class Pipe:
    """A pipe that a test reads or leaves unread."""

    def __init__(self) -> None:
        self.reader, self.number = os.pipe()
        self.writer = QueuedWriter(self.number, MOST)

    def fill(self) -> int:
        """Write until a line is dropped. Return the number of kept lines."""
        for count in range(10_000):
            self.writer.write(LINE)
            if self.writer.dropped:
                return count
        raise AssertionError("nothing was dropped")

    def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            piece = os.read(self.reader, PIPE)
            assert piece
            got += piece
        return got


@contextmanager
def opened() -> Iterator[Pipe]:
    pipe = Pipe()
    try:
        yield pipe
    finally:
        # Its thread must have ended before the descriptor number is reused.
        with suppress(OSError):
            os.close(pipe.reader)
        pipe.writer.before_fork()
        os.close(pipe.number)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with opened() as pipe:
        yield pipe


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    lines = [b"%d\n" % number for number in range(50)]
    for line in lines:
        pipe.writer.write(line)
    assert pipe.writer.drain(10)
    assert pipe.read(len(b"".join(lines))) == b"".join(lines)


def test_newest_lines_are_dropped_while_the_reader_stands_still(pipe: Pipe) -> None:
    kept = pipe.fill()
    assert kept >= MOST
    assert not pipe.writer.drain(0)
    pipe.writer.write(b"one more\n")
    assert pipe.writer.dropped == 2
    assert pipe.read(kept * len(LINE)) == kept * LINE
    assert pipe.writer.drain(10)


def test_the_number_of_dropped_lines_is_logged_once(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    kept = pipe.fill()
    for _ in range(41):
        pipe.writer.write(LINE)
    pipe.read(kept * len(LINE))
    assert pipe.writer.drain(10)
    pipe.writer.write(LINE)
    assert pipe.writer.drain(10)
    assert caplog.messages == ["42 lines of the log were dropped: nobody read it"]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_closed_pipe_blocks_no_writer(pipe: Pipe) -> None:
    os.close(pipe.reader)
    for _ in range(3 * MOST):
        pipe.writer.write(LINE)
    assert pipe.writer.drain(10)
    assert pipe.writer.dropped > 0


def test_exit_waits_for_a_moment_only(pipe: Pipe) -> None:
    pipe.fill()
    pipe.writer.end()
    pipe.writer.write(b"a last word that has no room\n")


def test_lines_after_the_end_are_written_at_once(pipe: Pipe) -> None:
    pipe.writer.write(b"before\n")
    pipe.writer.end()
    pipe.writer.write(b"after\n")
    assert os.read(pipe.reader, PIPE) == b"before\nafter\n"


def test_threads_may_write_concurrently(pipe: Pipe) -> None:
    def write() -> None:
        for _ in range(20):
            pipe.writer.write(LINE)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    got = pipe.read((80 - pipe.writer.dropped) * len(LINE))
    for thread in threads:
        thread.join()
    assert set(got.splitlines()) == {LINE[:-1]}


PROGRAM = """
import logging, os, sys, threading
from service.telemetry import log_output
log_output.install()
logging.basicConfig(format="%(message)s")
for stream in (sys.stdout, sys.stderr):
    print("parent", file=stream)
if os.fork() == 0:
    alive = threading.active_count()
    logging.warning("child with %d threads", alive)
    sys.exit(0)
os.wait()
logging.warning("parent again")
sys.exit("a sentence")
"""


def test_each_process_writes_all_its_own_lines() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == "parent\n"
    assert ended.stderr.splitlines() == [
        "parent",
        "child with 1 threads",
        "parent again",
        "a sentence",
    ]


def test_process_with_an_unread_log_ends_on_sigterm() -> None:
    program = (
        "from service.telemetry import log_output; log_output.install(); import sys\n"
        "for _ in range(5000): print('x' * 100, file=sys.stderr)\n"
        "print('done', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        process.stdin.close() if process.stdin else None
        assert process.wait(30) == 0
        assert process.returncode != -signal.SIGKILL
