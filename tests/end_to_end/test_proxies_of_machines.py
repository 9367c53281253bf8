"""nginx and Caddy with the files of ``deploy/`` for two machines, in front of two real servers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.certificates import trusted
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.ports import free_port
from tests.support.reverse_proxies import CaddyOfMachines, NginxOfMachines, Proxy, running
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

KINDS: tuple[type[Proxy], ...] = (NginxOfMachines, CaddyOfMachines)

ACCOUNT, TOKEN = "AC" + "7" * 32, "0123456789abcdef" * 2
TONES = (600.0, 1000.0)
STRANGER = "127.0.0.2"
"""An address of this host that no machine has."""


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with trusted(tmp_path_factory.mktemp("pem")) as path:
        yield path


@pytest.fixture(scope="module")
def port() -> int:
    """The port of the proxies, which run one after the other."""
    return free_port()


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, postgres: Callable[[], str], pem: Path, port: int
) -> Iterator[tuple[Patchbay, ...]]:
    """Two servers on one database, each with a path of the proxy as its address."""
    public = f"https://localhost:{port}"
    log = ("--access-logfile", "-", "--access-logformat", "%(h)s asked for %(U)s")
    shared = {"DATABASE_URL": postgres(), "PUBLIC_URL": public, "TRUST_PROXY": "1"}
    with ExitStack() as stack:
        patchbays = []
        for number in (1, 2):
            data = tmp_path_factory.mktemp("data")
            settings = {**shared, "NODE_URL": f"{public}/n/{number}"}
            patchbays.append(stack.enter_context(running_patchbay(data, *log, **settings)))
        for patchbay in patchbays:
            patchbay.eventually(lambda patchbay=patchbay: is_ready(patchbay))
        yield tuple(patchbays)


def is_ready(patchbay: Patchbay) -> bool:
    status, _ = patchbay.ask("GET", "/readyz")
    return status == 200


def backends(machines: tuple[Patchbay, ...]) -> tuple[tuple[str, str], ...]:
    servers = (
        (f"10.0.0.{number}:8000", patchbay.url.removeprefix("http://"))
        for number, patchbay in enumerate(machines, 1)
    )
    addresses = (("10.0.0.1", "127.0.0.1"), ("10.0.0.2", "127.0.0.1"))
    return (*servers, *addresses)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def proxy(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    machines: tuple[Patchbay, ...],
    pem: Path,
    port: int,
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy") / "run"
    with running(request.param, folder, backends(machines), pem, port=port) as proxy:
        yield proxy


def ask(proxy: Proxy, host: str, path: str, source: str = "127.0.0.1") -> tuple[int, bytes]:
    """Send a request for any host from any address. Returns the status, and the whole answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    address = ("127.0.0.1", proxy.port)
    with (
        socket.create_connection(address, PATIENCE, source_address=(source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(answer.split(b" ", 2)[1]), answer


@contextmanager
def calling(webhook: str, tone: float) -> Iterator[Phone]:
    scenario = Scenario(
        webhook_url=webhook,
        sample=sound.tone(tone, 1.0),
        loop=True,
        signing_key=TOKEN,
        account=ACCOUNT,
    )
    phone = Phone(scenario).start()
    try:
        yield phone
    finally:
        phone.hang_up()
        phone.join(PATIENCE)


def test_signed_calls_reach_the_machine_of_their_room(
    proxy: Proxy, machines: tuple[Patchbay, ...]
) -> None:
    patchbay = machines[0]
    with ExitStack() as stack:
        pairs = []
        for _ in machines:
            status, answer = patchbay.ask(
                "POST",
                "/v2/connectors",
                {
                    "provider": "twilio",
                    "defaultRoomId": f"room-{token_hex(4)}",
                    "credentials": {"accountSid": ACCOUNT, "authToken": TOKEN},
                },
            )
            assert status == 201
            webhook = answer["data"]["webhookUrl"]
            assert webhook.startswith(f"{proxy.url}/v2/hooks/")
            pair = [stack.enter_context(calling(webhook, tone)) for tone in TONES]
            pair[0].wait_for("first-audio")
            pairs.append(pair)
        for pair in pairs:
            for phone, tone in zip(pair, reversed(TONES), strict=True):
                patchbay.eventually(
                    lambda phone=phone, tone=tone: (
                        phone.streamed > RATE and level(phone.heard[-RATE // 2 :], tone) > -30
                    )
                )
    for phone in (phone for pair in pairs for phone in pair):
        assert phone.report.problems == ()
        assert phone.report.redirects == 0
    # A new room goes to the machine with fewer calls, so that both have one.
    for each in machines:
        each.server.wait_for("path=/twilio/<id:ref> status=101")


def test_each_machine_has_a_name_and_a_path_and_the_public_name_reaches_both(
    proxy: Proxy, machines: tuple[Patchbay, ...]
) -> None:
    for number, patchbay in enumerate(machines, 1):
        for host, path in (
            (f"voice{number}.example.com", "/v2/asked-by-name"),
            ("localhost", f"/n/{number}/v2/asked-by-path"),
        ):
            own = f"{path}-{token_hex(4)}"
            status, _ = ask(proxy, host, own)
            assert status == 404
            patchbay.server.wait_for(f"asked for {own[own.index('/v2') :]}")
    publicly = f"/v2/asked-publicly-{token_hex(4)}"
    machines[0].eventually(
        lambda: (
            ask(proxy, "localhost", publicly)[0] == 404
            and all(f"asked for {publicly}" in patchbay.server.output for patchbay in machines)
        )
    )


def test_only_machines_reach_what_is_internal(proxy: Proxy) -> None:
    for host, path in (
        ("localhost", "/internal/nodes/nd_x"),
        ("localhost", "/n/1/internal/nodes/nd_x"),
        ("voice2.example.com", "/internal/nodes/nd_x"),
    ):
        status, answer = ask(proxy, host, path, STRANGER)
        assert (status, b"x-request-id" in answer.lower()) == (403, False)
    for host, path in (
        ("localhost", "/n/1/internal/nodes/nd_x"),
        ("voice2.example.com", "/internal/nodes/nd_x"),
    ):
        _, answer = ask(proxy, host, path)
        assert b"x-request-id" in answer.lower()


def test_caddy_asks_machines_that_are_not_ready_where_none_is(
    machines: tuple[Patchbay, ...], tmp_path: Path, pem: Path
) -> None:
    answer_shows = "{\n\t\t\theader_down Unready yes\n\t\t\tto 10.0.0.1:8000 10.0.0.2:8000"
    text = (
        ("@unready 10.0.0.1:8000 10.0.0.2:8000 {", f"@unready {answer_shows}"),
        ("health_uri /readyz", "health_uri /absent"),
    )
    with running(CaddyOfMachines, tmp_path / "run", (*text, *backends(machines)), pem) as proxy:
        machines[0].eventually(lambda: b"unready: yes" in ask(proxy, "localhost", "/x")[1].lower())
        status, answer = ask(proxy, "localhost", "/v2/asked-unready")
        assert (status, b"x-request-id" in answer.lower()) == (404, True)
