"""Questions to nodes over real sockets, by the addresses in the database."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.cli.clock_readings import ClockReading
from service.cli.node_probe import examine_nodes, probe_nodes
from service.cli.node_problems import NodeAnswer
from service.cluster.codec import pack
from service.cluster.messages import Accepted, GetNode, NodeInfo, Rejected, decode, encode
from service.cluster.node_client import NodeClient
from service.domain.nodes import ListedNode, Node
from service.http_client.client import HttpClient
from service.storage.cluster.time import time_of
from service.storage.database import Database
from tests.support.certificates import certificate
from tests.support.clocks import FakeClock
from tests.support.clusters import a_cluster
from tests.support.http_servers import in_thread
from tests.support.ports import free_port


class Machine(BaseHTTPRequestHandler):
    """A machine of the node ``nd_one``, whose clock is five seconds ahead."""

    clock: FakeClock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert decode(body) == GetNode()
        status, answer = self.answer()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answer(self) -> tuple[int, bytes]:
        name = self.path.removeprefix("/proxy/internal/nodes/")
        if name == "nd_stray":
            return 200, b"<html>"
        if name == "nd_ending":
            return 200, encode(Rejected("It ends."))
        if name == "nd_elsewhere":
            return 404, b'{"message": "It has no such node."}'
        if name == "nd_late":
            return 403, b'{"message": "The clock is 90 s off."}'
        if name != "nd_one":
            return 502, b"<html>"
        self.clock.advance(0.2)
        return 200, encode(Accepted(pack(NodeInfo("nd_one", "1.0", self.clock.now() + 5_000))))

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


@pytest.fixture
def machine(clock: FakeClock) -> Iterator[str]:
    class Timed(Machine):
        pass

    Timed.clock = clock
    server = HTTPServer(("127.0.0.1", 0), Timed)
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/proxy"


Probe = Callable[..., NodeAnswer]


@pytest.fixture
def probe(clock: FakeClock) -> Iterator[Probe]:
    client = NodeClient("secret", "doctor", clock, HttpClient(clock))

    def ask(url: str | None, node_id: str = "nd_one") -> NodeAnswer:
        listed = ListedNode(Node(node_id, "machine", 1, "1.0", url=url), up=0, silent=0)
        answers = probe_nodes([listed], client, clock)
        return answers.get(node_id, NodeAnswer(problem="not asked"))

    yield ask
    client.close()


def test_a_node_tells_the_time_of_its_machine(machine: str, probe: Probe) -> None:
    answer = probe(machine)
    assert answer == NodeAnswer(200, ClockReading(offset=5_100, error=101))


@pytest.mark.parametrize(
    ("node_id", "reason", "remedy"),
    [
        ("nd_late", "The clock is 90 s off.", "All machines need the same API_SECRET"),
        ("nd_elsewhere", "It has no such node.", "Correct NODE_URL"),
        ("nd_away", "HTTP status 502", "The proxy at this address"),
        ("nd_stray", "answers with something else", "Something other than Patchbay"),
        ("nd_ending", "refuses: It ends.", ""),
    ],
)
def test_an_address_that_does_not_lead_to_the_node_is_explained(
    machine: str, probe: Probe, node_id: str, reason: str, remedy: str
) -> None:
    found = probe(machine, node_id).problem
    assert found is not None
    assert node_id in found
    assert reason in found
    assert remedy in found


def test_an_address_at_which_nobody_listens_is_explained(probe: Probe) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = probe(url).problem
    assert found is not None
    assert f"{url}: no answer (ConnectionRefusedError). Correct the name" in found


def test_a_certificate_that_is_not_trusted_is_explained(tmp_path: Path, probe: Probe) -> None:
    server = HTTPServer(("127.0.0.1", 0), Machine)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "localhost"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with in_thread(server):
        found = probe(f"https://localhost:{server.server_port}").problem
    assert found is not None
    assert "no answer (SSLCertVerificationError). Correct the name, the certificate" in found


def test_a_node_without_an_address_is_not_asked(probe: Probe) -> None:
    assert probe(None).problem == "not asked"


def test_nodes_of_the_database_are_described_and_judged(
    database: Database, machine: str, clock: FakeClock
) -> None:
    with a_cluster(database) as cluster:
        for node_id in ("nd_one", "nd_away"):
            assert cluster.node(node_id, url=machine, now=time_of(database)).register()
        lines, problems = examine_nodes(database, "secret", clock)
    assert f"nd_one ({machine})" in lines
    assert "  answer        after 200 ms" in lines
    assert [each for each in problems if "nd_away" in each and "502" in each]
    # Only Postgres has a clock of its own, which is not that of the test.
    of_clocks = [each for each in problems if "the database's" in each]
    assert len(of_clocks) == (0 if database.now() is None else 1)


def test_nodes_without_addresses_are_left_out(database: Database, clock: FakeClock) -> None:
    with a_cluster(database) as cluster:
        assert cluster.node("nd_one").register()
        assert examine_nodes(database, "secret", clock) == ([], [])
