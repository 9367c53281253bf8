"""The HTTP client against real servers that misbehave."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.errors import BadGateway
from service.http_client.client import (
    KEPT_SECONDS,
    MAX_BODY,
    MOST_REDIRECTS,
    WHOLE_SECONDS,
    HttpClient,
)
from service.http_client.messages import HttpRequest
from tests.support.certificates import certificate
from tests.support.clocks import FakeClock
from tests.support.provider_apis import provider_api
from tests.support.receivers import (
    Receiver,
    breaks_off,
    broken_bodies,
    die,
    receiving,
    redirect,
    says,
)


@contextmanager
def saying(*answers: bytes) -> Iterator[str]:
    """A server that sends one of these answers to each connection, and closes it."""
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
def client(clock: FakeClock) -> Iterator[HttpClient]:
    client = HttpClient(clock)
    yield client
    client.close()


def test_responses_of_any_status_are_returned(client: HttpClient) -> None:
    with saying(b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\n{}") as url:
        response = client.send(HttpRequest("POST", url, {"A": "b"}, b"body"))
    assert (response.status, response.body, response.document) == (418, b"{}", {})


def test_redirects_are_not_followed_by_default(client: HttpClient) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with saying(answer) as url:
        assert client.send(HttpRequest("GET", url)).status == 302


def test_at_most_the_wanted_bytes_of_a_body_are_read(client: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY + 4096)
    with saying(answer) as url:
        assert len(client.send(HttpRequest("GET", url)).body) == MAX_BODY


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n" * 20],
    ids=["nothing", "no HTTP", "no status", "nothing but hints"],
)
def test_invalid_response_is_a_bad_gateway_without_secrets(
    client: HttpClient, answer: bytes
) -> None:
    with saying(answer) as url, pytest.raises(BadGateway) as caught:
        client.send(HttpRequest("GET", url))
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_refused_connection_is_a_bad_gateway(client: HttpClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(BadGateway, match="no answer"):
            client.send(HttpRequest("GET", url))


@pytest.mark.parametrize(
    "begun", [None, b"HTTP/1.1 200 OK\r\nX-Long: "], ids=["nothing", "headers"]
)
def test_unfinished_response_times_out(begun: bytes | None) -> None:
    client = HttpClient(SystemClock())
    with receiving() as receiver:
        receiver.script(receiver.hang if begun is None else receiver.trickle(begun))
        with pytest.raises(BadGateway, match="no whole answer in time"):
            client.send(HttpRequest("GET", receiver.url), seconds=0.2)


BROKEN = list(broken_bodies(200))


@pytest.mark.parametrize("status", [200, 201, 404, 500])
@pytest.mark.parametrize("broken", BROKEN)
def test_status_counts_where_the_body_breaks_off(
    client: HttpClient, status: int, broken: str
) -> None:
    with receiving() as receiver:
        receiver.script(broken_bodies(status)[broken])
        assert client.send(HttpRequest("POST", receiver.url)).status == status
        assert client.send(HttpRequest("POST", receiver.url)).status == 200
        assert len(receiver.received) == 2


@pytest.mark.parametrize("broken", BROKEN)
def test_redirect_is_followed_where_its_body_breaks_off(client: HttpClient, broken: str) -> None:
    with receiving() as receiver:
        receiver.script(broken_bodies(307, "Location: /there")[broken])
        assert post(client, f"{receiver.url}/here") == 200
        assert [request.path for request in receiver.received] == ["/here", "/there"]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 202 Taken\r\n" + b"X-More: 1\r\n" * 200,
        b"HTTP/1.1 202 Taken\r\nX-Long: " + b"x" * 70_000 + b"\r\n",
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 202 Taken\r\n" + b"X-More: 1\r\n" * 200,
        b"HTTP/1.1 202\r\n",
        b"HTTP/2 202 Taken\r\n",
    ],
    ids=["many headers", "a long header", "many after a hint", "no reason", "another version"],
)
def test_status_counts_where_the_headers_are_invalid(client: HttpClient, head: bytes) -> None:
    with saying(head + b"Content-Length: 2\r\n\r\n{}") as url:
        assert client.send(HttpRequest("POST", url)).status == 202


@pytest.mark.parametrize("status", [200, 201, 413])
def test_status_counts_where_the_connection_is_reset_within_the_headers(
    client: HttpClient, status: int
) -> None:
    with receiving() as receiver:
        receiver.script(breaks_off(b"HTTP/1.1 %d Said\r\nX-More: " % status))
        assert client.send(HttpRequest("POST", receiver.url)).status == status
        assert client.send(HttpRequest("POST", receiver.url)).status == 200
        assert len(receiver.received) == 2


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 2", b"HTTP/1.1 103 Early\r\nLink: </>\r\n\r\nHTTP/1.1 2"]
)
def test_reset_before_the_status_is_a_bad_gateway(client: HttpClient, begun: bytes) -> None:
    with receiving() as receiver:
        receiver.script(breaks_off(begun))
        with pytest.raises(BadGateway, match="no answer"):
            client.send(HttpRequest("POST", receiver.url))


@pytest.mark.parametrize("status", [200, 413])
def test_response_before_the_request_was_read_counts(client: HttpClient, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 %d Enough\r\nContent-Length: 0\r\n\r\n" % status)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert client.send(HttpRequest("POST", url, {}, b"x" * 20_000_000)).status == status
        thread.join()


def test_the_received_part_of_a_broken_body_is_returned(client: HttpClient) -> None:
    with saying(b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"sid":"CA1"}') as url:
        response = client.send(HttpRequest("POST", url), needs_body=True)
    assert response.document == {"sid": "CA1"}


@pytest.mark.parametrize("needs_body", [True, False])
def test_trickling_body_is_read_until_the_deadline(needs_body: bool) -> None:
    client = HttpClient(SystemClock())
    with receiving() as receiver:
        receiver.script(receiver.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"))
        request = HttpRequest("POST", receiver.url)
        response = client.send(request, seconds=0.2, needs_body=needs_body)
    assert (response.status, response.body.strip(b"x")) == (200, b"")


def test_unneeded_body_is_not_waited_for() -> None:
    client, left = HttpClient(SystemClock()), threading.Event()

    def stalls(handler: Any) -> None:
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")(handler)
        handler.connection.settimeout(WHOLE_SECONDS / 2)
        if not handler.connection.recv(1):
            left.set()

    with receiving() as receiver:
        receiver.script(stalls)
        assert client.send(HttpRequest("POST", receiver.url)).status == 200
        assert left.wait(WHOLE_SECONDS)


@pytest.mark.parametrize("hints", [1, 3])
@pytest.mark.parametrize("hint", [100, 102, 103])
def test_final_status_counts_after_interim_responses(
    client: HttpClient, hint: int, hints: int
) -> None:
    early = f"HTTP/1.1 {hint} Early\r\nLink: </a>\r\n\r\n".encode()

    def answer(handler: Any) -> None:
        handler.wfile.write(early * hints + b"HTTP/1.1 202 Taken\r\nContent-Length: 0\r\n\r\n")
        handler.close_connection = False

    with receiving() as receiver:
        receiver.script(answer)
        assert [post(client, receiver.url) for _ in range(2)] == [202, 200]
        assert len({request.connection for request in receiver.received}) == 1


def test_slow_name_resolution_times_out() -> None:
    found = threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        found.wait(30)
        return []

    client = HttpClient(SystemClock(), resolve=resolve)
    with pytest.raises(BadGateway, match="no whole answer in time"):
        client.send(HttpRequest("GET", "http://receiver.example/"), seconds=0.1)
    found.set()


def test_deadline_includes_name_resolution(
    clock: FakeClock,
) -> None:
    def resolve(*arguments: Any, **more: Any) -> list[Any]:
        clock.advance(11)
        return socket.getaddrinfo(*arguments, **more)

    with receiving() as receiver:
        with pytest.raises(BadGateway, match="no whole answer in time"):
            HttpClient(clock, resolve=resolve).send(HttpRequest("GET", receiver.url))
        assert receiver.received == ()


def test_connections_are_reused(client: HttpClient) -> None:
    with provider_api() as api:
        for _ in range(3):
            url = f"{api.url}/v1/Account/MAXXX/Call/"
            assert client.send(HttpRequest("GET", url, {"Authorization": "x"})).status == 401
        assert len(api.connections) == 1


def post(client: HttpClient, url: str) -> int:
    request = HttpRequest("POST", url, {"X-Signature": "abc"}, b"body")
    return client.send(request, redirects=True).status


def test_connection_that_was_idle_too_long_is_not_reused(
    client: HttpClient, clock: FakeClock
) -> None:
    with receiving() as receiver:
        for pause in (0, KEPT_SECONDS - 1, KEPT_SECONDS):
            clock.advance(pause)
            client.send(HttpRequest("POST", receiver.url))
        first, second, third = (request.connection for request in receiver.received)
    assert first == second != third


def test_connection_closed_by_its_server_is_not_reused(client: HttpClient) -> None:
    with receiving() as receiver:
        receiver.script(200, die)
        client.send(HttpRequest("POST", receiver.url))
        with pytest.raises(BadGateway, match="no answer"):
            client.send(HttpRequest("POST", receiver.url))
        assert client.send(HttpRequest("POST", receiver.url)).status == 200


def test_connection_with_unread_bytes_is_not_reused(client: HttpClient) -> None:
    def wordy(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000)
        handler.close_connection = False

    with receiving() as receiver:
        receiver.script(wordy)
        assert len(client.send(HttpRequest("POST", receiver.url), wanted=5).body) == 5
        assert client.send(HttpRequest("POST", receiver.url)).body == b""
        assert len({request.connection for request in receiver.received}) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_with_the_same_request_when_asked_for(
    client: HttpClient, status: int
) -> None:
    with receiving() as first, receiving() as second:
        first.script(redirect(status, f"{second.url}/there?a=b"))
        assert post(client, f"{first.url}/here") == 200
        (there,) = second.received
    assert (there.method, there.path, there.body) == ("POST", "/there?a=b", b"body")
    assert there.headers["x-signature"] == "abc"
    assert there.headers["host"] == second.url.removeprefix("http://")


def test_a_redirect_may_be_relative(client: HttpClient) -> None:
    with receiving() as receiver:
        receiver.script(redirect(307, "../b"))
        assert post(client, f"{receiver.url}/a/a") == 200
        assert [request.path for request in receiver.received] == ["/a/a", "/b"]


def test_303_is_not_followed(client: HttpClient) -> None:
    with receiving() as receiver:
        receiver.script(redirect(303, "/else"))
        assert post(client, receiver.url) == 303
        assert len(receiver.received) == 1


def test_redirects_are_bounded(client: HttpClient) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: redirect(308, "/again")
        with pytest.raises(BadGateway, match="it redirects more than 3 times"):
            post(client, receiver.url)
        assert len(receiver.received) == 1 + MOST_REDIRECTS


@pytest.mark.parametrize("location", [(), ("",)])
def test_redirect_without_a_target_is_a_bad_gateway(
    client: HttpClient, location: tuple[str, ...]
) -> None:
    with receiving() as receiver:
        receiver.script(redirect(302, *location))
        with pytest.raises(BadGateway, match="it redirects without saying where"):
            post(client, receiver.url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "//127.0.0.1", "http:"])
def test_other_schemes_are_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(BadGateway, match="does not begin with http:// or https://"):
        post(client, url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd"])
def test_redirect_to_another_scheme_is_not_followed(client: HttpClient, url: str) -> None:
    with receiving() as receiver:
        receiver.script(redirect(302, url))
        with pytest.raises(BadGateway, match="does not begin with http:// or https://"):
            post(client, receiver.url)


class Names:
    """A resolver that records its queries."""

    def __init__(self, **addresses: tuple[str, ...]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **more: Any) -> list[Any]:
        self.asked.append(host)
        found = [
            entry
            for address in self.addresses.get(host, ())
            for entry in socket.getaddrinfo(address, port, **more)
        ]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found


def named(receiver: Receiver, name: str) -> str:
    return receiver.url.replace("127.0.0.1", name) + "/secret"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for receiver.example that new clients trust."""
    path = certificate(tmp_path, "receiver.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def test_name_is_resolved_once_per_connection_and_sent_as_host(clock: FakeClock) -> None:
    names = Names(receiver_example=("127.0.0.1",))
    client = HttpClient(clock, resolve=names)
    with receiving() as receiver:
        for _ in range(2):
            assert post(client, named(receiver, "receiver.example")) == 200
        host = receiver.received[0].headers["host"]
        assert host == named(receiver, "receiver.example")[len("http://") : -len("/secret")]
    assert names.asked == ["receiver.example"]


def test_next_address_is_tried_where_one_does_not_answer(clock: FakeClock) -> None:
    client = HttpClient(clock, resolve=Names(receiver_example=("::1", "127.0.0.1")))
    with receiving() as receiver:
        assert post(client, named(receiver, "receiver.example")) == 200


@pytest.mark.parametrize("name", ["unknown.example", "a" * 64 + ".example"])
def test_unknown_name_is_a_bad_gateway(clock: FakeClock, name: str) -> None:
    client = HttpClient(clock, resolve=Names())
    with pytest.raises(BadGateway, match="the name does not resolve"):
        post(client, f"http://{name}/")


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("1.1.1.1", "127.0.0.1"), ("127.0.0.1", "1.1.1.1"), ("::ffff:127.0.0.1",)],
)
def test_guarded_client_refuses_names_with_a_private_address(
    clock: FakeClock, addresses: tuple[str, ...]
) -> None:
    guarded = HttpClient(clock, allow_private=False, resolve=Names(inside_example=addresses))
    with receiving() as receiver:
        with pytest.raises(BadGateway, match="set WEBHOOK_ALLOW_PRIVATE=on") as caught:
            post(guarded, named(receiver, "inside.example"))
        assert receiver.received == ()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost",
                                  "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0"])  # fmt: skip
