"""Questions of ``flask doctor`` to all nodes, by the addresses that other machines use."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from service.cli.clock_readings import ClockReading, read_clock
from service.cli.node_problems import NodeAnswer, describe_node, node_problems, problem
from service.clock import Clock
from service.cluster.codec import Malformed, unpack
from service.cluster.messages import GetNode, NodeInfo
from service.cluster.node_client import NodeClient, Unreached
from service.domain.nodes import ListedNode
from service.http_client.client import HttpClient
from service.storage.cluster.nodes import Nodes
from service.storage.database import Database

SECONDS = 5.0
"""Seconds for a node's answer. The nodes themselves wait for one only."""

AT_ONCE = 16

SENDER = "doctor"
"""The sender's name in requests. It is no node."""


def probe_nodes(
    listed: Iterable[ListedNode], client: NodeClient, wall: Clock
) -> dict[str, NodeAnswer]:
    """Ask all nodes that have an address and a heartbeat. Return their answers by node."""
    asked = [each.node for each in listed if each.node.url is not None and not each.has_lapsed]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda node: _probe(node.id, str(node.url), client, wall), asked)
        return {node.id: answer for node, answer in zip(asked, answers, strict=True)}


def _probe(node_id: str, url: str, client: NodeClient, wall: Clock) -> NodeAnswer:
    sent = wall.now()
    try:
        info = unpack(NodeInfo, client.ask(url, node_id, GetNode(), SECONDS))
    except Unreached as error:
        return NodeAnswer(problem=problem(str(error), error.status, has_refused=error.is_there))
    except Malformed as error:
        return NodeAnswer(problem=problem(f"Node {node_id} at {url}: {error}", HTTPStatus.OK))
    received = wall.now()
    return NodeAnswer(received - sent, ClockReading.of(sent, info.now, received))


def examine_nodes(database: Database, api_secret: str, wall: Clock) -> tuple[list[str], list[str]]:
    """Ask all nodes. Return lines that describe them, and the problems; none where no node has an
    address. Raises if the database is unavailable.
    """
    listed = Nodes(database, SENDER, api_secret).listed()
    if all(each.node.url is None for each in listed):
        return [], []
    client = NodeClient(api_secret, SENDER, wall, HttpClient(wall))
    try:
        answers = probe_nodes(listed, client, wall)
    finally:
        client.close()
    reading = read_clock(wall.now, database.now)
    lines: list[str] = []
    for each in listed:
        lines.append(f"{each.node.id} ({each.node.url or 'no NODE_URL'})")
        description = describe_node(each, answers.get(each.node.id), reading)
        lines += (f"  {name:<14}{text}" for name, text in description)
    return lines, list(node_problems(listed, answers, reading))
