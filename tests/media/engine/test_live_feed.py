"""The live feed: the events that pages receive, and their isolation from calls."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.frames import Opcode

from service.media.engine.live_feed import (
    CHANGED_SECONDS,
    LEVELS_SECONDS,
    LONGEST_SECONDS,
    MOST,
    TURN_SECONDS,
    LiveFeed,
)
from service.media.engine.timeouts import CLOSE_SECONDS, PING_SECONDS, SILENT_SECONDS, STALL_SECONDS
from service.media.rooms.live_levels import LiveLevels
from tests.support.clients import PATIENCE, Client
from tests.support.clocks import FakeClock

GAUGES: Mapping[str, LiveLevels] = {"call-1": (-12.0, None, 3, 1.5, 40)}


class LiveFeedHarness:
    """A live feed, and the pages at the remote ends of its sockets."""

    def __init__(self, clock: FakeClock, stack: ExitStack) -> None:
        self.clock = clock
        self.feed = LiveFeed(clock)
        self.live_levels = GAUGES
        self.reads = 0
        self._stack = stack

    def open(self, receive_buffer: int | None = None) -> Client:
        page = self._stack.enter_context(Client(receive_buffer))
        self.feed.admit(page.ours.dup())
        page.ours.close()
        return page

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TURN_SECONDS)):
            self.clock.advance(TURN_SECONDS)
            self.feed.turn(self.clock.monotonic(), self._read)

    def await_end(self, left: int) -> None:
        """Turn until this number of pages is left; their close frames take a moment to arrive."""
        deadline = time.monotonic() + PATIENCE
        while len(self.feed) > left:
            assert time.monotonic() < deadline, "The pages are still connected."
            self.pass_time(TURN_SECONDS)

    def _read(self) -> Mapping[str, LiveLevels]:
        self.reads += 1
        return self.live_levels


@pytest.fixture
def harness(clock: FakeClock) -> Iterator[LiveFeedHarness]:
    with ExitStack() as stack:
        harness = LiveFeedHarness(clock, stack)
        stack.callback(harness.feed.close)
        yield harness


def received(page: Client) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(page.read_text())
    return document


def test_a_new_page_receives_a_change_and_then_the_levels(harness: LiveFeedHarness) -> None:
    page = harness.open()
    harness.pass_time(TURN_SECONDS)
    assert received(page) == {"event": "changed"}
    assert received(page) == {
        "event": "levels",
        "at": harness.clock.now(),
        "calls": {"call-1": [-12.0, None, 3, 1.5, 40]},
    }


def test_levels_are_sent_at_intervals_and_read_once_for_all_pages(harness: LiveFeedHarness) -> None:
    pages = [harness.open() for _ in range(3)]
    harness.pass_time(1.0)
    assert harness.reads == round(1 / LEVELS_SECONDS)
    for page in pages:
        events = [received(page)["event"] for _ in range(6)]
        assert events == ["changed", *["levels"] * 5]


def test_a_page_is_closed_after_its_maximum_time(harness: LiveFeedHarness) -> None:
    page = harness.open()
    harness.clock.advance(LONGEST_SECONDS + 1)
    harness.pass_time(TURN_SECONDS)
    assert last_words(page)[1] == struct.pack("!H", 1001) + b"Open it again."
    harness.await_end(0)


def test_levels_are_not_read_without_pages(harness: LiveFeedHarness) -> None:
    harness.pass_time(1.0)
    harness.feed.announce()
    assert (harness.reads, len(harness.feed)) == (0, 0)


def test_many_changes_are_combined(harness: LiveFeedHarness) -> None:
    page = harness.open()
    harness.pass_time(2 * CHANGED_SECONDS)
    turns = round(1 / TURN_SECONDS)
    for _ in range(turns):
        harness.feed.announce()
        harness.feed.announce()
        harness.pass_time(TURN_SECONDS)
    harness.feed.hand_over()
    events, _ = last_words(page)
    assert 4 <= events.count("changed") <= 1 + 1 + round(1 / CHANGED_SECONDS)


def last_words(page: Client) -> tuple[list[str], bytes]:
    """Read and answer the close frame; return the events before it and its payload."""
    events: list[str] = []
    while True:
        frame = page.read()
        assert frame is not None, "The connection ended without a close frame."
        if frame.opcode is Opcode.CLOSE:
            return events, bytes(frame.data)
        if frame.opcode is Opcode.TEXT:
            events.append(json.loads(frame.data)["event"])


def code(page: Client) -> int:
    return int.from_bytes(last_words(page)[1][:2], "big")


def test_the_number_of_pages_is_limited(harness: LiveFeedHarness) -> None:
    pages = [harness.open() for _ in range(MOST)]
    late = harness.open()
    assert code(late) == 1013
    harness.await_end(MOST)
    pages[0].send_close(1000)
    harness.await_end(MOST - 1)
    again = harness.open()
    harness.pass_time(1.0)
    assert "changed" in {received(again)["event"] for _ in range(5)}


def test_a_page_that_does_not_read_misses_levels_and_is_dropped(harness: LiveFeedHarness) -> None:
    # The other end does not read and has a small window, so sent data accumulates.
    harness.open(receive_buffer=4096)
    harness.live_levels = {f"call-{number}": GAUGES["call-1"] for number in range(3_000)}
    harness.pass_time(STALL_SECONDS - 1)
    assert harness.reads <= 3
    assert len(harness.feed) == 1
    harness.pass_time(3)
    assert len(harness.feed) == 0


def test_a_silent_page_is_dropped_and_one_that_answers_pings_is_not(
    harness: LiveFeedHarness,
) -> None:
    harness.open()
    harness.pass_time(PING_SECONDS)
    awake = harness.open()
    for _ in range(round(SILENT_SECONDS / PING_SECONDS)):
        awake.pong()
        harness.pass_time(PING_SECONDS)
    assert len(harness.feed) == 1


def test_messages_of_a_page_are_ignored(harness: LiveFeedHarness) -> None:
    page = harness.open()
    page.send(b"hello")
    harness.pass_time(TURN_SECONDS)
    assert received(page) == {"event": "changed"}
    page.send_binary(b"\0")
    harness.pass_time(CLOSE_SECONDS)
    assert code(page) == 1003


def test_a_disconnected_page_is_removed(harness: LiveFeedHarness) -> None:
    page = harness.open()
    page.sock.close()
    harness.await_end(0)


def test_the_end_of_the_process_makes_pages_reconnect(harness: LiveFeedHarness) -> None:
    page = harness.open()
    harness.feed.hand_over()
    assert code(page) == 1012
    harness.await_end(0)


def test_a_page_that_does_not_answer_a_close_frame_delays_nothing(
    harness: LiveFeedHarness,
) -> None:
    harness.open()
    harness.feed.hand_over()
    harness.pass_time(CLOSE_SECONDS + 2 * TURN_SECONDS)
    assert len(harness.feed) == 0


def test_a_fault_drops_only_the_pages(
    harness: LiveFeedHarness, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Mapping[str, LiveLevels]:
        raise RuntimeError("no live_levels")

    harness.open()
    harness.feed.turn(harness.clock.monotonic(), broken)
    assert len(harness.feed) == 0
    assert "all of its sockets are closed" in caplog.text


def test_a_closed_socket_is_not_admitted(harness: LiveFeedHarness) -> None:
    page = Client()
    page.ours.close()
    harness.feed.admit(page.ours)
    page.sock.close()
    assert len(harness.feed) == 0
