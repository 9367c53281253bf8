"""nginx and Caddy with the files of ``deploy/`` in front of a real server: calls go through them.

The server has no ``PUBLIC_URL`` and takes its own address from each request: a signature holds only
if the proxy passes on scheme and host.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from service.server.request_framing import MAX_LINE
from service.server.worker import ARRIVAL_SECONDS, UPLOAD_SECONDS
from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.certificates import trusted
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.reverse_proxies import Caddy, Nginx, Proxy, proxying
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

CADDYFILE = ROOT / "deploy" / "Caddyfile"
KINDS: tuple[type[Proxy], ...] = (Nginx, Caddy)

ACCOUNT, TOKEN = "AC" + "7" * 32, "0123456789abcdef" * 2
KEY = "whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu"
FORM = "application/x-www-form-urlencoded"
TONE, OTHER_TONE = 1000.0, 600.0

SLOW = b"POST /v2/connectors HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{"

QUICKLY: dict[type[Proxy], tuple[str, str]] = {
    Nginx: ("client_body_timeout 10s", "client_body_timeout 1s"),
    Caddy: ("read_body 75s", "read_body 1s"),
}
"""Settings that make a proxy cut a slow body within the time of a test."""

DEFAULT_READ_TIMEOUT = 60
"""Seconds of silence after which nginx cuts a WebSocket by default."""


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with trusted(tmp_path_factory.mktemp("pem")) as path:
        yield path


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    log = ("--access-logfile", "-", "--access-logformat", "%(h)s asked for %(U)s")
    with running_patchbay(tmp_path_factory.mktemp("data"), *log, TRUST_PROXY="1") as patchbay:
        yield patchbay


class Front:
    """A proxy in front of the server."""

    def __init__(self, proxy: Proxy, patchbay: Patchbay) -> None:
        self.proxy = proxy
        self.patchbay = patchbay

    def connect(self, **fields: object) -> str:
        """Create a connector through the proxy and return the path of its webhook."""
        body = json.dumps({"provider": "twilio", "defaultRoomId": "front", **fields}).encode()
        status, _, answer = self.proxy.ask(
            "/v2/connectors",
            body,
            method="POST",
            Authorization=self.patchbay.token,
            Content_Type="application/json",
        )
        assert status == 201, answer
        url = str(json.loads(answer)["data"]["webhookUrl"])
        assert url.startswith(f"{self.proxy.url}/v2/hooks/")
        return url.removeprefix(self.proxy.url)

    @contextmanager
    def calling(self, path: str, tone: float, key: str | None = TOKEN) -> Iterator[Phone]:
        scenario = Scenario(
            webhook_url=self.proxy.url + path,
            sample=sound.tone(tone, 1.0),
            loop=True,
            signing_key=key,
            account=ACCOUNT,
        )
        phone = Phone(scenario).start()
        try:
            yield phone
        finally:
            phone.hang_up()
            phone.join(PATIENCE)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def front(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    patchbay: Patchbay,
    pem: Path,
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("proxy") / "run"
    with proxying(request.param, folder, port_of(patchbay), pem) as proxy:
        yield Front(proxy, patchbay)


def port_of(patchbay: Patchbay) -> int:
    return urlsplit(patchbay.url).port or 0


def hears(front: Front, phone: Phone, tone: float) -> None:
    front.patchbay.eventually(
        lambda: phone.streamed > RATE and level(phone.heard[-RATE // 2 :], tone) > -30
    )


def test_signed_calls_hear_each_other(front: Front) -> None:
    path = front.connect(credentials={"accountSid": ACCOUNT, "authToken": TOKEN})
    with front.calling(path, TONE) as one, front.calling(path, OTHER_TONE) as other:
        hears(front, one, OTHER_TONE)
        hears(front, other, TONE)
    for phone in (one, other):
        assert phone.report.ended == "caller-hung-up", phone.report
        assert phone.report.problems == ()
        assert phone.report.redirects == 0


def test_call_with_another_signature_is_refused(front: Front) -> None:
    path = front.connect(credentials={"accountSid": ACCOUNT, "authToken": TOKEN})
    with front.calling(path, TONE, key=TOKEN[::-1]) as phone:
        phone.join(PATIENCE)
    assert phone.report.failure is not None
    assert "answered the webhook with 403" in phone.report.failure


def test_client_can_forge_neither_its_address_nor_its_scheme(front: Front) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "http"}
    form = urlencode({"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199"}).encode()
    status, _, markup = front.proxy.ask(
        front.connect(), form, method="POST", Content_Type=FORM, **forged
    )
    assert status == 200
    assert f"wss://localhost:{front.proxy.port}/twilio/".encode() in markup
    path = f"/v2/asked-through-{front.proxy.name}"
    status, _, _ = front.proxy.ask(path, **forged)
    assert status == 404
    front.patchbay.server.wait_for(f"127.0.0.1 asked for {path}")


def test_longest_request_line_gets_through(front: Front) -> None:
    path = front.connect(provider="telnyx")
    call = urlencode({"CallSid": "v3:1", "From": "+14155550100", "To": "+14155550199"})
    line = f"{path}?{call}&Long="
    line += "x" * (MAX_LINE - len(f"GET {line} HTTP/1.1\r\n"))
    status, _, markup = front.proxy.ask(line)
    assert (status, b"<Stream" in markup) == (200, True), markup


def test_recording_of_a_test_call_gets_through(front: Front) -> None:
    status, headers, answer = front.proxy.ask(
        "/console/api/trials", b"x" * (4 * 1024 * 1024 - 1024), method="POST"
    )
    # Patchbay's answer without a signed-in session.
    assert (status, headers.get_content_type()) == (401, "application/json"), answer


def test_plain_http_is_sent_to_https(front: Front) -> None:
    status, headers, _ = front.proxy.ask_plainly("/v2/hooks/twilio/key?a=b")
    assert status == 308
    assert re.fullmatch(
        r"https://localhost(:\d+)?/v2/hooks/twilio/key\?a=b", headers["Location"] or ""
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_slow_body_is_cut_and_a_call_goes_on(
    kind: type[Proxy], patchbay: Patchbay, tmp_path: Path, pem: Path
) -> None:
    with proxying(kind, tmp_path / "run", port_of(patchbay), pem, (QUICKLY[kind],)) as proxy:
        front = Front(proxy, patchbay)
        path = front.connect()
        with (
            front.calling(path, TONE, None) as one,
            front.calling(path, OTHER_TONE, None) as other,
            socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost") as slow,
        ):
            one.wait_for("first-audio")
            # Without the setting, nginx would cut the body after a minute.
            slow.settimeout(PATIENCE / 2)
            slow.sendall(SLOW)
            answer = b""
            # Closing with unread data resets the connection, which is a cut as well.
            with suppress(ConnectionResetError):
                while piece := slow.recv(65_536):
                    answer += piece
            # With any answer of the proxy, the request was not executed.
            assert b"x-request-id" not in answer.lower()
            hears(front, one, OTHER_TONE)
            hears(front, other, TONE)
            assert "closed" not in {event.name for phone in (one, other) for event in phone.events}


def test_reload_of_nginx_cuts_no_call(patchbay: Patchbay, tmp_path: Path, pem: Path) -> None:
    with proxying(Nginx, tmp_path / "run", port_of(patchbay), pem) as proxy:
        front = Front(proxy, patchbay)
        path = front.connect()
        with front.calling(path, TONE, None) as one, front.calling(path, OTHER_TONE, None) as other:
            hears(front, one, OTHER_TONE)
            proxy.reload()
            before = other.streamed
            patchbay.eventually(lambda: other.streamed > before + RATE)
            hears(front, one, OTHER_TONE)
            assert "closed" not in {event.name for phone in (one, other) for event in phone.events}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_log_has_the_key_of_a_webhook(kind: type[Proxy], tmp_path: Path, pem: Path) -> None:
    with proxying(kind, tmp_path / "proxy", free_port(), pem) as proxy:
        status, _, _ = proxy.ask(f"/v2/hooks/twilio/{KEY}?From=%2B14155550100")
        assert status == 502
        proxy.stop()
        assert KEY not in proxy.log
        assert "14155550100" not in proxy.log


def test_nginx_waits_longer_than_by_default_for_a_quiet_socket() -> None:
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        minutes = re.findall(rf"^ *{name} (\d+)m;$", text, re.MULTILINE)
        assert [60 * int(each) > DEFAULT_READ_TIMEOUT for each in minutes] == [True]


def caddy(*arguments: str) -> str:
    command = [Caddy.program(), *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


def test_caddy_has_no_timeout_for_a_socket_and_reads_longer_than_patchbay() -> None:
    adapted = caddy("adapt", "--config", str(CADDYFILE))
    timeouts = {name: int(value) for name, value in re.findall(r'"(\w*timeout)":(\d+)', adapted)}
    # Of a connection that becomes a WebSocket, Caddy lifts both.
    assert timeouts.keys() == {"read_header_timeout", "read_timeout"}
    assert timeouts["read_timeout"] > (ARRIVAL_SECONDS + UPLOAD_SECONDS) * 10**9


@pytest.mark.parametrize("file", ["Caddyfile", "Caddyfile.machines"])
def test_caddy_accepts_the_format_of_its_file(file: str) -> None:
    path = ROOT / "deploy" / file
    assert caddy("fmt", str(path)) == path.read_text()
