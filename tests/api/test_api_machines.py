"""Addresses of several machines on one database, and media sockets that reach the wrong one."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.api.media_sockets import require_reference
from service.api.provider_requests import upgrade
from service.domain.calls import LadderEvent, Participant
from service.domain.connectors import Connector
from service.domain.origins import Address
from service.domain.routing_rules import RoomType, RuleRoom
from service.errors import BadSignature, Misdirected
from service.process.machine import Machine
from service.storage.cluster import machine_lease
from service.storage.database import Database
from service.web.services import Services, services_of
from tests.support import signers
from tests.support.agent_servers import agent_server
from tests.support.apps import API_KEY, API_SECRET, PUBLIC_URL, build
from tests.support.clocks import FakeClock
from tests.support.harness import CALL_IDS
from tests.support.keyrings import a_pair
from tests.support.nodes import url_of
from tests.support.records import a_connector, a_rule, an_agent
from tests.support.signers import Pairs
from tests.support.upgrades import HANDSHAKE

URLS = ("https://voice1.example.com", f"{PUBLIC_URL}/n/2")
PROVIDERS = ("twilio", "plivo", "telnyx")
TOKEN = "0123456789abcdef" * 2
MACHINES = pytest.mark.parametrize("number", [0, 1])


@dataclass
class Machines:
    """The apps of two machines, each with one node and with an address of its own."""

    apps: tuple[Flask, ...]

    def services(self, number: int) -> Services:
        return services_of(self.apps[number])

    def own_room(self, number: int) -> str:
        """Return a room whose node is on this machine."""
        room = f"room-of-{number}"
        self.services(number).admission.invite(room, Participant("first", "First"), None)
        return room

    def asks(self, number: int, connector: Connector, path: str = "", **fields: str) -> str:
        """Return the markup of a machine for a webhook."""
        name = connector.provider
        form = {
            "CallUUID" if name == "plivo" else "CallSid": CALL_IDS[name],
            "From": "+14155550100",
            "To": "+14155550199",
            "CallStatus": "ringing",
            **fields,
        }
        hook = f"/v2/hooks/{name}/{connector.webhook_key}"
        headers = {}
        if connector.credentials:
            headers = signed(name, f"{PUBLIC_URL}{path or hook}", tuple(form.items()))
        with self.apps[number].test_client() as client:
            return client.post(path or hook, data=form, headers=headers).text

    def opens(self, number: int, target: str) -> None:
        """Request a media socket of a machine, up to the upgrade."""
        ours, theirs = socket.socketpair()
        environ = {"werkzeug.socket": ours, "RAW_URI": target}
        with (
            ours,
            theirs,
            self.apps[number].test_request_context(
                target, headers=HANDSHAKE, environ_overrides=environ
            ),
        ):
            require_reference()


def signed(provider: str, url: str, form: Pairs = ()) -> dict[str, str]:
    """Return the signature of a webhook, or of an upgrade, which has no form."""
    if provider == "twilio":
        return signers.twilio(TOKEN, url, form)
    # Plivo signs the upgrade's URL with the scheme of HTTP.
    method, signed_url = ("POST", url) if form else ("GET", f"http{url.removeprefix('ws')}")
    return signers.plivo_v3(TOKEN, method, signed_url, form)


@contextmanager
def machines_on(
    database: Database, clock: FakeClock, folder: Path, *urls: str | None
) -> Iterator[Machines]:
    """They share folder and lease, because SQLite serves one machine: placement tells machines by
    their addresses.
    """
    lease = machine_lease.open_file(url_of(database))
    machine, key = Machine(folder, lease), a_pair().private_pem()
    made = [
        build(
            database,
            clock,
            machine=machine,
            node_url=None if url is None else Address.of(url),
            # The agents of these tests are on this host.
            webhook_allow_private=True,
            webhook_private_key=key,
        )
        for url in urls
    ]
    try:
        for app in made:
            assert services_of(app).stores.nodes.register()
        yield Machines(tuple(made))
    finally:
        for app in made:
            services_of(app).stores.nodes.leave(clock.now())
        if lease is not None:
            os.close(lease)


@pytest.fixture
def machines(sqlite_database: Database, clock: FakeClock, tmp_path: Path) -> Iterator[Machines]:
    with machines_on(sqlite_database, clock, tmp_path, *URLS) as machines:
        yield machines


def addresses(text: str) -> set[str]:
    """Return the addresses in a text, without references and keys."""
    found = re.findall(r"(?:https?|wss?)://[^\"'<> ]+", text)
    secrets = re.compile(r"(?<=/)[A-Za-z0-9]{32}$|(?<=ref=)vs_\w+|clk_[\w-]+|\?try=\d")
    return {secrets.sub("…", each) for each in found}


def media_url(text: str) -> str:
    found = re.search(r"wss?://[^\"'<> ]+", text)
    assert found is not None
    return found[0]


def connect(machines: Machines, provider: str, **changes: object) -> Connector:
    """Store a connector, and return it as each machine reads it."""
    connector = a_connector(provider=provider, **changes)
    machines.services(0).stores.connectors.add(connector)
    return connector


def sockets_of(number: int) -> str:
    return f"wss{URLS[number].removeprefix('https')}"


@MACHINES
@pytest.mark.parametrize("provider", PROVIDERS)
def test_markup_streams_to_the_machine_of_the_room_and_all_else_is_public(
    machines: Machines, provider: str, number: int
) -> None:
    connector = connect(machines, provider, default_room_id=machines.own_room(number))
    stream, hook = f"{sockets_of(number)}/{provider}/…", f"{PUBLIC_URL}/v2/hooks/{provider}/…"
    allowed = {stream, hook, f"{hook}/status"}
    for asked in range(2):
        for each in (0, 1):
            found = addresses(machines.asks(each, connector))
            assert stream in found, asked
            assert hook in found
            assert found <= allowed
    call = machines.services(0).stores.calls.find(connector.id, CALL_IDS[provider])
    assert call is not None
    kept = [step.markup for step in call.steps if step.markup]
    assert len(kept) == 4
    assert all(f"{sockets_of(number)}/{provider}/•••" in each for each in kept)


@MACHINES
@pytest.mark.parametrize("provider", PROVIDERS)
def test_markup_of_a_pin_and_what_follows_it(
    machines: Machines, provider: str, number: int
) -> None:
    room = machines.own_room(number)
    rule = a_rule(room=RuleRoom(RoomType.STATIC, None, room, "4711"))
    machines.services(0).stores.routing_rules.add(rule)
    connector = connect(machines, provider, default_rule_id=rule.id)
    hook = f"{PUBLIC_URL}/v2/hooks/{provider}/…"
    asked = machines.asks(0, connector)
    action = re.search(rf"{PUBLIC_URL}(/v2/hooks/[^\"]+gather\?try=1)", asked)
    assert action is not None
    assert addresses(asked) <= {f"{hook}/gather…", hook}
    answer = machines.asks(1 - number, connector, action[1], Digits="4711")
    assert f"{sockets_of(number)}/{provider}/…" in addresses(answer)
    assert addresses(answer) <= {f"{sockets_of(number)}/{provider}/…", hook, f"{hook}/status"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_markup_of_holds_and_transfers_is_public(machines: Machines, provider: str) -> None:
    connector = connect(machines, provider, default_room_id=machines.own_room(1))
    hook = f"{PUBLIC_URL}/v2/hooks/{provider}/"
    services = machines.services(0)
    ref = media_url(machines.asks(0, connector)).rpartition("/")[2]
    call_id = machines.services(1).admission.claim(provider, ref).call_id
    calls, steering = machines.services(1).stores.calls, services.stores.steering
    leg_id = calls.get(call_id).leg_id or ""
    assert calls.answered(call_id, leg_id, "s1", 1)
    steering.begin_transfer(call_id, "+442071838750", 2, 10)
    dialled = machines.asks(0, connector)
    assert "442071838750" in dialled
    services.serving.is_waiting = True
    held = machines.asks(0, connector)
    for markup in (dialled, held):
        assert addresses(markup)
        assert all(each.startswith(hook) for each in addresses(markup))


@MACHINES
def test_tickets_lead_to_the_machine_of_the_room(
    machines: Machines, number: int, authorised: Callable[..., FlaskClient]
) -> None:
    client = authorised(machines.apps[1 - number])
    answer = client.post("/v2/ingest/sessions", json={"roomId": machines.own_room(number)})
    assert addresses(answer.json["data"]["wsUrl"]) == {f"{sockets_of(number)}/videosdk?ref=…"}


@MACHINES
def test_agents_are_sent_to_the_machine_of_the_room(
    machines: Machines, number: int, authorised: Callable[..., FlaskClient]
) -> None:
    client, room = authorised(machines.apps[1 - number]), machines.own_room(number)
    with agent_server() as program:
        agent = an_agent(url=program.url)
        machines.services(0).stores.agents.add(agent)
        answer = client.post("/v2/agent/dispatch", json={"agentId": agent.id, "roomId": room})
        assert answer.status_code == 200
        asked = program.wait_for(1)
    assert addresses(asked.document["wsUrl"]) == {f"{sockets_of(number)}/videosdk?ref=…"}


def test_without_node_urls_every_address_is_public(
    sqlite_database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    with machines_on(sqlite_database, clock, tmp_path, None) as alone:
        assert alone.services(0).admission.invite("r", Participant("a", "A"), None).node_url is None
        for provider in PROVIDERS:
            connector = connect(alone, provider, id=f"cn_{provider}", default_room_id="r")
            hook = f"{PUBLIC_URL}/v2/hooks/{provider}/…"
            public = f"wss://voice.example.com/{provider}/…"
            assert addresses(alone.asks(0, connector)) <= {public, hook, f"{hook}/status"}
            assert media_url(alone.asks(0, connector)).startswith("wss://voice.example.com/")


@MACHINES
@pytest.mark.parametrize("provider", PROVIDERS)
def test_socket_at_the_wrong_machine_is_refused_and_on_the_ladder(
    machines: Machines, provider: str, number: int
) -> None:
    connector = connect(
        machines,
        provider,
        default_room_id=machines.own_room(number),
        credentials={} if provider == "telnyx" else {"authToken": (TOKEN,)},
    )
    services = machines.services(number)
    url = media_url(machines.asks(0, connector))
    sentence = (
        f"The call is on the machine {URLS[number]}, and the socket came to the machine "
        f"{URLS[1 - number]}."
    )
    ref = url.rpartition("/")[2]
    for _ in range(2):
        with pytest.raises(Misdirected, match=re.escape(sentence)):
            machines.opens(1 - number, f"/{provider}/{ref}")
    call = services.stores.calls.find(connector.id, CALL_IDS[provider])
    assert call is not None
    notes = [step.detail for step in call.steps if step.event is LadderEvent.PROVIDER]
    assert notes == [sentence]
    # The reference still opens a socket at the right machine.
    assert services.admission.claim(provider, ref).call_id == call.id


def test_ticket_at_the_wrong_machine_is_refused(machines: Machines) -> None:
    ticket = machines.services(0).admission.invite(
        machines.own_room(0), Participant("ann", "Ann"), None
    )
    with pytest.raises(Misdirected, match=re.escape(URLS[0])):
        machines.opens(1, f"/videosdk?ref={ticket.ref}")
    assert machines.services(0).admission.claim("websocket", ticket.ref).call_id == ticket.call.id


def test_console_may_open_sockets_at_every_machine(machines: Machines) -> None:
    services = machines.services(0)
    services.directory.update(services.stores.nodes.fresh())
    with machines.apps[0].test_client() as client:
        policy = client.get("/console/").headers["Content-Security-Policy"]
        signed_in = client.post(
            "/console/api/session", json={"apiKey": API_KEY, "apiSecret": API_SECRET}
        )
    (allowed,) = re.findall("connect-src ([^;]*);", policy)
    assert allowed.split()[-2:] == ["wss://voice1.example.com", "wss://voice.example.com"]
    assert signed_in.json["data"]["severalMachines"] is True


UPGRADES = {
    "an origin": ("https://voice1.example.com", "wss://voice1.example.com", ""),
    "a port": ("https://voice1.example.com:8443", "wss://voice1.example.com:8443", ""),
    "the default port": ("https://voice1.example.com:443", "wss://voice1.example.com", ""),
    "upper case": ("https://Voice1.Example.com", "wss://voice1.example.com", ""),
    "a path that the proxy strips": (
        "https://voice.example.com/n/1",
        "wss://voice.example.com/n/1",
        "",
    ),
    "a path that the server strips": (
        "https://voice.example.com/n/1",
        "wss://voice.example.com/n/1",
        "/n/1",
    ),
    "no encryption on this host": ("http://127.0.0.1:8001", "ws://127.0.0.1:8001", ""),
}


@pytest.mark.parametrize("provider", ["twilio", "plivo"])
@pytest.mark.parametrize(("node_url", "base", "mounted"), UPGRADES.values(), ids=UPGRADES)
def test_signature_of_an_upgrade_is_that_of_the_address_in_the_markup(
    sqlite_database: Database,
    clock: FakeClock,
    tmp_path: Path,
    provider: str,
    node_url: str,
    base: str,
    mounted: str,
) -> None:
    with machines_on(sqlite_database, clock, tmp_path, node_url) as machines:
        credentials = {"authToken": (TOKEN,)}
        connector = connect(machines, provider, default_room_id="r", credentials=credentials)
        url = media_url(machines.asks(0, connector))
        target = url.removeprefix(base)
        assert target.startswith(f"/{provider}/")

        def check(url: str) -> None:
            environ = {"RAW_URI": mounted + target, "SCRIPT_NAME": mounted}
            context = machines.apps[0].test_request_context(
                target, headers=signed(provider, url), environ_overrides=environ
            )
            with context:
                ref = target.rpartition("/")[2]
                machines.services(0).signatures.check_upgrade(provider, ref, upgrade())

        check(url)
        for other in (f"wss://voice.example.com{target}", f"wss://voice2.example.com{target}"):
            with pytest.raises(BadSignature, match=re.escape(base)):
                check(other)
