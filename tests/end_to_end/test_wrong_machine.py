"""A proxy that leads the address of one machine to another machine, and is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.nginx import nginx
from tests.support.patchbays import Patchbay
from tests.support.ports import free_port
from tests.support.provider_apis import CREDENTIALS, SIGNING_KEYS
from tests.support.servers import FORKED, PATIENCE, Server, environment

NGINX = """
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $http_connection;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
server {{
  listen 127.0.0.1:{port};
  # Markup comes from the first machine, which knows the nodes of its rooms.
  location / {{ proxy_pass http://127.0.0.1:{public}; }}
  location /n/1/ {{ proxy_pass http://127.0.0.1:{first}/; }}
  location /n/2/ {{ proxy_pass http://127.0.0.1:{second}/; }}
}}
"""


@dataclass
class Pair:
    """Two machines. ``direct`` asks each without the proxy, to which ``url`` leads. ``mend`` makes
    the proxy lead each address to its machine.
    """

    url: str
    direct: tuple[Patchbay, Patchbay]
    mend: Callable[[], object]

    def url_of(self, number: int) -> str:
        """Return the address of a machine."""
        return f"{self.url}/n/{number + 1}"

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
    url = f"http://127.0.0.1:{port}"
    settings = {"PUBLIC_URL": url, "TRUST_PROXY": "1", "DATABASE_URL": postgres()}
    with ExitStack() as stack:
        servers = []
        for number, own in enumerate(ports, start=1):
            own_settings = {"PORT": str(own), "NODE_URL": f"{url}/n/{number}"}
            env = environment(folder / str(number), {**settings, **own_settings})
            servers.append(Server(FORKED, env))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait_for("Listening at: ")
        first, second = (Patchbay(server) for server in servers)
        for each in (first, second):
            each.eventually(lambda each=each: each.ask("GET", "/readyz")[0] == 200)

        def part(leads_to: tuple[int, int]) -> str:
            return NGINX.format(port=port, public=ports[0], first=leads_to[0], second=leads_to[1])

        proxy = stack.enter_context(nginx(folder / "nginx", port, part((ports[1], ports[1]))))
        yield Pair(url, (first, second), lambda: proxy.reload(part(ports)))


def test_right_address_is_reached_by_its_path(pair: Pair) -> None:
    with Agent(pair.direct[1].invite("second")["wsUrl"]):
        for provider in ("twilio", "plivo"):
            phone = pair.dial(provider, "second")
            phone.wait_for("first-audio", timeout=PATIENCE)
            connecting = [each.detail for each in phone.events if each.name == "connecting"]
            assert connecting == [pair.url.replace("http", "ws")]
            phone.hang_up()
            phone.join(PATIENCE)


def test_socket_at_the_wrong_machine_is_on_the_ladder_until_the_proxy_is_mended(
    pair: Pair,
) -> None:
    first = pair.direct[0]
    ticket = first.invite("first")
    assert ticket["wsUrl"].startswith(f"{pair.url_of(0).replace('http', 'ws')}/videosdk?ref=")
    sentence = (
        f"The call is on the machine {pair.url_of(0)}, and the socket came to the machine "
        f"{pair.url_of(1)}."
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
    pair.mend()
    first.eventually(is_mended)
    again = pair.dial("twilio", "first")
    again.wait_for("first-audio", timeout=PATIENCE)
    again.hang_up()
    again.join(PATIENCE)
