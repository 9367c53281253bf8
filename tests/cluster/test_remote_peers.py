"""Requests to nodes of other machines, over HTTP: what they send, and machines that misbehave."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from service.clock import SystemClock
from service.cluster.messages import Accepted, GetNode, GetStats, Rejected, encode
from service.cluster.node_client import MOST_BYTES, NodeClient, Unreached
from service.cluster.peers import REST_SECONDS, Unanswered
from service.cluster.remote_peers import LEAST_SECONDS, RemotePeers
from service.errors import Busy
from service.http_client.client import HttpClient
from service.security.node_tokens import NodeTokens
from tests.support.clocks import FakeClock
from tests.support.receivers import (
    PATIENCE,
    Answer,
    Receiver,
    breaks_off,
    die,
    receiving,
    redirect,
    says,
)

SECRET = "an API secret of these tests, 32 bytes"
QUESTION = GetStats(("call",))


def answered(body: bytes, status: int = 200) -> Answer:
    """An answer that leaves its connection open."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = False

    return answer


@pytest.fixture
def machine() -> Iterator[Receiver]:
    with receiving() as receiver:
        receiver.answer = lambda _: answered(encode(Accepted("hello")))
        yield receiver


class Addresses(dict[str, str]):
    """The addresses of nodes. ``fails`` makes the database unavailable."""

    fails = False

    def url_of(self, node_id: str) -> str | None:
        if self.fails:
            raise Busy("The database is away.")
        return self.get(node_id)


@pytest.fixture
def addresses(machine: Receiver) -> Addresses:
    return Addresses(nd_two=machine.url)


@pytest.fixture
def node_client(clock: FakeClock) -> Iterator[NodeClient]:
    client = NodeClient(SECRET, "nd_one", clock, HttpClient(SystemClock()))
    yield client
    client.close()


@pytest.fixture
def peers(node_client: NodeClient, addresses: Addresses, clock: FakeClock) -> Iterator[RemotePeers]:
    peers = RemotePeers(node_client, addresses.url_of, clock.monotonic)
    yield peers
    peers.close()


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def test_a_message_is_sent_with_a_token_for_it(
    peers: RemotePeers, machine: Receiver, clock: FakeClock
) -> None:
    assert peers.ask("nd_two", QUESTION) == "hello"
    [request] = machine.received
    assert (request.method, request.path) == ("POST", "/internal/nodes/nd_two")
    assert request.body == encode(QUESTION)
    sender = NodeTokens(SECRET).verify(
        request.headers["authorization"], request.path, request.body, clock.now()
    )
    assert sender == "nd_one"


def test_a_prefix_of_the_address_is_not_part_of_the_token(
    peers: RemotePeers, machine: Receiver, addresses: Addresses, clock: FakeClock
) -> None:
    addresses["nd_two"] += "/n/1"
    peers.ask("nd_two", QUESTION)
    [request] = machine.received
    assert request.path == "/n/1/internal/nodes/nd_two"
    header = request.headers["authorization"]
    assert NodeTokens(SECRET).verify(header, "/internal/nodes/nd_two", request.body, clock.now())


def test_a_connection_is_used_again(peers: RemotePeers, machine: Receiver) -> None:
    for _ in range(3):
        peers.ask("nd_two", QUESTION)
    assert len({request.connection for request in machine.received}) == 1


def test_no_proxy_of_the_environment_is_used(
    peers: RemotePeers, machine: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert peers.ask("nd_two", QUESTION) == "hello"


def status(code: int, sentence: str) -> Answer:
    return answered(b'{"message":"%s","statusCode":%d}' % (sentence.encode(), code), code)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (die, "does not answer at"),
        (breaks_off(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"["), "something else"),
        (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "does not answer at"),
        (answered(b"<html>Welcome</html>"), "answers with something else"),
        (answered(encode(QUESTION)), "answers with something else"),
        (answered(b""), "answers with something else"),
        (redirect(307, "http://127.0.0.1:9/"), "refuses a request at .*: HTTP status 307"),
        (status(404, "Node nd_two is not on this machine."), "NODE_URL .* reaches no machine"),
        (status(503, "Node nd_two does not answer."), "refuses a request .* does not answer"),
    ],
)
def test_a_machine_that_does_not_have_the_node_is_left_alone_for_a_moment(
    peers: RemotePeers, machine: Receiver, clock: FakeClock, answer: Answer, sentence: str
) -> None:
    machine.answer = lambda _: answer
    with pytest.raises(Unreached, match=sentence):
        peers.ask("nd_two", QUESTION)
    assert peers.is_silent("nd_two")
    with pytest.raises(Unanswered, match="did not answer a moment ago"):
        peers.ask("nd_two", QUESTION)
    assert len(machine.received) == 1
    clock.advance(REST_SECONDS)
    assert not peers.is_silent("nd_two")


def test_a_silent_machine_is_left_alone_for_a_moment(peers: RemotePeers, machine: Receiver) -> None:
    machine.answer = lambda _: machine.hang
    with pytest.raises(Unreached, match="no whole answer in time") as caught:
        peers.ask("nd_two", QUESTION, LEAST_SECONDS + 0.1)
    assert isinstance(caught.value.cause, TimeoutError)
    assert peers.is_silent("nd_two")


