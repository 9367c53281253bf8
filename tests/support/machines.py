"""Several machines on one Postgres, behind nginx: real processes that a test stops and cuts off.

Each machine is a gunicorn with an address of its own on loopback, and has its own way to the
database. nginx hands out the requests to the public address in turn. The providers' APIs redirect
the phones of the test.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.request import Request, urlopen

import sqlalchemy as sa

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.nginx import nginx
from tests.support.patchbays import Patchbay
from tests.support.ports import free_port
from tests.support.provider_apis import CREDENTIALS, SIGNING_KEYS, ProviderApi, provider_api
from tests.support.proxies import Proxy, proxied
from tests.support.servers import FORKED, PATIENCE, Server, environment
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")

NGINX = """
upstream machines {{
  {servers}
}}
server {{
  listen 127.0.0.1:{port};
  location / {{
    proxy_pass http://machines;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    # A stopped machine accepts connections and answers nothing.
    proxy_connect_timeout 2s;
    proxy_read_timeout 4s;
    proxy_next_upstream error timeout non_idempotent;
  }}
}}
"""


class Machine:
    """One gunicorn, which may be started again at the same address."""

    def __init__(self, folder: Path, port: int, settings: dict[str, str], database: Proxy) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.database = database
        self.database_url = settings["DATABASE_URL"]
        self._env = environment(folder, {"PORT": str(port), "NODE_URL": self.url, **settings})
        self.start()

    def start(self) -> None:
        """Start it. It listens a moment later."""
        self.server = Server(FORKED, self._env)
        self.patchbay = Patchbay(self.server)

    def listens(self) -> None:
        self.server.wait_for("Listening at: ")

    def workers(self) -> list[int]:
        """Return the process ids of the workers that run, oldest first."""
        started = re.findall(r"Booting worker with pid: (\d+)", self.server.output)
        return [int(pid) for pid in started if Path(f"/proc/{pid}").exists()]

    def freeze(self) -> None:
        """Stop all processes, as a machine that hangs. Its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self.server.stop()

    def legs(self) -> dict[str, int]:
        """Return the number of media sockets of each node."""
        request = Request(f"{self.url}/metrics", headers={"Authorization": self.patchbay.token})
        with urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read().decode()
        found = re.findall(r'^patchbay_legs{node="([^"]+)"} (\S+)$', text, re.MULTILINE)
        return {node: int(float(value)) for node, value in found}

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self.server.pid, *self.workers()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Fleet:
    """The machines, and the phones that call them at the public address."""

    def __init__(self, url: str, database: str, api: ProviderApi) -> None:
        self.url = url
        self.machines: list[Machine] = []
        self.phones: list[Phone] = []
        self.api = api
        self._engine = sa.create_engine(database)
        self._calls: dict[str, Phone] = {}
        api.on_redirect = lambda call_id, url: self._calls[call_id].redirect(url)

    @property
    def patchbay(self) -> Patchbay:
        """All machines as their users see them."""
        return Patchbay(self.machines[0].server, url=self.url)

    def eventually(self, holds: Any) -> None:
        self.patchbay.eventually(holds)

    def connect(self, provider: str, room: str, *, has_credentials: bool = True) -> str:
        """Create a connector and return its webhook URL."""
        fields: dict[str, Any] = {"provider": provider, "defaultRoomId": room}
        if has_credentials:
            fields["credentials"] = CREDENTIALS[provider]
        status, answer = self.patchbay.ask("POST", "/v2/connectors", fields)
        assert status == 201
        return str(answer["data"]["webhookUrl"])

    def dial(self, room: str, frequency: float, provider: str, **options: bool) -> Phone:
        """Call a room. The caller says a tone for as long as the call lasts."""
        is_signed = options.get("has_credentials", True)
        account = CREDENTIALS[provider].get("accountSid") or CREDENTIALS[provider].get("authId")
        scenario = Scenario(
            webhook_url=self.connect(provider, room, **options),
            sample=sound.tone(frequency, 1.0),
            loop=True,
            max_redirects=1_000,
            signing_key=SIGNING_KEYS[provider] if is_signed else None,
            account=account if is_signed else None,
        )
        phone = Phone(scenario)
        self.phones.append(phone)
        self._calls[phone.call_id] = phone
        return phone.start()

    def query(self, statement: str, **values: object) -> list[Any]:
        """Ask the database directly."""
        with self._engine.connect() as connection:
            return list(connection.execute(sa.text(statement), values))

    def nodes(self) -> dict[str, str]:
        """Return the address of each registered node."""
        return {row.id: row.url for row in self.query("SELECT id, url FROM nodes")}

    def homes(self) -> dict[str, str | None]:
        """Return the node of each answered call, by the provider's id."""
        rows = self.query("SELECT provider_call_id, node_id FROM calls WHERE status = 'answered'")
        return {row.provider_call_id: row.node_id for row in rows}

    def machine_of(self, phone: Phone) -> Machine:
        """Return the machine that has the call."""
        node_id = self.homes()[phone.call_id]
        assert node_id is not None
        url = self.nodes()[node_id]
        return next(machine for machine in self.machines if machine.url == url)

    def close(self) -> None:
        for phone in self.phones:
            phone.hang_up()
        for phone in self.phones:
            phone.join(PATIENCE)
        self._engine.dispose()


