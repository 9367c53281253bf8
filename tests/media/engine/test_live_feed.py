"""Who watches the calls: what they are told, and that they cost the calls nothing."""

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


class Gallery:
    """Watchers, and the pages at the other ends of their sockets."""

    def __init__(self, clock: FakeClock, stack: ExitStack) -> None:
        self.clock = clock
        self.watchers = LiveFeed(clock)
        self.live_levels = GAUGES
        self.asked = 0
        self._stack = stack

    def open(self, receive_buffer: int | None = None) -> Client:
        page = self._stack.enter_context(Client(receive_buffer))
        self.watchers.admit(page.ours.dup())
        page.ours.close()
        return page

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TURN_SECONDS)):
            self.clock.advance(TURN_SECONDS)
            self.watchers.turn(self.clock.monotonic(), self._read)

    def await_end(self, left: int) -> None:
        """Turn until so many are left: what a page sends takes a moment to come."""
        deadline = time.monotonic() + PATIENCE
        while len(self.watchers) > left:
            assert time.monotonic() < deadline, "They are still there."
            self.pass_time(TURN_SECONDS)

    def _read(self) -> Mapping[str, LiveLevels]:
        self.asked += 1
        return self.live_levels


@pytest.fixture
def gallery(clock: FakeClock) -> Iterator[Gallery]:
    with ExitStack() as stack:
        gallery = Gallery(clock, stack)
        stack.callback(gallery.watchers.close)
        yield gallery


def told(page: Client) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(page.read_text())
    return document


def test_a_newcomer_is_told_to_look_and_then_of_the_levels(gallery: Gallery) -> None:
    page = gallery.open()
    gallery.pass_time(TURN_SECONDS)
    assert told(page) == {"event": "changed"}
    assert told(page) == {
        "event": "levels",
        "at": gallery.clock.now(),
        "calls": {"call-1": [-12.0, None, 3, 1.5, 40]},
    }


def test_levels_come_at_their_pace_and_are_read_once_for_all(gallery: Gallery) -> None:
    pages = [gallery.open() for _ in range(3)]
    gallery.pass_time(1.0)
    assert gallery.asked == round(1 / LEVELS_SECONDS)
    for page in pages:
        events = [told(page)["event"] for _ in range(6)]
        assert events == ["changed", *["levels"] * 5]


def test_who_has_watched_for_long_must_ask_again(gallery: Gallery) -> None:
    page = gallery.open()
    gallery.clock.advance(LONGEST_SECONDS + 1)
    gallery.pass_time(TURN_SECONDS)
    assert last_words(page)[1] == struct.pack("!H", 1001) + b"Open it again."
    gallery.await_end(0)


def test_where_nobody_watches_nothing_is_read(gallery: Gallery) -> None:
    gallery.pass_time(1.0)
    gallery.watchers.announce()
    assert (gallery.asked, len(gallery.watchers)) == (0, 0)


def test_many_changes_are_told_of_at_once(gallery: Gallery) -> None:
    page = gallery.open()
    gallery.pass_time(2 * CHANGED_SECONDS)
    turns = round(1 / TURN_SECONDS)
    for _ in range(turns):
        gallery.watchers.announce()
        gallery.watchers.announce()
        gallery.pass_time(TURN_SECONDS)
    gallery.watchers.hand_over()
    events, _ = last_words(page)
    assert 4 <= events.count("changed") <= 1 + 1 + round(1 / CHANGED_SECONDS)


def last_words(page: Client) -> tuple[list[str], bytes]:
    """The events until the close frame, and what that holds. It is answered at once."""
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


def test_only_so_many_may_watch(gallery: Gallery) -> None:
    pages = [gallery.open() for _ in range(MOST)]
    late = gallery.open()
    assert code(late) == 1013
    gallery.await_end(MOST)
    pages[0].send_close(1000)
    gallery.await_end(MOST - 1)
    again = gallery.open()
    gallery.pass_time(1.0)
    assert "changed" in {told(again)["event"] for _ in range(5)}


def test_a_page_that_stops_reading_misses_levels_and_is_dropped(gallery: Gallery) -> None:
    # Nobody reads at the other end, whose window is small: what is sent piles up.
    gallery.open(receive_buffer=4096)
    gallery.live_levels = {f"call-{number}": GAUGES["call-1"] for number in range(3_000)}
    gallery.pass_time(STALL_SECONDS - 1)
    assert gallery.asked <= 3
    assert len(gallery.watchers) == 1
    gallery.pass_time(3)
    assert len(gallery.watchers) == 0


def test_a_page_that_has_gone_silent_is_dropped_and_one_that_answers_pings_is_not(
    gallery: Gallery,
) -> None:
    gallery.open()
    gallery.pass_time(PING_SECONDS)
    awake = gallery.open()
    for _ in range(round(SILENT_SECONDS / PING_SECONDS)):
        awake.pong()
        gallery.pass_time(PING_SECONDS)
    assert len(gallery.watchers) == 1


def test_what_a_page_says_is_not_listened_to(gallery: Gallery) -> None:
    page = gallery.open()
    page.send(b"hello")
    gallery.pass_time(TURN_SECONDS)
    assert told(page) == {"event": "changed"}
    page.send_binary(b"\0")
    gallery.pass_time(CLOSE_SECONDS)
    assert code(page) == 1003


def test_a_page_that_is_gone_is_forgotten(gallery: Gallery) -> None:
    page = gallery.open()
    page.sock.close()
    gallery.await_end(0)


def test_the_end_of_the_process_sends_pages_to_the_next(gallery: Gallery) -> None:
    page = gallery.open()
    gallery.watchers.hand_over()
    assert code(page) == 1012
    gallery.await_end(0)


def test_a_page_that_does_not_answer_a_close_frame_is_not_waited_for(gallery: Gallery) -> None:
    gallery.open()
    gallery.watchers.hand_over()
    gallery.pass_time(CLOSE_SECONDS + 2 * TURN_SECONDS)
    assert len(gallery.watchers) == 0


def test_a_fault_drops_the_watchers_and_nothing_else(
    gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Mapping[str, LiveLevels]:
        raise RuntimeError("no live_levels")

    gallery.open()
    gallery.watchers.turn(gallery.clock.monotonic(), broken)
    assert len(gallery.watchers) == 0
    assert "all of its sockets are closed" in caplog.text


def test_a_socket_that_is_none_is_not_admitted(gallery: Gallery) -> None:
    page = Client()
    page.ours.close()
    gallery.watchers.admit(page.ours)
    page.sock.close()
    assert len(gallery.watchers) == 0