def test_a_machine_that_is_down_is_left_alone_for_a_moment(
    peers: RemotePeers, addresses: Addresses
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addresses["nd_two"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(Unreached) as caught:
        peers.ask("nd_two", QUESTION)
    assert (caught.value.status, type(caught.value.cause)) == (None, ConnectionRefusedError)
    assert peers.is_silent("nd_two")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (status(403, "The clock of nd_one is 60 s behind."), "The clock of nd_one is 60 s behind"),
        (status(429, "Too many failures."), "refuses a request at .*: Too many failures"),
        (answered(encode(Rejected("not today"))), "Node nd_two refuses: not today"),
    ],
)
def test_a_node_that_refuses_is_asked_again(
    peers: RemotePeers, machine: Receiver, answer: Answer, sentence: str
) -> None:
    machine.answer = lambda _: answer
    for _ in range(2):
        with pytest.raises(Unreached, match=sentence):
            peers.ask("nd_two", QUESTION)
    assert not peers.is_silent("nd_two")
    assert len(machine.received) == 2


def test_a_failure_is_logged_once_until_the_node_answers(
    peers: RemotePeers, machine: Receiver, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, down, right = status(404, "Nothing here."), die, answered(encode(Accepted()))
    machine.script(wrong, wrong, down, down, right, down)
    for _ in range(6):
        try:
            peers.ask("nd_two", QUESTION)
        except Unanswered:
            clock.advance(REST_SECONDS)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition(" at ")[0] for text in texts] == [
        f"NODE_URL {machine.url} reaches no machine that has node nd_two: Nothing here.",
        "Node nd_two does not answer",
        "Node nd_two does not answer",
    ]


def test_failures_of_two_kinds_in_turn_are_logged_once_each(
    peers: RemotePeers, machine: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine that refuses a wrong clock answers with 429 too, once it has refused often."""
    wrong, often = status(403, "The clock is wrong."), status(429, "Too many failures.")
    machine.script(wrong, often, wrong, often)
    for _ in range(4):
        with pytest.raises(Unreached):
            peers.ask("nd_two", QUESTION)
    sentences = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert sentences == ["The clock is wrong.", "Too many failures."]


def test_no_token_is_logged(
    peers: RemotePeers, machine: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    machine.answer = lambda _: die
    with pytest.raises(Unreached) as caught:
        peers.ask("nd_two", QUESTION)
    token = machine.received[0].headers["authorization"].removeprefix("Bearer ")
    assert token not in caplog.text + str(caught.value)


def test_a_message_that_is_too_long_is_not_sent(peers: RemotePeers, machine: Receiver) -> None:
    with pytest.raises(Unreached, match="longer than 65536 bytes"):
        peers.ask("nd_two", GetStats(("x" * MOST_BYTES,)))
    assert not machine.received


def test_a_node_without_a_known_address_is_not_asked(
    peers: RemotePeers, addresses: Addresses
) -> None:
    with pytest.raises(Unanswered, match="Node nd_new has no NODE_URL"):
        peers.ask("nd_new", QUESTION)
    addresses.fails = True
    with pytest.raises(Unanswered, match="address of node nd_new is not known"):
        peers.ask("nd_new", QUESTION)
    assert peers.begin({"nd_new": QUESTION})() == {}


def test_machines_are_asked_at_once_and_one_that_is_silent_delays_no_other(
    peers: RemotePeers, machine: Receiver, addresses: Addresses
) -> None:
    with receiving() as silent:
        silent.answer = lambda _: silent.hang
        addresses |= {"nd_three": machine.url, "nd_four": silent.url, "nd_five": silent.url}
        nodes = ("nd_four", "nd_five", "nd_two", "nd_three")
        answers = peers.begin(dict.fromkeys(nodes, QUESTION), PATIENCE)
        silent.wait_for(1)
        machine.wait_for(2)
        silent.released.set()
        assert answers() == {"nd_two": "hello", "nd_three": "hello"}
        assert peers.is_silent("nd_four")


def test_nodes_of_a_machine_have_one_deadline(
    peers: RemotePeers, machine: Receiver, addresses: Addresses
) -> None:
    machine.answer = lambda _: machine.hang
    addresses["nd_three"] = machine.url
    assert peers.begin(dict.fromkeys(("nd_two", "nd_three"), QUESTION), LEAST_SECONDS + 0.1)() == {}
    assert [each.path for each in machine.received] == ["/internal/nodes/nd_two"]
    assert peers.is_silent("nd_two")
    assert not peers.is_silent("nd_three")


def test_a_node_is_neither_asked_nor_left_alone_where_there_is_no_time_for_an_answer(
    peers: RemotePeers, machine: Receiver
) -> None:
    with pytest.raises(Unanswered, match="There was no time to ask node nd_two"):
        peers.ask("nd_two", QUESTION, LEAST_SECONDS / 2)
    assert not peers.is_silent("nd_two")
    assert not machine.received


def test_nobody_is_asked_after_the_end(peers: RemotePeers, machine: Receiver) -> None:
    peers.close()
    assert peers.begin({"nd_two": QUESTION})() == {}
    assert not machine.received


def test_a_client_by_itself_logs_nothing(
    node_client: NodeClient, machine: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    machine.script(answered(encode(Accepted({"node_id": "nd_two"}))), die)
    assert node_client.ask(machine.url, "nd_two", GetNode()) == {"node_id": "nd_two"}
    with pytest.raises(Unreached):
        node_client.ask(machine.url, "nd_two", GetNode())
    assert not caplog.records