class Rooms:
    """Rooms of three callers each, of all providers, with tones of their own.

    The connector of each third caller has no credentials.
    """

    def __init__(self, fleet: Fleet, rooms: int) -> None:
        self.fleet = fleet
        self.names = [f"room-{token_hex(4)}" for _ in range(rooms)]
        self.callers: dict[str, list[tuple[float, Phone]]] = {}
        for number, name in enumerate(self.names):
            self.callers[name] = [
                (
                    first + 25.0 * number,
                    fleet.dial(
                        name,
                        first + 25.0 * number,
                        PROVIDERS[(number + place) % 3],
                        has_credentials=place < 2,
                    ),
                )
                for place, first in enumerate((400, 1100, 1800))
            ]
            # One room after the other: more callers at once than a machine admits would hear busy.
            for _, phone in self.callers[name]:
                phone.wait_for("first-audio", timeout=PATIENCE)

    @property
    def phones(self) -> list[Phone]:
        return [phone for room in self.callers.values() for _, phone in room]

    def hear_each_other(self) -> None:
        """Return when each caller hears the two others of the room."""
        for callers in self.callers.values():
            for own, phone in callers:
                for tone, _ in callers:
                    if tone != own:
                        self.fleet.eventually(lambda phone=phone, tone=tone: hears(phone, tone))

    def calls(self) -> dict[str, tuple[str, str, str]]:
        """Return room, participant and session of each answered call, once all calls are."""
        found: dict[str, tuple[str, str, str]] = {}

        def all_answered() -> bool:
            rows = self.fleet.query(
                "SELECT id, room_id, participant_id, session_id FROM calls"
                " WHERE status = 'answered' AND detached_at IS NULL AND room_id = ANY(:rooms)",
                rooms=self.names,
            )
            found.clear()
            found.update({row[0]: (row[1], row[2], row[3]) for row in rows})
            return len(found) == len(self.phones)

        self.fleet.eventually(all_answered)
        return dict(found)

    def on(self, machine: Machine) -> dict[str, list[Phone]]:
        """Return the callers of each room that is on a machine."""
        nodes = self.fleet.nodes()
        rows = self.fleet.query(
            "SELECT DISTINCT room_id, node_id FROM calls"
            " WHERE status = 'answered' AND room_id = ANY(:rooms)",
            rooms=self.names,
        )
        return {
            row.room_id: [phone for _, phone in self.callers[row.room_id]]
            for row in rows
            if nodes.get(row.node_id) == machine.url
        }

    def have_one_node_each(self, *machines: Machine) -> None:
        """Return when the sockets of these machines, which are all, are where the database says,
        and each room is on one node.
        """

        def agrees() -> bool:
            rows = self.fleet.query("SELECT room_id, node_id FROM calls WHERE status = 'answered'")
            sockets = Counter[str]()
            for machine in machines:
                sockets.update(machine.legs())
            homes = {tuple(row) for row in rows}
            stored = Counter(row.node_id for row in rows)
            return +sockets == stored and len(homes) == len({room for room, _ in homes})

        self.fleet.eventually(agrees)


def hears(phone: Phone, frequency: float) -> bool:
    """Whether the last 300 ms that the caller heard have this tone."""
    return level(phone.heard[-RATE * 3 // 10 :], frequency) > -30


def count(phone: Phone, name: str) -> int:
    return [event.name for event in phone.events].count(name)


def closes(phone: Phone) -> list[str | None]:
    """Return the close codes of the caller's sockets."""
    return [event.detail for event in phone.events if event.name == "closed"]


@contextmanager
def running_machines(folder: Path, database: str, number: int = 3) -> Iterator[Fleet]:
    """Run machines on an empty schema of Postgres."""
    port, ports = free_port(), [free_port() for _ in range(number)]
    public = f"http://127.0.0.1:{port}"
    url = sa.make_url(database)
    with ExitStack() as stack:
        api = stack.enter_context(provider_api())
        fleet = Fleet(public, database, api)
        settings = {"PUBLIC_URL": public, "TRUST_PROXY": "1", "MAX_CALLS": "400"}
        settings |= {f"{name.upper()}_API_URL": api.url for name in PROVIDERS}
        for each in ports:
            proxy = stack.enter_context(proxied(url.host or "127.0.0.1", url.port or 5432))
            own = url.set(host="127.0.0.1", port=proxy.port)
            settings["DATABASE_URL"] = own.render_as_string(hide_password=False)
            fleet.machines.append(Machine(folder / str(each), each, dict(settings), proxy))
            stack.callback(fleet.machines[-1].stop)
        for machine in fleet.machines:
            machine.listens()
        servers = " ".join(f"server 127.0.0.1:{each} max_fails=0;" for each in ports)
        stack.enter_context(nginx(folder / "nginx", port, NGINX.format(servers=servers, port=port)))
        fleet.eventually(lambda: set(fleet.nodes().values()) == {m.url for m in fleet.machines})
        stack.callback(fleet.close)
        yield fleet
