"""The states of a process, and the calls whose providers it waits for."""

from __future__ import annotations

import threading

import pytest

from service.calls.serving_state import RESTARTING, WAITING, ServingState
from service.errors import Busy


def test_process_that_drains_expects_no_call_at_first() -> None:
    serving = ServingState()
    assert not serving.is_draining
    serving.begin_drain()
    assert serving.is_draining
    assert serving.wait(0) == 0


def test_waiting_and_draining_processes_refuse_calls_with_different_messages() -> None:
    serving = ServingState()
    serving.require_open()
    serving.is_waiting = True
    with pytest.raises(Busy, match="does not have the database yet"):
        serving.require_open()
    serving.begin_drain()
    with pytest.raises(Busy, match="is restarting"):
        serving.require_open()


def test_wait_ends_once_every_expected_call_was_told() -> None:
    serving = ServingState()
    serving.expect(["a", "b"])
    serving.expect_no_more("stranger")
    serving.expect_no_more("a")
    assert serving.wait(0) == 1
    threading.Timer(0.01, serving.expect_no_more, ["b"]).start()
    assert serving.wait(30) == 0


def test_wait_ends_after_a_lull() -> None:
    serving = ServingState()
    serving.expect(["a", "b", "dead line"])
    for call_id in ("a", "b"):
        threading.Timer(0.01, serving.expect_no_more, [call_id]).start()
    assert serving.wait(3_600, lull=0.5) == 1


def test_wait_ends_before_the_first_hold_does() -> None:
    serving = ServingState()
    serving.expect(["a", "b", "c"])
    threading.Timer(0.01, serving.expect_no_more, ["a"]).start()
    assert serving.wait(3_600, after_first=0.1) == 2


def test_a_draining_process_takes_calls_for_another_node_that_serves() -> None:
    serving = ServingState(lambda: True)
    serving.begin_drain()
    assert serving.refusal is None
    serving.require_open()


def test_a_process_that_waits_takes_calls_for_no_other_node() -> None:
    serving = ServingState(lambda: True)
    serving.is_waiting = True
    assert serving.refusal == WAITING


def test_a_draining_process_without_its_database_refuses_calls() -> None:
    def fail() -> bool:
        raise Busy("The database is away.")

    serving = ServingState(fail)
    serving.begin_drain()
    assert serving.refusal == RESTARTING


def test_other_nodes_are_not_looked_for_while_the_process_serves() -> None:
    looks: list[bool] = []
    serving = ServingState(lambda: not looks.append(True))
    assert serving.refusal is None
    assert looks == []
