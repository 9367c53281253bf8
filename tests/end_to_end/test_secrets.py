"""A full scenario on a real server with all logs on: no secret is in a log or an answer."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest
import sqlalchemy as sa

from service.domain import ids
from service.security import access_tokens
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.provider_apis import (
    CREDENTIALS,
    SIGNING_KEYS,
    ProviderApi,
    authorization,
    provider_api,
)
from tests.support.servers import PATIENCE
from tests.support.upgrades import text_frame, upgrade

NUMBERS = {"twilio": "+14155550121", "plivo": "+14155550122", "telnyx": "+14155550123"}
PIN, WRONG_PIN = "735460192837", "809172635481"
API_SECRET, OTHER_SECRET = "secret" * 8, "hEx7Lq2vZ9" * 4
METRICS_TOKEN = "scrape-4f81c0d2e6a7"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

REFERENCE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{32}(?![A-Za-z0-9])"
)
"""Pattern of every provider's references, which nothing else in the log matches."""

ACCESS_LOG = (
    *("--access-logfile", "-", "--log-level", "debug"),
    *("--access-logformat", '%(r)s %(q)s "%(f)s" %({authorization}i)s %({raw_uri}e)s'),
)


class Story:
    """A client that keeps all error bodies. They and the log must contain none of ``secrets``."""

    def __init__(self, patchbay: Patchbay, api: ProviderApi) -> None:
        self.patchbay = patchbay
        self.api = api
        self.error_bodies: list[str] = []
        self.secrets = {API_SECRET, OTHER_SECRET, METRICS_TOKEN, PIN, WRONG_PIN, patchbay.token}
        for name, fields in CREDENTIALS.items():
            self.secrets |= {fields[field] for field in ("authToken", "apiKey") if field in fields}
            self.secrets.add(authorization(name).split()[1])

    def send(self, method: str, url: str, body: object = None, **headers: str) -> int:
        """Send a request, and return its status. ``body`` is dumped as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {
            "Authorization": self.patchbay.token,
            "Content-Type": "application/json",
            **headers,
        }
        url = url if url.startswith("http") else self.patchbay.url + url
        try:
            with urlopen(Request(url, data, fields, method=method), timeout=PATIENCE) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                self.error_bodies.append(error.read().decode())
                return error.code

    def open(self, url: str, *messages: bytes, **headers: str | None) -> int:
        """Request an upgrade, send the messages on its socket, and return its status."""
        status, head, connection = upgrade(url, **headers)
        with connection:
            if status != 101:
                self.error_bodies.append(head.partition(b"\r\n\r\n")[2].decode())
                return status
            for message in messages:
                connection.sendall(text_frame(message))
            connection.recv(65_536)
        return status

    def connect(self, provider: str) -> str:
        """Create a connector with credentials. Return its webhook URL, whose key is a secret."""
        body = {"provider": provider, "credentials": CREDENTIALS[provider]}
        _, answer = self.patchbay.ask("POST", "/v2/connectors", body)
        url = str(answer["data"]["webhookUrl"])
        self.secrets.add(url.rpartition("/")[2])
        return url

    def invite(self, room: str) -> str:
        url = str(self.patchbay.invite(room)["wsUrl"])
        self.secrets.add(url.rpartition("=")[2])
        return url


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """A database's URL, the password in it, and a function that breaks it."""
    if request.param == "sqlite":
        path = tmp_path / "patchbay.db"

        def break_it() -> None:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("ALTER TABLE connectors RENAME TO elsewhere")

        yield f"sqlite:///{path}", "pa55w0rd-of-none", break_it
        return
    make: Callable[[], str] = request.getfixturevalue("postgres")
    url = sa.make_url(make())
    engine = sa.create_engine(url)
    role, password = f"test_{secrets.token_hex(6)}", f"pa55-{secrets.token_hex(12)}"
    schema = dict(url.query)["options"].rpartition("=")[2]

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    run(
        f"CREATE ROLE {role} LOGIN PASSWORD '{password}'", f"GRANT ALL ON SCHEMA {schema} TO {role}"
    )
    try:
        own = url.set(username=role, password=password).render_as_string(hide_password=False)
        yield (
            own,
            password,
            lambda: run(
                f"ALTER ROLE {role} NOLOGIN",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'",
            ),
        )
    finally:
        run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")
        engine.dispose()


