"""Whom an ending process still waits for."""

from __future__ import annotations

import threading

import pytest

from service.calls.handover import Drain
from service.errors import Busy


def test_nothing_is_handed_over_until_it_begins() -> None:
    handover = Drain()
    assert not handover.has_begun
    handover.begin()
    assert handover.has_begun
    assert handover.wait(0) == 0


def test_a_process_that_waits_or_ends_takes_no_calls_and_says_which() -> None:
    handover = Drain()
    handover.require_open()
    handover.is_waiting = True
    with pytest.raises(Busy, match="does not have the database yet"):
        handover.require_open()
    handover.begin()
    with pytest.raises(Busy, match="is restarting"):
        handover.require_open()


def test_it_is_over_once_every_call_was_told_whoever_else_asks() -> None:
    handover = Drain()
    handover.expect(["a", "b"])
    handover.told("stranger")
    handover.told("a")
    assert handover.wait(0) == 1
    threading.Timer(0.01, handover.told, ["b"]).start()
    assert handover.wait(30) == 0


def test_it_is_given_up_where_no_other_asks_for_a_while() -> None:
    handover = Drain()
    handover.expect(["a", "b", "dead line"])
    for call_id in ("a", "b"):
        threading.Timer(0.01, handover.told, [call_id]).start()
    assert handover.wait(3_600, lull=0.5) == 1


def test_it_is_given_up_before_the_first_is_back() -> None:
    handover = Drain()
    handover.expect(["a", "b", "c"])
    threading.Timer(0.01, handover.told, ["a"]).start()
    assert handover.wait(3_600, after_first=0.1) == 2
