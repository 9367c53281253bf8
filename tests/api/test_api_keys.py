"""The public key endpoint: what receivers of webhooks verify with, and nobody needs a token for."""

from __future__ import annotations

from base64 import b64decode

from clocks import FakeClock
from flask import Flask
from flask.testing import FlaskClient
from keyrings import verify

from service.events.signing import Signer

ADDRESS = "/v2/public/rsa-public-key"


def test_anybody_may_read_the_key_that_verifies(app: Flask, clock: FakeClock) -> None:
    response = app.test_client().get(ADDRESS)
    assert response.status_code == 200
    key = response.json["publicKey"]
    headers = Signer(app.extensions["signing_keys"], clock).headers(b"{}")
    assert response.json == {
        "publicKey": key,
        "keys": [{"id": headers["x-patchbay-key"], "publicKey": key, "validUntil": None}],
    }
    verify(key, b64decode(headers["videosdk-signature"]), b"{}")


def test_a_token_does_no_harm_whatever_it_is(app: Flask, client: FlaskClient) -> None:
    expected = client.get(ADDRESS).json
    for token in ("x", "Bearer x.y.z"):
        response = app.test_client().get(ADDRESS, headers={"Authorization": token})
        assert (response.status_code, response.json) == (200, expected)


def test_a_key_that_was_replaced_can_be_read_for_a_day(
    app_on_each_database: Flask, clock: FakeClock
) -> None:
    client, keys = (
        app_on_each_database.test_client(),
        app_on_each_database.extensions["signing_keys"],
    )
    before = client.get(ADDRESS).json
    pair = keys.rotate()
    assert client.get(ADDRESS).json == {
        "publicKey": pair.public_key,
        "keys": [
            {"id": pair.id, "publicKey": pair.public_key, "validUntil": None},
            {**before["keys"][0], "validUntil": "2026-06-22T14:30:45.123Z"},
        ],
    }
    clock.advance(86_400)
    assert [key["id"] for key in client.get(ADDRESS).json["keys"]] == [pair.id]
