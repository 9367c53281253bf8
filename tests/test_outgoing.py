"""The HTTP client against servers that do what servers do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clocks import FakeClock
from provider_apis import provider_api

from service import outgoing
from service.errors import BadGateway
from service.outgoing import MAX_BODY, Outgoing
from service.rest import HttpRequest


@contextmanager
def saying(*answers: bytes) -> Iterator[str]:
    """A server that says these bytes to one connection each, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/secret?token=1"
        thread.join()


@pytest.fixture
def client(clock: FakeClock) -> Iterator[Outgoing]:
    client = Outgoing(clock)
    yield client
    client.close()


def test_an_answer_is_returned_whatever_its_status(client: Outgoing) -> None:
    with saying(b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\n{}") as url:
        response = client.send(HttpRequest("POST", url, {"A": "b"}, b"body"))
    assert (response.status, response.body, response.document) == (418, b"{}", {})


def test_a_redirect_is_not_followed(client: Outgoing) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with saying(answer) as url:
        assert client.send(HttpRequest("GET", url)).status == 302


def test_no_more_of_a_body_is_read_than_is_wanted(client: Outgoing) -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY + 4096)
    with saying(answer) as url:
        assert len(client.send(HttpRequest("GET", url)).body) == MAX_BODY


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"],
    ids=["nothing", "no HTTP", "half a body"],
)
def test_what_is_no_whole_answer_is_a_bad_gateway_that_tells_no_secret(
    client: Outgoing, answer: bytes
) -> None:
    with saying(answer) as url, pytest.raises(BadGateway) as caught:
        client.send(HttpRequest("GET", url))
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_nobody_there_is_a_bad_gateway(client: Outgoing) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(BadGateway, match="no answer"):
            client.send(HttpRequest("GET", url))


def test_a_server_that_says_nothing_is_given_up(
    client: Outgoing, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(outgoing, "READ_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(BadGateway, match="Timeout"):
            Outgoing(clock).send(HttpRequest("GET", url))


def test_a_server_that_takes_too_long_over_its_body_is_given_up(client: Outgoing) -> None:
    class Slow(FakeClock):
        """Time flies while an answer is read."""

        def monotonic(self) -> float:
            self.advance(11)
            return super().monotonic()

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    with saying(answer) as url, pytest.raises(BadGateway, match="in time"):
        Outgoing(Slow()).send(HttpRequest("GET", url))


def test_connections_are_used_again(client: Outgoing) -> None:
    with provider_api() as api:
        for _ in range(3):
            url = f"{api.url}/v1/Account/MAXXX/Call/"
            assert client.send(HttpRequest("GET", url, {"Authorization": "x"})).status == 401
        assert len(api.connections) == 1
