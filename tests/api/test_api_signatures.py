"""Signed webhooks against the whole app: proxies, prefixes, refusals and log lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import create_app
from service.domain.calls import Call, CallStatus
from service.domain.connectors import Connector
from service.domain.ids import REF_SECONDS, digest
from service.domain.origins import Address
from service.errors import BadSignature
from service.providers.base.provider import Webhook
from service.settings import Settings
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.web.services import services_of
from tests.support import signers
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.migrated import migrated_file
from tests.support.records import a_connector
from tests.support.signers import FORM

TOKEN = "0123456789abcdef" * 2
ACCOUNT = "AC" + "1" * 32
KEY = "whk_" + "Ab1" * 8
FIELDS = [
    ("AccountSid", ACCOUNT),
    ("CallSid", "CA1"),
    ("CallUUID", "u-1"),
    ("From", "+14155550100"),
    ("To", "+14155550199"),
    ("CallStatus", "ringing"),
    ("CallerName", ""),
    ("Twice", "2 & ü"),
    ("Twice", "1"),
]
PUBLIC = signers.public_key(signers.TELNYX_KEY)
CREDENTIALS = {
    "twilio": {"authToken": (TOKEN,), "accountSid": (ACCOUNT,)},
    "plivo": {"authToken": (TOKEN,)},
    "telnyx": {"publicKey": (PUBLIC,)},
}


def with_connectors(app: Flask) -> Flask:
    """The app, with a connector for each provider."""
    for name, credentials in CREDENTIALS.items():
        connector = a_connector(
            id=f"cn_{name}", provider=name, credentials=credentials, webhook_key=KEY + name
        )
        services_of(app).stores.connectors.add(connector)
    return app


def path_of(provider: str) -> str:
    return f"/v2/hooks/{provider}/{KEY}{provider}"


def sign(
    provider: str, url: str, clock: FakeClock, fields: signers.Pairs = FIELDS, method: str = "POST"
) -> dict[str, str]:
    if provider == "twilio":
        return signers.twilio(TOKEN, url, fields)
    if provider == "plivo":
        return signers.plivo_v3(TOKEN, method, url, fields)
    return signers.telnyx(signers.TELNYX_KEY, urlencode(fields).encode(), clock.now() // 1000)


@dataclass(frozen=True)
class Way:
    """The way of a request to the server. ``raw`` is the text before ``/v2`` in its request line,
    ``mounted`` the server's own prefix, ``sees`` the origin that the provider requested. ``pasted``
    is text that was pasted behind the address by mistake.
    """

    sees: str
    public_url: str | None = None
    trust_proxy: int = 0
    host: str = "voice.example.com"
    forwarded: str | None = None
    raw: str = ""
    mounted: str = ""
    query: str = ""
    pasted: str = ""
    good: bool = True

    def send(
        self, client: FlaskClient, provider: str, clock: FakeClock, fields: signers.Pairs = FIELDS
    ) -> TestResponse:
        path = path_of(provider)
        query = f"?{self.query}" if self.query else ""
        headers = sign(provider, f"{self.sees}{path}{self.pasted}{query}", clock, fields)
        environ = {"HTTP_HOST": self.host, "RAW_URI": f"{self.raw}{path}{self.pasted}{query}"}
        environ |= {"SCRIPT_NAME": self.mounted, "PATH_INFO": path + unquote(self.pasted)}
        environ["QUERY_STRING"] = self.query
        if self.forwarded is not None:
            headers["X-Forwarded-Proto"] = self.forwarded
        return client.post(
            path,
            data=urlencode(fields),
            content_type=FORM,
            headers=headers,
            environ_overrides=environ,
        )


HTTPS = "https://voice.example.com"
WAYS = {
    "a slash at its end": Way(sees=HTTPS, public_url=HTTPS, pasted="/"),
    "slashes and a space at its end": Way(sees=HTTPS, public_url=HTTPS, pasted="//%20"),
    "a slash before the query": Way(sees=HTTPS, public_url=HTTPS, pasted="/", query="a=1"),
    "a slash and a prefix": Way(
        sees=f"{HTTPS}/pb", public_url=f"{HTTPS}/pb", raw="/pb", mounted="/pb", pasted="/"
    ),
    "no proxy": Way(sees="http://voice.example.com"),
    "a port": Way(sees="http://voice.example.com:8000", host="voice.example.com:8000"),
    "the scheme is the proxy's and it is believed": Way(
        sees=HTTPS, trust_proxy=1, forwarded="https"
    ),
    "the scheme is the proxy's and it is not believed": Way(
        sees=HTTPS, forwarded="https", good=False
    ),
    "a made-up scheme": Way(sees="http://voice.example.com", forwarded="https"),
    "the public URL": Way(sees=HTTPS, public_url=HTTPS, host="127.0.0.1:8000"),
    "another public URL": Way(sees=HTTPS, public_url="https://other.example.com", good=False),
    "another scheme": Way(sees="http://voice.example.com", public_url=HTTPS, good=False),
    "a public URL and a trusted proxy": Way(
        sees=HTTPS, public_url=HTTPS, trust_proxy=1, forwarded="http", host="10.0.0.1"
    ),
    "a public port": Way(
        sees="https://voice.example.com:8443", public_url="https://voice.example.com:8443"
    ),
    "a prefix that the proxy strips": Way(sees=f"{HTTPS}/pb", public_url=f"{HTTPS}/pb"),
    "a prefix that the server strips": Way(
        sees=f"{HTTPS}/pb", public_url=f"{HTTPS}/pb", raw="/pb", mounted="/pb"
    ),
    "a prefix without a public URL": Way(
        sees="http://voice.example.com/pb", raw="/pb", mounted="/pb"
    ),
    "a prefix that is not in the public URL": Way(sees=f"{HTTPS}/pb", public_url=HTTPS, good=False),
    "the public URL as it was written": Way(
        sees="https://Voice.Example.COM:443", public_url=Address.of("https://Voice.Example.COM:443")
    ),
    "the public URL in its one spelling": Way(
        sees=HTTPS, public_url=Address.of("https://Voice.Example.COM:443/")
    ),
    "a prefix of a public URL in capitals": Way(
        sees="https://VOICE.example.com/Pb", public_url=Address.of("HTTPS://VOICE.example.com/Pb/")
    ),
    "a host in capitals": Way(
        sees="https://Voice.Example.COM", public_url=HTTPS, host="Voice.Example.COM"
    ),
    "a host of another name": Way(
        sees="https://other.example.com", public_url=HTTPS, host="other.example.com", good=False
    ),
    "a query": Way(sees=HTTPS, public_url=HTTPS, query="tenant=7&b=x%20y%2B&blank="),
    "a query with repeats": Way(sees=HTTPS, public_url=HTTPS, query="a=2&a=1&A=%7E"),
    "the absolute form": Way(sees=HTTPS, public_url=HTTPS, raw="http://voice.example.com"),
}


@pytest.fixture(scope="module")
def whole_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Way], Flask]]:
    """A function that returns the whole app, one for each public URL and number of proxies."""
    apps: dict[object, Flask] = {}

    def app_of(way: Way) -> Flask:
        # Addresses are equal however they are written.
        key = (way.public_url, getattr(way.public_url, "written", None), way.trust_proxy)
        if key not in apps:
            folder = tmp_path_factory.mktemp("data")
            (folder / "patchbay.db").write_bytes(migrated_file())
            settings = Settings(
                api_key="key",
                api_secret="secret" * 8,
                database_url=f"sqlite:///{folder}/patchbay.db",
                data_dir=folder,
                public_url=way.public_url,
                trust_proxy=way.trust_proxy,
            )
            apps[key] = with_connectors(create_app(settings, FakeClock()))
        return apps[key]

    yield app_of
    for app in apps.values():
        services_of(app).close()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_signature_is_checked_against_the_public_url(
    way: Way, whole_app: Callable[[Way], Flask], clock: FakeClock
) -> None:
    client = whole_app(way).test_client()
    found = {name: way.send(client, name, clock).status_code for name in CREDENTIALS}
    status = 200 if way.good else 403
    # Telnyx does not sign the URL.
    assert found == {"twilio": status, "plivo": status, "telnyx": 200}


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return with_connectors(build(sqlite_database, clock, public_url=HTTPS))


@pytest.fixture
def provider_client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("provider", CREDENTIALS)
def test_refused_signature_is_an_empty_403_and_logs_the_url(
    provider: str, provider_client: FlaskClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_of(provider)
    good = sign(provider, HTTPS + path, clock)
    for headers, form in (
        ({}, FIELDS),
        ({**good, next(iter(good)): "AAAA"}, FIELDS),
        (good, [*FIELDS, ("Digits", "1")]),
    ):
        caplog.clear()
        answer = provider_client.post(
            f"{path}?From=%2B14155550100", data=urlencode(form), content_type=FORM, headers=headers
        )
        assert (answer.status_code, answer.data) == (403, b"")
        assert "Content-Type" not in answer.headers
        [line] = [r for r in caplog.records if r.name == "service.web.errors"]
        assert line.levelname == "WARNING"
        shown = f"Checked for cn_{provider}: POST {HTTPS}/v2/hooks/{provider}/whk_***?From"
        assert line.getMessage().endswith(shown)
        assert KEY not in caplog.text
        assert "4155550100" not in caplog.text
        assert TOKEN not in caplog.text


@pytest.mark.parametrize("seconds", [301, -301])
def test_a_stale_telnyx_signature_is_refused(
    seconds: int, provider_client: FlaskClient, clock: FakeClock
) -> None:
    way = Way(sees=HTTPS)
    stale = FakeClock()
    stale.advance(seconds)
    assert way.send(provider_client, "telnyx", stale).status_code == 403
    assert way.send(provider_client, "telnyx", clock).status_code == 200


@pytest.mark.parametrize("step", [3_600, -3_600])
def test_signatures_use_the_wall_clock_and_calls_the_steady_one(
    app: Flask, provider_client: FlaskClient, clock: FakeClock, step: int
) -> None:
    way = WAYS["the public URL"]
    assert way.send(provider_client, "telnyx", clock).status_code == 200
    services = services_of(app)
    before = services.clock.now()
    clock.step(step)
    assert way.send(provider_client, "telnyx", clock).status_code == 200
    assert services.clock.now() == before
    assert services.stores.calls.live() == 1


def test_a_call_of_another_twilio_account_is_refused(
    provider_client: FlaskClient, clock: FakeClock
) -> None:
    other = [("AccountSid", "AC" + "2" * 32), *FIELDS[1:]]
    assert Way(sees=HTTPS).send(provider_client, "twilio", clock, other).status_code == 403


@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_signed_get_is_accepted(
    provider: str, provider_client: FlaskClient, clock: FakeClock
) -> None:
    query = urlencode(FIELDS[:-2])
    url = f"{path_of(provider)}?{query}"
    headers = sign(provider, HTTPS + url, clock, (), "GET")
    assert provider_client.get(url, headers=headers).status_code == 200
    assert provider_client.get(url.replace("1415", "1416"), headers=headers).status_code == 403


def test_get_from_telnyx_is_refused(
    provider_client: FlaskClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{path_of('telnyx')}?{urlencode(FIELDS)}"
    headers = sign("telnyx", HTTPS + url, clock, ())
    assert provider_client.get(url, headers=headers).status_code == 403
    assert "which Telnyx does not sign: use POST" in caplog.text


def test_plivo_may_post_json(provider_client: FlaskClient, clock: FakeClock) -> None:
    document = {"CallUUID": "u-1", "From": "14155550100", "To": "14155550199", "Duration": 7}
    fields = [(name, str(value)) for name, value in document.items()]
    headers = sign("plivo", HTTPS + path_of("plivo"), clock, fields)
    path = path_of("plivo")
    assert provider_client.post(path, json=document, headers=headers).status_code == 200
    other = {**document, "CallUUID": "u-2"}
    assert provider_client.post(path, json=other, headers=headers).status_code == 403


@pytest.mark.parametrize("body", ["[1]", "{", "null", '"x"', ""])
def test_json_other_than_an_object_has_no_fields(
    body: str, provider_client: FlaskClient, clock: FakeClock
) -> None:
    headers = sign("plivo", HTTPS + path_of("plivo"), clock, ())
    answer = provider_client.post(
        path_of("plivo"), data=body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 400
    assert json.loads(answer.data)["message"] == "CallUUID is missing."


def test_signed_request_with_an_unknown_key_is_404(
    provider_client: FlaskClient, clock: FakeClock
) -> None:
    path = "/v2/hooks/twilio/whk_none"
    headers = sign("twilio", HTTPS + path, clock)
    answer = provider_client.post(path, data=urlencode(FIELDS), content_type=FORM, headers=headers)
    assert answer.status_code == 404


@pytest.fixture
def locked(sqlite_database: Database) -> Connector:
    connector = a_connector(credentials={"authToken": (TOKEN,)})
    Connectors(sqlite_database, "another").add(connector)
    return connector


def test_connector_with_an_unreadable_secret_refuses_all(
    provider_client: FlaskClient,
    clock: FakeClock,
    locked: Connector,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = f"/v2/hooks/twilio/{locked.webhook_key}"
    for headers in ({}, sign("twilio", HTTPS + path, clock)):
        caplog.clear()
        answer = provider_client.post(
            path, data=urlencode(FIELDS), content_type=FORM, headers=headers
        )
        assert (answer.status_code, answer.data) == (403, b"")
        [line] = [r for r in caplog.records if r.name == "service.web.errors"]
        assert line.levelname == "ERROR"
        assert f"The credentials of {locked.id} cannot be read" in line.getMessage()


def test_a_caller_hears_busy_when_the_check_itself_fails(
    own_sqlite: Database, clock: FakeClock
) -> None:
    client = with_connectors(build(own_sqlite, clock, public_url=HTTPS)).test_client()
    assert Way(sees=HTTPS).send(client, "twilio", clock).status_code == 200
    with own_sqlite.write() as connection:
        connection.exec_driver_sql("ALTER TABLE connectors RENAME TO elsewhere")
    answer = Way(sees=HTTPS).send(client, "twilio", clock)
    assert answer.status_code == 200
    assert b'<Reject reason="busy"' in answer.data


@dataclass(frozen=True)
class Captured:
    """A captured request that is replayed unchanged."""

    path: str
    method: str
    fields: signers.Pairs
    headers: dict[str, str]

    @classmethod
    def of(
        cls, provider: str, clock: FakeClock, method: str, what: str = "", **changes: str
    ) -> Captured:
        given = dict(FIELDS) | {"Twice": ""} | changes
        fields = [(name, value) for name, value in given.items() if value]
        path = path_of(provider) + what
        if method == "GET":
            path = f"{path}?{urlencode(fields)}"
            return cls(path, method, (), sign(provider, HTTPS + path, clock, (), "GET"))
        return cls(path, method, fields, sign(provider, HTTPS + path, clock, fields))

    def send(self, client: FlaskClient) -> TestResponse:
        return client.open(
            self.path,
            method=self.method,
            data=urlencode(self.fields) if self.fields else None,
            content_type=FORM if self.fields else None,
            headers=self.headers,
        )


def calls_of(app: Flask) -> list[Call]:
    calls = services_of(app).stores.calls
    return [calls.get(each.id) for each in calls.page().items]


def offered(provider: str, response: TestResponse) -> str:
    """The reference in the markup."""
    ref = re.search(rf"/{provider}/([A-Za-z0-9]{{32}})", response.text)
    assert ref is not None
    return ref[1]


def opens_socket(app: Flask, provider: str, ref: str, headers: dict[str, str]) -> bool:
    hook = Webhook(url=f"wss://voice.example.com/{provider}/{ref}", method="GET", headers=headers)
    try:
        services_of(app).signatures.check_upgrade(provider, ref, hook)
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_replayed_webhook_during_its_call_has_no_effect(
    provider: str, method: str, app: Flask, provider_client: FlaskClient, clock: FakeClock
) -> None:
    captured = Captured.of(provider, clock, method)
    ref = offered(provider, captured.send(provider_client))
    calls = services_of(app).stores.calls
    leg = calls.claim(digest(ref), provider, "leg", clock.now())
    assert calls.answered(leg.id, "leg", "s1", clock.now()) is not None
    for _ in range(8):
        clock.advance(1)
        again = captured.send(provider_client)
        assert again.status_code == 200
        # The signed URL is not the one of the new reference.
        assert not opens_socket(app, provider, offered(provider, again), captured.headers)
    [call] = calls_of(app)
    assert (call.status, call.leg_id, call.detached_at) == (CallStatus.ANSWERED, "leg", None)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_replayed_webhook_after_its_call_has_no_effect(
    provider: str, method: str, app: Flask, provider_client: FlaskClient, clock: FakeClock
) -> None:
    captured = Captured.of(provider, clock, method)
    over = Captured.of(provider, clock, method, "/status", CallStatus="completed")
    captured.send(provider_client)
    assert over.send(provider_client).status_code == 204
    before = calls_of(app)
    assert [call.status.is_live for call in before] == [False]
    for seconds in (1, 86_400, 366 * 86_400):
        clock.advance(seconds)
        assert "<Stream" not in captured.send(provider_client).text
        assert over.send(provider_client).status_code == 204
    assert calls_of(app) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_replayed_callback_does_not_change_another_call(
    provider: str, method: str, app: Flask, provider_client: FlaskClient, clock: FakeClock
) -> None:
    over = Captured.of(provider, clock, method, "/status", CallStatus="completed")
    Captured.of(provider, clock, method).send(provider_client)
    over.send(provider_client)
    ids = {"CallSid": "CA2", "CallUUID": "u-2"}
    Captured.of(provider, clock, method, **ids).send(provider_client)
    over.send(provider_client)
    live, ended = calls_of(app)
    assert (live.provider_call_id, live.status) == (
        "CA2" if provider == "twilio" else "u-2",
        CallStatus.INCOMING,
    )
    assert not ended.status.is_live


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("provider", ["twilio", "plivo"])
def test_replayed_webhook_of_a_deleted_call_creates_a_call_without_a_socket(
    provider: str,
    method: str,
    app: Flask,
    provider_client: FlaskClient,
    clock: FakeClock,
    sqlite_database: Database,
) -> None:
    captured = Captured.of(provider, clock, method)
    captured.send(provider_client)
    Captured.of(provider, clock, method, "/status", CallStatus="completed").send(provider_client)
    with sqlite_database.write() as connection:
        for table in ("refs", "steps", "deliveries", "calls"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    again = captured.send(provider_client)
    assert not opens_socket(app, provider, offered(provider, again), captured.headers)
    clock.advance(REF_SECONDS + 1)
    services_of(app).deadlines.sweep()
    for _ in range(3):
        assert "<Stream" not in captured.send(provider_client).text
    [call] = calls_of(app)
    assert (call.status, call.answered_at) == (CallStatus.ABANDONED, None)
