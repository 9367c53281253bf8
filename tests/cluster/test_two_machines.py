"""Nodes of two machines: messages go over HTTP, and no socket does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.cluster.directory import Directory
from service.domain.calls import EndReason
from service.domain.nodes import Node
from service.errors import ServiceError
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted
from tests.support.callers import Caller, agent, twilio
from tests.support.clients import PATIENCE, Client
from tests.support.http_servers import in_thread
from tests.support.running_nodes import RunningNode, private_folder, reported

OTHER = "zzzz-zzzz-zzzz"


class MachineServer(ThreadingHTTPServer):
    """The address of a machine with one node, which a test sets."""

    daemon_threads = True
    node: RunningNode

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), NodeHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class NodeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MachineServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        requests = self.server.node.node.remote_requests
        assert requests is not None
        node_id = self.path.rpartition("/")[2]
        try:
            requests.require_token(node_id, self.headers["Authorization"], body)
            status, answer = 200, requests.answer(node_id, body)
        except ServiceError as error:
            status, answer = error.status, b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        pass


class Machines:
    """Node ``one`` on one machine, ``two`` on another. ``homes`` are the nodes of calls."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.homes: dict[str, str] = {}
        self._servers = servers = {name: MachineServer() for name in ("one", "two")}
        rows = [
            Node(name, f"machine-{name}", 1, "1", url=server.url)
            for name, server in servers.items()
        ]
        nodes = {}
        for name, server in servers.items():
            directory = Directory(f"machine-{name}", server.url)
            directory.update(rows)
            folder = stack.enter_context(private_folder())
            nodes[name] = server.node = RunningNode(folder, name, self.homes, directory)
            nodes[name].node.start()
            stack.callback(nodes[name].stop)
            stack.enter_context(in_thread(server))
        self.one, self.two = nodes["one"], nodes["two"]

    def end(self, name: str) -> None:
        """Close the address of a machine, as if its processes had been killed."""
        self._servers[name].shutdown()
        self._servers[name].server_close()

    def join(self, home: RunningNode, caller: Caller) -> Client:
        self.homes[caller.spec.call_id] = home.id
        client = self._stack.enter_context(Client())
        home.adopt(client, caller)
        client.send(caller.start)
        assert reported(home, LegStarted).leg_id == caller.spec.leg_id
        return client


@pytest.fixture
def machines() -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(stack)


def test_commands_reach_the_machine_of_the_call(machines: Machines) -> None:
    ann, bob, zoe = agent("ann"), twilio("bob"), twilio("zoe")
    clients = [machines.join(machines.two, each) for each in (ann, bob, zoe)]
    machines.one.media.hang_up("call-ann", EndReason.REMOVED, "removed")
    assert clients[0].read_close() == (1000, "removed")
    assert reported(machines.two, LegClosed).reason is EndReason.REMOVED
    machines.one.media.release("call-bob", "go elsewhere")
    assert clients[1].read_close() == (1000, "go elsewhere")
    machines.one.node.tell_lost("two", ("call-zoe",))
    assert clients[2].read_close() == (1012, "The room is on another server")


def test_values_of_a_call_come_from_its_machine(machines: Machines) -> None:
    machines.join(machines.two, agent("ann"))
    assert machines.one.media.stats(["call-ann"], PATIENCE).keys() == {"call-ann"}
    loudness = machines.one.media.loudness("call-ann", PATIENCE)
    assert loudness is not None
    assert loudness.leg_id == "ann-leg-1"


def test_values_of_all_nodes_are_found(machines: Machines) -> None:
    workers = machines.one.workers
    assert {each.node for each in workers.processes()} == {"one", "two"}
    assert [each.node for each in workers.processes_of_machine()] == ["one"]
    assert workers.are_several
    assert workers.count_elsewhere() == 1


def test_levels_of_the_other_machine_are_shown(machines: Machines) -> None:
    machines.join(machines.two, agent("ann"))
    with Client() as page:
        machines.one.media.watch(page.ours.dup())
        page.ours.close()
        while b"call-ann" not in page.read_text():
            pass


def test_hints_reach_the_other_machine_and_not_the_own(machines: Machines) -> None:
    machines.one.node.hint(["outbox"], ["call-ann"])
    assert machines.two.hints.get(timeout=PATIENCE) == ({"outbox"}, {"call-ann"})
    machines.two.node.hint(["dispatches"])
    assert machines.one.hints.get(timeout=PATIENCE) == ({"dispatches"}, set())
    assert machines.two.hints.empty()


def test_a_node_of_another_machine_is_asked_whether_it_still_runs(machines: Machines) -> None:
    """Its callers hold meanwhile: until its lease lapses it would be given to them."""
    assert not machines.two.node.is_silent("two")
    assert not machines.two.node.is_silent("one")
    machines.end("two")
    assert machines.one.node.is_silent("two")


def test_holds_are_told_to_the_other_machine(machines: Machines) -> None:
    machines.one.node.tell_held("call-ann")
    assert machines.two.held.get(timeout=PATIENCE) == "call-ann"
    assert machines.one.held.empty()


@pytest.mark.parametrize("asked", ["one", "two"])
def test_a_move_to_another_machine_closes_the_socket(machines: Machines, asked: str) -> None:
    ann = twilio("ann")
    phone = machines.join(machines.one, ann)
    machines.homes["call-ann"] = "two"
    node = machines.one if asked == "one" else machines.two
    node.media.move("call-ann", OTHER, ann.spec.participant, None)
    assert phone.read_close() == (1012, "The room is on another server")
    assert reported(machines.one, LegClosed).reason is None
    assert machines.two.engine.legs() == ()


def test_a_moved_custom_socket_is_told_its_room(machines: Machines) -> None:
    ann = agent("ann")
    client = machines.join(machines.one, ann)
    machines.homes["call-ann"] = "two"
    machines.one.media.move("call-ann", OTHER, ann.spec.participant, None)
    while (message := json.loads(client.read_text()))["event"] != "meeting-left":
        pass
    assert message["roomId"] == OTHER
    assert client.read_close() == (1012, "The room is on another server")


def test_a_move_within_the_other_machine_is_carried_out_there(machines: Machines) -> None:
    ann = agent("ann")
    machines.join(machines.two, ann)
    machines.one.media.move("call-ann", OTHER, ann.spec.participant, "5e55")
    assert reported(machines.two, LegMoved).session_id == "5e55"


def test_a_socket_for_another_machine_is_closed_and_reported(machines: Machines) -> None:
    ann = twilio("ann")
    machines.homes["call-ann"] = "two"
    with Client() as phone:
        machines.one.adopt(phone, ann)
        assert phone.read() is None
        closed = reported(machines.one, LegClosed)
    assert closed.reason is None
    assert "Node two is on another machine, and gets no open socket" in str(closed.detail)