@pytest.mark.parametrize(
    ("fmt", "database_url"), [("text", "sqlite"), ("json", "postgres")], indirect=["database_url"]
)
def test_no_secret_of_a_full_scenario_is_in_a_log_or_an_error(
    fmt: str, database_url: tuple[str, str, Callable[[], None]], tmp_path: Path
) -> None:
    url, password, break_it = database_url
    settings = {"DATABASE_URL": url, "LOG_LEVEL": "debug", "LOG_FORMAT": fmt}
    settings["METRICS_TOKEN"] = METRICS_TOKEN
    with provider_api() as api:
        settings |= {f"{name.upper()}_API_URL": api.url for name in NUMBERS}
        with running_patchbay(tmp_path / "data", *ACCESS_LOG, **settings) as patchbay:
            story = Story(patchbay, api)
            story.secrets.add(password)
            webhooks = {name: story.connect(name) for name in NUMBERS}
            phones = call(story, webhooks)
            join(story)
            place(story)
            intrude(story, webhooks)
            misspell(story, webhooks)
            for phone in phones:
                phone.hang_up()
                phone.join(PATIENCE)
            break_it()
            fail(story, webhooks)
            watch(story)
            patchbay.server.stop()
            output = patchbay.server.output
    assert "Traceback" in output
    assert len(story.error_bodies) > 30
    errors = "\n".join(story.error_bodies)
    for secret in story.secrets:
        for shape in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert shape not in output, secret
            assert shape not in errors, secret
    assert REFERENCE.findall(output) == REFERENCE.findall(errors) == []


def call(story: Story, webhooks: dict[str, str]) -> list[Phone]:
    """A signed call of each provider, into a room behind a PIN that is pressed wrongly first."""
    phones = []
    for name, webhook in webhooks.items():
        room = {"type": "static", "id": "vault", "pin": PIN}
        rule = {"name": name, "type": "inbound", "phoneNumbers": [NUMBERS[name]], "room": room}
        assert story.send("POST", "/v2/sip/routing-rule", rule) == 201
        account = CREDENTIALS[name].get("accountSid") or CREDENTIALS[name].get("authId")
        plan = Scenario(
            webhook_url=webhook,
            callee=NUMBERS[name],
            pins=(WRONG_PIN, f"{PIN}#"),
            digits="1",
            loop=True,
            signing_key=SIGNING_KEYS[name],
            account=account if name != "telnyx" else None,
        )
        phones.append(Phone(plan).start())
    for phone in phones:
        phone.wait_for("first-audio")
    return phones


def join(story: Story) -> None:
    """An agent beside them; calls are moved, dropped, transferred and ended."""
    with Agent(story.invite("vault")) as agent:
        agent.wait_for("participant-joined", count=3)
        # Reports of the room are written a moment later.
        story.patchbay.eventually(
            lambda: len(story.patchbay.calls(roomId="vault", status="answered")) == 3
        )
        moved, transferred, ended = (
            {"callId": found["callId"]} for found in story.patchbay.calls(roomId="vault")
        )
        where = {"roomId": "elsewhere"}
        assert story.send("POST", "/v2/sip/call/switch-room", moved | where) == 200
        number = {"transferTo": "+442071838750"}
        assert story.send("POST", "/v2/sip/call/transfer", transferred | number) == 200
        assert story.send("POST", "/v2/sip/call/end", ended) == 200
        agent.wait_for("participant-left", count=3)


def place(story: Story) -> None:
    """Calls through each provider's API: one is answered, and one is refused."""
    for connector in story.patchbay.ask("GET", "/v2/connectors")[1]["data"]:
        order = {
            "connectorId": connector["id"],
            "sipCallFrom": "+14155550199",
            "sipCallTo": "+442071838750",
            "destinationRoomId": "outside",
        }
        story.api.plan, story.api.trouble = {}, None
        assert story.send("POST", "/v2/sip/call", order) == 200
        story.api.phones[-1].wait_for("first-audio")
        story.api.trouble = (403, {"message": "No.", "code": 20003})
        assert story.send("POST", "/v2/sip/call", order) == 502
    story.api.trouble = None


