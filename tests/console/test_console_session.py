"""Console sessions: sign-in, and the permissions of the cookie."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.domain import ids
from service.security import console_sessions
from service.security.console_sessions import COOKIE, LINK_SECONDS, SIGNED_IN_SECONDS, seconds_until
from service.security.failure_limit import BURST
from service.storage.database import Database
from service.storage.sign_in_links import SignInLinks
from tests.support.apps import API_KEY, API_SECRET, build
from tests.support.clocks import FakeClock

SESSION = "/console/api/session"
KEYS = {"apiKey": API_KEY, "apiSecret": API_SECRET}


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return build(sqlite_database, clock)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def add_link(sqlite_database: Database, clock: FakeClock) -> Iterator[Callable[[], str]]:
    """Return a function that creates a sign-in link and returns its secret."""

    def add() -> str:
        secret = console_sessions.new_link_secret()
        expires_at = clock.now() + LINK_SECONDS * 1000
        SignInLinks(sqlite_database).add(ids.digest(secret), clock.now(), expires_at)
        return secret

    return add


def enter(client: FlaskClient, **credentials: str) -> TestResponse:
    return client.post(SESSION, json=credentials or KEYS)


def proof(client: FlaskClient) -> dict[str, str]:
    return {"X-Console-Proof": client.get(SESSION).json["data"]["proof"]}


def test_api_key_and_secret_sign_in(client: FlaskClient) -> None:
    answer = enter(client)
    assert answer.status_code == 200
    assert f"Max-Age={SIGNED_IN_SECONDS};" in answer.headers["Set-Cookie"]
    assert client.get("/v2/connectors").status_code == 200


def test_cookie_is_for_this_host_and_hidden_from_scripts(client: FlaskClient) -> None:
    cookie = enter(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(("origin", "is_secure"), [("https", True), ("http", False)])
def test_cookie_is_secure_if_the_request_was(
    client: FlaskClient, origin: str, is_secure: bool
) -> None:
    answer = client.post(SESSION, json=KEYS, base_url=f"{origin}://elsewhere.example.com")
    assert ("Secure" in answer.headers["Set-Cookie"]) == is_secure


def test_cookie_is_secure_at_the_public_origin_behind_any_proxy(
    client: FlaskClient,
) -> None:
    for host in ("voice.example.com", "Voice.Example.com:443", "voice.example.com."):
        answer = client.post(SESSION, json=KEYS, headers={"Host": host})
        assert "Secure" in answer.headers["Set-Cookie"], host


def test_cookie_is_secure_at_a_public_origin_with_an_underscore(
    sqlite_database: Database, clock: FakeClock
) -> None:
    app = build(sqlite_database, clock, public_url="https://voice_1.example.com")
    headers = {"Host": "voice_1.example.com"}
    answer = app.test_client().post(SESSION, json=KEYS, headers=headers)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_token_signs_in(client: FlaskClient) -> None:
    assert enter(client, token=jwt.encode({"apikey": API_KEY}, API_SECRET)).status_code == 200


@pytest.mark.parametrize(
    ("seconds", "held"),
    [(60, 60), (-20, 1), (SIGNED_IN_SECONDS * 2, SIGNED_IN_SECONDS), (None, SIGNED_IN_SECONDS)],
)
def test_session_does_not_outlive_its_token(seconds: int | None, held: int) -> None:
    now = 1_700_000_000_000
    assert seconds_until(None if seconds is None else now + seconds * 1000, now) == held


def test_cookie_expires_with_its_token(client: FlaskClient, clock: FakeClock) -> None:
    # Tokens are checked against the system clock, which a test cannot set.
    clock.step(time.time() - clock.now() / 1000)
    token = jwt.encode({"apikey": API_KEY, "exp": clock.now() // 1000 + 3600}, API_SECRET)
    answer = enter(client, token=token)
    assert re.search("Max-Age=(3599|3600);", answer.headers["Set-Cookie"])
    assert client.get(SESSION).status_code == 200
    clock.advance(3601)
    assert client.get(SESSION).status_code == 401


def test_token_for_one_room_does_not_sign_in(client: FlaskClient) -> None:
    tied = jwt.encode({"apikey": API_KEY, "roomId": "abcd-efgh-ijkl"}, API_SECRET)
    answer = enter(client, token=tied)
    assert answer.status_code == 403
    assert "tied" in answer.json["message"]


def test_link_signs_in_once(client: FlaskClient, add_link: Callable[[], str]) -> None:
    secret = add_link()
    assert enter(client, link=secret).status_code == 200
    again = enter(client, link=secret)
    assert again.status_code == 401
    assert again.json["message"] == "This sign-in link was used already, or has expired."


def test_link_expires_after_15_minutes(
    client: FlaskClient, clock: FakeClock, add_link: Callable[[], str]
) -> None:
    secret = add_link()
    clock.advance(LINK_SECONDS)
    assert enter(client, link=secret).status_code == 401


@pytest.mark.parametrize(
    "credentials",
    [
        {"apiKey": API_KEY, "apiSecret": "wrong"},
        {"apiKey": "wrong", "apiSecret": API_SECRET},
        {"token": "wrong"},
        {"link": "wrong"},
    ],
)
def test_wrong_credentials_do_not_sign_in(client: FlaskClient, credentials: dict[str, str]) -> None:
    answer = enter(client, **credentials)
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("credentials", [{"apiKey": "k"}, {"token": "t", "link": "l"}, {"x": "y"}])
def test_credentials_must_be_of_exactly_one_kind(
    client: FlaskClient, credentials: dict[str, str]
) -> None:
    answer = enter(client, **credentials)
    assert answer.status_code == 400
    assert "must hold a token, or apiKey and apiSecret, or a link" in answer.json["message"]


def test_failed_sign_ins_are_throttled(client: FlaskClient) -> None:
    for _ in range(BURST):
        assert enter(client, apiKey=API_KEY, apiSecret="wrong").status_code == 401
    assert enter(client, apiKey=API_KEY, apiSecret="wrong").status_code == 429
    assert enter(client).status_code == 200


def test_session_reads_and_its_proof_is_needed_to_write(client: FlaskClient) -> None:
    enter(client)
    body = {"provider": "twilio"}
    refused = client.post("/v2/connectors", json=body)
    assert refused.status_code == 403
    assert refused.json["message"] == "X-Console-Proof header is missing or wrong: reload the page."
    forged = client.post("/v2/connectors", json=body, headers={"X-Console-Proof": "é"})
    assert forged.status_code == 403
    assert client.get("/v2/connectors").json["data"] == []
    made = client.post("/v2/connectors", json=body, headers=proof(client))
    assert made.status_code == 201


def test_proof_is_valid_for_its_own_session_only(app: Flask) -> None:
    one, other = app.test_client(), app.test_client()
    enter(one)
    enter(other)
    answer = other.post("/v2/connectors", json={"provider": "twilio"}, headers=proof(one))
    assert answer.status_code == 403


def test_token_takes_precedence_over_the_cookie(client: FlaskClient) -> None:
    enter(client)
    assert client.get("/v2/connectors", headers={"Authorization": "wrong"}).status_code == 401


def test_session_ends_after_twelve_hours(client: FlaskClient, clock: FakeClock) -> None:
    enter(client)
    clock.advance(SIGNED_IN_SECONDS)
    assert client.get("/v2/connectors").status_code == 401
    assert client.get(SESSION).status_code == 401


def test_signing_out_deletes_the_cookie(client: FlaskClient) -> None:
    enter(client)
    assert client.delete(SESSION, headers=proof(client)).status_code == 200
    assert client.get_cookie(COOKIE) is None


def test_cookie_and_token_are_not_interchangeable(client: FlaskClient, clock: FakeClock) -> None:
    enter(client)
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    client.delete_cookie(COOKIE)
    assert client.get("/v2/connectors", headers={"Authorization": cookie.value}).status_code == 401
    client.set_cookie(COOKIE, jwt.encode({"apikey": API_KEY}, API_SECRET))
    assert client.get("/v2/connectors").status_code == 401


def test_other_origins_cannot_read_the_session(client: FlaskClient) -> None:
    enter(client)
    answer = client.get(SESSION, headers={"Origin": "http://127.0.0.1:3000"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = client.options(
        "/v2/connectors", headers={"Access-Control-Request-Headers": "x-console-proof"}
    )
    assert "x-console-proof" not in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in preflight.headers


def test_session_survives_a_change_of_the_secret(
    client: FlaskClient, sqlite_database: Database, clock: FakeClock
) -> None:
    cookie = enter(client).headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    later = {"api_secret": "new" * 16}
    during = build(sqlite_database, clock, api_secret_previous=API_SECRET, **later).test_client()
    during.set_cookie(COOKIE, cookie)
    # The page keeps its proof from before the change until it is reloaded.
    for page in (client, during):
        assert during.post("/v2/rooms", json={}, headers=proof(page)).status_code == 200
    after = build(sqlite_database, clock, **later).test_client()
    after.set_cookie(COOKIE, cookie)
    assert after.get(SESSION).status_code == 401
