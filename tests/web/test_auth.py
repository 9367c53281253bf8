"""Authentication, the reach of tokens, and no address that is open by omission."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask.testing import FlaskClient

API_KEY = "test-key"
API_SECRET = "test-secret-as-long-as-hs512-recommends-" + "x" * 24
NOT_VALID = {"message": "Token is invalid or expired", "statusCode": 401}


def get(app: Flask, header: str | None, path: str = "/v2/connectors") -> Any:
    headers = {} if header is None else {"Authorization": header}
    return app.test_client().get(path, headers=headers)


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Bearer {}",
        "bearer {}",
        "BEARER {}",
        "  {}  ",
        "Bearer   {} ",
        " bearer {}",
        "Bearer\t{}",
    ],
)
def test_the_raw_token_and_bearer_are_both_accepted(
    app: Flask, token: Callable[..., str], form: str
) -> None:
    assert get(app, form.format(token())).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"version": 2, "permissions": ["allow_mod"], "roles": ["crawler"]},
        {"roles": ["rtc", "crawler"]},
        {"roles": []},
        {"roles": None},
        {"iat": 1, "exp": 2**31, "nbf": 1, "jti": "x", "more": {"a": 1}},
    ],
)
def test_tokens_for_the_api_are_accepted(
    app: Flask, token: Callable[..., str], claims: dict[str, Any]
) -> None:
    assert get(app, token(**claims)).status_code == 200


@pytest.mark.parametrize("header", [None, "", "   ", "Bearer", "Bearer  "])
def test_a_missing_token_is_401_with_a_challenge(app: Flask, header: str | None) -> None:
    response = get(app, header)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json["statusCode"] == 401
    assert isinstance(response.json["message"], str)


def test_invalid_tokens_are_401(app: Flask, token: Callable[..., str]) -> None:
    good = token()
    head, payload, signature = good.split(".")
    unsigned = segment(b'{"alg":"none"}')
    shouted = segment(b'{"alg":"NONE"}')
    changed = segment(b'{"apikey":"test-key","x":1}')
    deep = segment(b'{"alg":' + b"[" * 3_000)
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"apikey": API_KEY}
    bad = {
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "unsigned, signature kept": f"{unsigned}.{payload}.{signature}",
        "unsigned in capitals": f"{shouted}.{payload}.",
        "RS256": jwt.encode(claims, rsa_key, algorithm="RS256"),
        "HS512 with the right secret": jwt.encode(claims, API_SECRET, algorithm="HS512"),
        "wrong secret": jwt.encode(claims, API_SECRET[::-1], algorithm="HS256"),
        "changed payload": f"{head}.{changed}.{signature}",
        "no signature": f"{head}.{payload}.",
        "cut off": good[:-3],
        "two tokens": f"{good} {good}",
        "another scheme": f"Basic {good}",
        "no token at all": "nonsense",
        "dots": "..",
        "not ASCII": "é.é.é",
        "deeply nested header": f"{deep}.{payload}.{signature}",
        "expired": token(exp=1),
        "not yet valid": token(nbf=2**33),
        "exp is a word": token(exp="never"),
        "exp is a list": token(exp=[2**33]),
        "exp is infinite": token(exp=float("inf")),
        "other API key": token(apikey="other"),
        "no API key": token(apikey=None),
        "API key is a number": token(apikey=1),
        "API key is a list": token(apikey=[API_KEY]),
        "roles hold a number": token(roles=[1]),
        "roles are an object": token(roles={"crawler": True}),
        "room is a number": token(roomId=1),
        "room is a list": token(roomId=["r"]),
        "room has blanks": token(roomId="a b"),
        "participant is an object": token(participantId={"id": "p"}),
        "participant holds a NUL": token(participantId="\x00"),
        "participant is too long": token(participantId="p" * 129),
    }
    answers = {name: get(app, header) for name, header in bad.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(bad, 401)
    assert {name: answer.json for name, answer in answers.items()} == dict.fromkeys(bad, NOT_VALID)


@pytest.mark.parametrize("roles", [["rtc"], "rtc", ["viewer"]])
def test_a_token_for_joining_rooms_only_is_403(
    app: Flask, token: Callable[..., str], roles: object
) -> None:
    response = get(app, token(roles=roles))
    assert response.status_code == 403
    assert response.json["statusCode"] == 403


def test_every_address_without_its_own_secret_requires_a_token(app: Flask) -> None:
    client = app.test_client()
    open_on_purpose = {"health", "hooks", "keys", "nodes", "openapi", "sockets"}
    open_on_purpose |= {"console_pages", "console_session", "console_live"}
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in open_on_purpose
    ]
    assert {rule.endpoint.partition(".")[0] for rule in rules} >= {"connectors", "ingest", "calls"}
    for number, rule in enumerate(rules):
        path = re.sub("<[^>]+>", "x1", rule.rule)
        # There are more addresses than one client may fail at.
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        for method in rule.methods or ():
            if method != "OPTIONS":
                assert client.open(path, method=method).status_code == 401, (method, path)


def test_invalid_body_without_a_token_is_401(app: Flask) -> None:
    response = app.test_client().post("/v2/connectors", data=b"{", content_type="text/plain")
    assert response.status_code == 401


@pytest.mark.parametrize("claims", [{"roomId": "r1"}, {"participantId": "p1"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/connectors"),
        ("GET", "/v2/connectors"),
        ("GET", "/v2/connectors/cn_1"),
        ("PATCH", "/v2/connectors/cn_1"),
        ("POST", "/v2/connectors/cn_1/rotate-key"),
        ("DELETE", "/v2/connectors/cn_1"),
        ("POST", "/v2/sip/routing-rule"),
        ("GET", "/v2/sip/routing-rule"),
        ("GET", "/v2/sip/routing-rule/rr_1"),
        ("PATCH", "/v2/sip/routing-rule/rr_1"),
        ("DELETE", "/v2/sip/routing-rule/rr_1"),
        ("POST", "/v2/sip/routing-rules"),
        ("PUT", "/v2/sip/routing-rules/rr_1"),
        ("POST", "/v2/sip/webhooks"),
        ("GET", "/v2/sip/webhooks"),
        ("GET", "/v2/sip/webhooks/wh_1"),
        ("PUT", "/v2/sip/webhooks/wh_1"),
        ("PATCH", "/v2/sip/webhooks/wh_1"),
        ("DELETE", "/v2/sip/webhooks/wh_1"),
        ("GET", "/v2/sip/webhooks/wh_1/deliveries"),
        ("POST", "/v2/sip/webhooks/wh_1/deliveries/d1/redeliver"),
    ],
)
def test_tied_tokens_do_not_reach_the_whole_account(
    app: Flask,
    authorised: Callable[..., FlaskClient],
    claims: dict[str, str],
    method: str,
    path: str,
) -> None:
    response = authorised(app, **claims).open(path, method=method, json={"provider": "twilio"})
    assert response.status_code == 403
    assert response.json == {
        "message": "This token is tied to one room or participant; this address needs a wider one.",
        "statusCode": 403,
    }
