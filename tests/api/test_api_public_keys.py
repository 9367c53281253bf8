"""The public key endpoint, which needs no token."""

from __future__ import annotations

import re
from base64 import b64decode

import pytest
import rsa
from flask import Flask
from flask.testing import FlaskClient

from service.security.webhook_signing import Signer
from service.web.services import services_of
from tests.support.clocks import FakeClock
from tests.support.keyrings import verify
from tests.support.node_signatures import verified

ADDRESS = "/v2/public/rsa-public-key"
SPKI = f"{ADDRESS}?format=spki"

PKCS1 = re.compile(
    r"\n-----BEGIN RSA PUBLIC KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END RSA PUBLIC KEY-----\n"
)


def test_public_key_needs_no_token(app: Flask, clock: FakeClock) -> None:
    response = app.test_client().get(ADDRESS)
    assert response.status_code == 200
    key = response.json["publicKey"]
    headers = Signer(services_of(app).stores.signing_keys, clock).headers(b"{}")
    assert response.json == {
        "publicKey": key,
        "keys": [{"id": headers["x-patchbay-key"], "publicKey": key, "validUntil": None}],
    }
    verify(key, b64decode(headers["videosdk-signature"]), b"{}")


def test_key_has_videosdk_s_format_or_spki(app_on_each_database: Flask, clock: FakeClock) -> None:
    client = app_on_each_database.test_client()
    signing = services_of(app_on_each_database).stores.signing_keys
    signature = Signer(signing, clock).headers(b"{}")["videosdk-signature"]
    usual, spki = client.get(ADDRESS).json["publicKey"], client.get(SPKI).json["publicKey"]
    assert PKCS1.fullmatch(usual)
    assert spki.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert client.get(f"{ADDRESS}?format=pkcs1").json["publicKey"] == usual
    for key in (usual, spki, usual.strip()):
        verify(key, b64decode(signature), b"{}")
        assert verified(key, [(signature, "{}")]) == [[True, True]]
    # As the documented Python sample does, whose library reads nothing else.
    key = rsa.PublicKey.load_pkcs1(usual.encode())
    assert rsa.verify(b"{}", b64decode(signature), key) == "SHA-256"

    signing.rotate()
    for address, form in ((ADDRESS, "RSA PUBLIC KEY"), (SPKI, "PUBLIC KEY")):
        keys = client.get(address).json["keys"]
        assert [f"-----BEGIN {form}-----" in key["publicKey"] for key in keys] == [True, True]


@pytest.mark.parametrize("form", ["", "SPKI", "der", "pkcs8"])
def test_an_unknown_format_is_refused(app: Flask, form: str) -> None:
    response = app.test_client().get(ADDRESS, query_string={"format": form})
    assert (response.status_code, response.json["message"]) == (
        400,
        "format must be one of pkcs1, spki.",
    )


def test_any_token_is_ignored(app: Flask, client: FlaskClient) -> None:
    expected = client.get(ADDRESS).json
    for token in ("x", "Bearer x.y.z"):
        response = app.test_client().get(ADDRESS, headers={"Authorization": token})
        assert (response.status_code, response.json) == (200, expected)


def test_replaced_key_can_be_read_for_a_day(app_on_each_database: Flask, clock: FakeClock) -> None:
    client, keys = (
        app_on_each_database.test_client(),
        services_of(app_on_each_database).stores.signing_keys,
    )
    before = client.get(SPKI).json
    pair = keys.rotate()
    assert client.get(SPKI).json == {
        "publicKey": pair.public_key,
        "keys": [
            {"id": pair.id, "publicKey": pair.public_key, "validUntil": None},
            {**before["keys"][0], "validUntil": "2026-06-22T14:30:45.123Z"},
        ],
    }
    clock.advance(86_400)
    assert [key["id"] for key in client.get(ADDRESS).json["keys"]] == [pair.id]
