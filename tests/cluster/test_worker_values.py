"""Values that each worker has by itself, asked of all of them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import __version__
from service.cluster.codec import unpack
from service.cluster.messages import GetNode, NodeInfo
from service.cluster.peers import Peers
from service.cluster.worker_values import Workers
from service.errors import Conflict, NotFound
from service.simulator.scenario import Scenario
from service.telemetry.logs import KEPT
from tests.support.running_nodes import RunningNode, private_folder

NOWHERE = "http://127.0.0.1:9/v2/hooks/twilio/key"


@pytest.fixture
def folder() -> Iterator[Path]:
    with private_folder() as path:
        yield path


@pytest.fixture
def asking(folder: Path) -> Iterator[Peers]:
    """The requests of a node that does not listen."""
    peers = Peers(folder, "asking")
    yield peers
    peers.close()


@pytest.fixture
def nodes(folder: Path) -> Iterator[tuple[RunningNode, RunningNode]]:
    one, two = RunningNode(folder, "one", {}), RunningNode(folder, "two", {})
    for node in (one, two):
        node.node.start()
    yield one, two
    for node in (one, two):
        node.stop()


@pytest.fixture
def ringing() -> Iterator[str]:
    """A webhook URL that accepts requests and answers none of them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v2/hooks/twilio/key"


def warning(message: str, created: float) -> logging.LogRecord:
    record = logging.LogRecord("service", logging.WARNING, __file__, 1, message, (), None)
    record.created = created
    return record


def test_processes_are_those_of_all_nodes_and_the_own_is_the_first(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    for node, others in (("one", ["two"]), ("two", ["one"])):
        workers = nodes[node == "two"].workers
        assert workers.are_several
        own, *rest = workers.processes()
        assert (own.node, own.pid) == (node, os.getpid())
        assert [each.node for each in rest] == others
        assert all(each.engine_stats is not None for each in (own, *rest))
        assert all(each.cpu_seconds > 0 for each in (own, *rest))
        assert [each.node for each in workers.processes_of_machine()] == [node, *others]
        assert workers.count_elsewhere() == 0


def test_a_node_tells_its_version_and_the_time_of_its_machine(
    nodes: tuple[RunningNode, RunningNode], asking: Peers
) -> None:
    _, two = nodes
    two.wall.step(-90)
    info = unpack(NodeInfo, asking.ask("two", GetNode()))
    assert info == NodeInfo("two", __version__, two.wall.now())


def test_troubles_are_those_of_all_nodes_newest_first(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, two = nodes
    one.troubles.emit(warning("first", 1.0))
    two.troubles.emit(warning("second", 2.0))
    one.troubles.emit(warning("third", 3.0))
    assert [each.message for each in two.workers.troubles()] == ["third", "second", "first"]


def test_many_troubles_of_a_node_displace_none_of_another(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, two = nodes
    one.troubles.emit(warning("the only one", 1.0))
    for number in range(KEPT):
        two.troubles.emit(warning("one of many", 2.0 + number))
    found = [each.message for each in one.workers.troubles()]
    assert (len(found), found[-1]) == (KEPT, "the only one")


def test_a_test_call_of_another_node_is_listed_shown_and_hung_up(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, two = nodes
    first = one.simulated_calls.place("cn_1", Scenario(webhook_url=NOWHERE))
    second = two.simulated_calls.place("cn_2", Scenario(webhook_url=NOWHERE))
    for workers in (one.workers, two.workers):
        assert [each.id for each in workers.simulated_calls()] == [second.id, first.id]
        assert workers.simulated_call(first.id).connector_id == "cn_1"
        assert workers.hang_up(second.id).connector_id == "cn_2"


def test_the_limit_of_test_calls_is_that_of_all_nodes(
    nodes: tuple[RunningNode, RunningNode], ringing: str
) -> None:
    one, two = nodes
    scenario = Scenario(webhook_url=ringing)
    for node in (one, two, one):
        node.workers.place("cn_1", scenario)
    for node in nodes:
        with pytest.raises(Conflict, match="3 test calls are up"):
            node.workers.place("cn_1", scenario)


def test_a_test_call_that_no_node_has_is_not_found(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, _ = nodes
    for act in (one.workers.simulated_call, one.workers.hang_up):
        with pytest.raises(NotFound, match="Test call not found"):
            act("nowhere")


def test_a_process_without_others_has_its_own_values_only(
    nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, _ = nodes
    alone = Workers(None, one.engine, one.simulated_calls, one.troubles)
    assert [each.node for each in alone.processes()] == [None]
    assert [each.node for each in alone.processes_of_machine()] == [None]
    assert (alone.are_several, alone.count_elsewhere()) == (False, 0)
    assert alone.troubles() == alone.simulated_calls() == ()