def test_guarded_client_refuses_private_addresses_in_every_form(
    clock: FakeClock, host: str
) -> None:
    guarded = HttpClient(clock, allow_private=False)
    with receiving() as receiver, pytest.raises(BadGateway, match="the address is private"):
        post(guarded, named(receiver, host))


def test_guarded_client_refuses_redirects_to_a_private_address(clock: FakeClock) -> None:
    """The first server has an address that passes for a public one."""

    class Address(str):
        """A loopback address that passes for a public one."""

        def __str__(self) -> str:
            return "1.1.1.1"

    def resolve(host: str, port: int, **more: Any) -> list[Any]:
        (entry,) = socket.getaddrinfo("127.0.0.1", port, **more)
        if host != "outside.example":
            return [entry]
        return [(*entry[:4], (Address("127.0.0.1"), port))]

    guarded = HttpClient(clock, allow_private=False, resolve=resolve)
    with receiving() as outside, receiving() as inside:
        outside.script(redirect(307, named(inside, "inside.example")))
        with pytest.raises(BadGateway, match="the address is private"):
            post(guarded, named(outside, "outside.example"))
        assert (len(outside.received), len(inside.received)) == (1, 0)


def test_tls_uses_the_name_and_not_the_address(clock: FakeClock, trusted: Path) -> None:
    client = HttpClient(clock, resolve=Names(receiver_example=("127.0.0.1",)))
    with receiving(trusted) as receiver:
        for _ in range(2):
            assert post(client, named(receiver, "receiver.example")) == 200
        assert receiver.names == ["receiver.example"]
        host = receiver.received[1].headers["host"]
        assert host == named(receiver, "receiver.example")[len("https://") : -len("/secret")]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_certificate_for_another_name_is_refused(
    clock: FakeClock, trusted: Path, name: str
) -> None:
    client = HttpClient(clock, resolve=Names(**{name.replace(".", "_"): ("127.0.0.1",)}))
    with receiving(trusted) as receiver:
        with pytest.raises(BadGateway, match="SSLCertVerificationError"):
            post(client, named(receiver, name))
        assert receiver.received == ()


