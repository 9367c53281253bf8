"""A proxy that leads the address of one machine to another machine, and is mended."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.installed import installed
from tests.support.patchbays import Patchbay
from tests.support.ports import free_port
from tests.support.provider_apis import CREDENTIALS, SIGNING_KEYS
from tests.support.servers import FORKED, PATIENCE, Server, environment

NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  {temporary}
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $http_connection;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{public}; }}
    location /n/1/ {{ proxy_pass http://127.0.0.1:{first}/; }}
    location /n/2/ {{ proxy_pass http://127.0.0.1:{second}/; }}
  }}
}}
"""


class Nginx:
    """The proxy of all addresses: the machines' own are paths of the public one."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port

    def lead(self, *, public: int, first: int, second: int) -> None:
        """Write where each path leads, by the ports of machines."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = NGINX.format(
            folder=self._folder,
            temporary=" ".join(f"{kind}_temp_path {self._folder}/{kind};" for kind in kinds),
            port=self._port,
            public=public,
            first=first,
            second=second,
        )
        (self._folder / "nginx.conf").write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        program = installed("nginx", required_by="REQUIRE_PROXIES")
        with (self._folder / "output.log").open("wb") as output:
            command = [program, "-p", str(self._folder), "-c", "nginx.conf"]
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            pause = threading.Event()
            while True:
                assert self._process.poll() is None, (self._folder / "output.log").read_text()
                with (
                    suppress(ConnectionRefusedError),
                    socket.create_connection(("127.0.0.1", self._port)),
                ):
                    break
                pause.wait(0.02)
            yield
        finally:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)


@dataclass
class Pair:
    """Two machines. ``ports`` are theirs, and ``direct`` asks each without the proxy."""

    nginx: Nginx
    ports: tuple[int, int]
    direct: tuple[Patchbay, Patchbay]

    def url(self, number: int) -> str:
        return f"{self.nginx.url}/n/{number + 1}"

    def dial(self, provider: str, room: str) -> Phone:
        """Call a room, at the public address, as the provider that signs its requests."""
        fields = {
            "provider": provider,
            "defaultRoomId": room,
            "credentials": CREDENTIALS[provider],
        }
        status, answer = self.direct[0].ask("POST", "/v2/connectors", fields)
        assert status == 201
        account = CREDENTIALS[provider].get("accountSid") or CREDENTIALS[provider].get("authId")
        scenario = Scenario(
            webhook_url=answer["data"]["webhookUrl"],
            signing_key=SIGNING_KEYS[provider],
            account=account,
            max_redirects=1_000,
        )
        return Phone(scenario).start()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: Callable[[], str]) -> Iterator[Pair]:
    """Two machines, and a proxy that leads both addresses to the second."""
    folder = tmp_path_factory.mktemp("wrong")
    port, ports = free_port(), (free_port(), free_port())
    nginx = Nginx(folder, port)
    settings = {"PUBLIC_URL": nginx.url, "TRUST_PROXY": "1", "DATABASE_URL": postgres()}
    with ExitStack() as stack:
        servers = []
        for number, own in enumerate(ports):
            own_settings = {"PORT": str(own), "NODE_URL": f"{nginx.url}/n/{number + 1}"}
            env = environment(folder / str(number), {**settings, **own_settings})
            servers.append(Server(FORKED, env))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait_for("Listening at: ")
        # Markup comes from the first machine, which knows the nodes of its rooms.
        nginx.lead(public=ports[0], first=ports[1], second=ports[1])
        stack.enter_context(nginx.running())
        first, second = (Patchbay(server) for server in servers)
        first.eventually(
            lambda: all(each.ask("GET", "/readyz")[0] == 200 for each in (first, second))
        )
        yield Pair(nginx, ports, (first, second))


def test_right_address_is_reached_by_its_path(pair: Pair) -> None:
    with Agent(pair.direct[1].invite("second")["wsUrl"]):
        for provider in ("twilio", "plivo"):
            phone = pair.dial(provider, "second")
            phone.wait_for("first-audio", timeout=PATIENCE)
            connecting = [each.detail for each in phone.events if each.name == "connecting"]
            assert connecting == [pair.nginx.url.replace("http", "ws")]
            phone.hang_up()
            phone.join(PATIENCE)


def test_socket_at_the_wrong_machine_is_on_the_ladder_until_the_proxy_is_mended(
    pair: Pair,
) -> None:
    first = pair.direct[0]
    ticket = first.invite("first")
    assert ticket["wsUrl"].startswith(f"{pair.url(0).replace('http', 'ws')}/videosdk?ref=")
    sentence = (
        f"The call is on the machine {pair.url(0)}, and the socket came to the machine "
        f"{pair.url(1)}."
    )
    with pytest.raises(InvalidStatus) as refused, connect(ticket["wsUrl"]):
        pass
    assert refused.value.response.status_code == 421
    assert sentence in refused.value.response.body.decode()
    phone = pair.dial("twilio", "first")

    def is_mended() -> bool:
        try:
            with Agent(first.invite("first")["wsUrl"]):
                return True
        except InvalidStatus:
            return False

    def is_told() -> bool:
        ladders = [call["timelog"] for call in first.calls(roomId="first")]
        return any(step.get("detail") == sentence for ladder in ladders for step in ladder)

    first.eventually(is_told)
    phone.hang_up()
    phone.join(PATIENCE)
    assert "first-audio" not in [event.name for event in phone.events]
    pair.nginx.lead(public=pair.ports[0], first=pair.ports[0], second=pair.ports[1])
    pair.nginx.reload()
    first.eventually(is_mended)
    again = pair.dial("twilio", "first")
    again.wait_for("first-audio", timeout=PATIENCE)
    again.hang_up()
    again.join(PATIENCE)