def intrude(story: Story, webhooks: dict[str, str]) -> None:
    """Send wrong tokens, keys, signatures and references."""
    now = access_tokens.mint("key", API_SECRET, 1_000)
    for token in (
        access_tokens.mint("key", OTHER_SECRET, 1_000),
        access_tokens.mint("another", API_SECRET, 1_000),
        now,
        OTHER_SECRET,
        API_SECRET,
    ):
        story.secrets.add(token)
        for form in (token, f"Bearer {token}"):
            assert story.send("GET", "/v2/connectors", Authorization=form) == 401
        asked = story.send("GET", f"/v2/connectors?token={token}", Authorization="")
        assert asked == 401
    for name, webhook in webhooks.items():
        wrong = ids.new_webhook_key()
        story.secrets.add(wrong)
        form = urlencode(
            {"CallSid": "CA1", "CallUUID": "u1", "token": story.patchbay.token}
        ).encode()
        assert story.send("POST", f"/v2/hooks/{name}/{wrong}", form, **FORM) == 404
        assert story.send("POST", f"{webhook}?key={wrong}", form, **FORM) == 403
        assert story.send("POST", webhook.replace("whk_", "whk%5F"), form, **FORM) == 403
        ref = ids.new_ref()
        story.secrets.add(ref)
        assert story.open(f"{story.patchbay.url}/{name}/{ref}") == 404
        assert story.open(f"{story.patchbay.url}/{name}/{ref}?ref={ref}", Upgrade=None) == 400
        assert story.send("GET", f"/nowhere/{ref}?ref={ref}", Referer=f"http://x/{ref}") == 404
    used = story.invite("vault")
    ref = used.rpartition("=")[2].encode()
    assert story.open(used, b'{"event": "start"}', b'{"event": "' + ref + b'"}', b"{" + ref) == 101
    assert story.open(used) == 410
    token = story.patchbay.token.encode()[:90]
    assert story.open(story.invite("vault"), b'{"event":"x' + token + b'"}') == 101
    assert story.open(story.invite("vault"), b'{"event":"start"}', b"[" + token) == 101


def misspell(story: Story, webhooks: dict[str, str]) -> None:
    """Send invalid bodies that contain secrets."""
    key = webhooks["twilio"].rpartition("/")[2]
    token = CREDENTIALS["twilio"]["authToken"]
    for credentials in (
        {"authToken": [token] * 9},
        {"authToken": {token: token}},
        {"authToken": token + "\x00"},
        {"authToken": f"{token} {token}"},
        {"accountSid": token, "authToken": token, "nonsense": token},
        [token],
        token,
    ):
        body = {"provider": "twilio", "credentials": credentials}
        assert story.send("POST", "/v2/connectors", body) == 400, credentials
    for pin in (f"{PIN}x", [PIN], {"pin": PIN}, PIN * 9):
        room = {"type": "static", "id": "vault", "pin": pin}
        rule = {"name": "x", "type": "inbound", "phoneNumbers": ["+14155550190"], "room": room}
        assert story.send("POST", "/v2/sip/routing-rule", rule) == 400, pin
    broken = f'{{"provider": "twilio", "credentials": {{"authToken": "{token}", {key}'.encode()
    assert story.send("POST", "/v2/connectors", broken) == 400
    assert story.send("POST", "/v2/connectors", broken, **FORM) == 415
    assert story.send("POST", "/v2/connectors", {"provider": key}) == 400
    assert story.send("GET", f"/v2/sip/call?page={key}&status={story.patchbay.token}") == 400
    assert story.send("GET", f"/v2/connectors/{key}") == 404
    assert story.send(f"X{key}", "/v2/connectors") == 400


def watch(story: Story) -> None:
    """Read the metrics and the console, and sign in to it."""
    for path, token in (("/metrics", f"Bearer {METRICS_TOKEN}"), ("/console/api/health", None)):
        fields = {"Authorization": token or story.patchbay.token}
        request = Request(story.patchbay.url + path, headers=fields)
        with urlopen(request, timeout=PATIENCE) as answer:
            story.error_bodies.append(answer.read().decode())
    session, link = "/console/api/session", secrets.token_urlsafe(32)
    story.secrets.add(link)
    assert story.send("POST", session, {"link": link}) in (401, 503)
    assert story.send("POST", session, {"apiKey": "key", "apiSecret": OTHER_SECRET}) == 401
    assert story.send("POST", session, {"apiKey": "key", "apiSecret": API_SECRET}) == 200


def fail(story: Story, webhooks: dict[str, str]) -> None:
    """Send requests that need the database, which is broken."""
    for name, webhook in webhooks.items():
        form = urlencode({"CallSid": "CA2", "CallUUID": "u2", "Digits": PIN}).encode()
        for ending in ("", "/gather?try=1", "/status"):
            story.send("POST", webhook + ending, form, **FORM)
        story.open(f"{story.patchbay.url}/{name}/{ids.new_ref()}")
    body = {"provider": "twilio", "credentials": CREDENTIALS["twilio"]}
    assert story.send("POST", "/v2/connectors", body) in (500, 503)
    assert story.send("GET", "/v2/connectors") in (500, 503)
    path = urlsplit(webhooks["twilio"]).path
    story.send("GET", f"{path}?CallSid=CA3")
    story.send("GET", "/readyz")