def test_certificate_of_an_unknown_authority_is_refused(clock: FakeClock, tmp_path: Path) -> None:
    client = HttpClient(clock, resolve=Names(receiver_example=("127.0.0.1",)))
    unknown = certificate(tmp_path, "receiver.example")
    with receiving(unknown) as receiver, pytest.raises(BadGateway, match="SSLCertVerification"):
        post(client, named(receiver, "receiver.example"))


def test_redirect_from_https_to_http_is_refused(clock: FakeClock, trusted: Path) -> None:
    client = HttpClient(clock, resolve=Names(receiver_example=("127.0.0.1",)))
    with receiving(trusted) as secure, receiving() as plain:
        secure.script(redirect(307, plain.url))
        with pytest.raises(BadGateway, match="it redirects from https to something else"):
            post(client, named(secure, "receiver.example"))
        assert plain.received == ()


def test_trickling_tls_response_times_out(trusted: Path) -> None:
    client = HttpClient(SystemClock(), resolve=Names(receiver_example=("127.0.0.1",)))
    with receiving(trusted) as receiver:
        receiver.script(receiver.trickle(b"HTTP/1.1 200 OK\r\nX-Long: "))
        with pytest.raises(BadGateway, match="no whole answer in time"):
            client.send(HttpRequest("POST", named(receiver, "receiver.example")), seconds=0.3)


def test_unreadable_headers_do_not_log_the_url(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n"
    with saying(answer) as url, caplog.at_level(logging.DEBUG):
        client.send(HttpRequest("GET", url))
    assert "secret" not in caplog.text
