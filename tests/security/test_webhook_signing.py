"""Signatures of webhooks, verified with Node and ``cryptography``."""

from __future__ import annotations

from base64 import b64decode

import pytest
from cryptography.exceptions import InvalidSignature

from service.security.canonical_json import stringify
from service.security.webhook_signing import CHECK_SECONDS, Signer
from tests.support.clocks import FakeClock
from tests.support.keyrings import Keyring, a_pair, verify
from tests.support.node_signatures import verified
from tests.support.races import at_once

SIGNATURE, KEY = "videosdk-signature", "x-patchbay-key"

# Both samples that VideoSDK documents: over the raw body, and over a body parsed by a framework.
EVENT = {
    "webhookType": "call-hangup",
    "data": {
        "from": "+14155559876",
        "metadata": {"name": "Zürich ☎ 👋\u2028", "10": 1.0, "2": 1e21, "x": [0.1, -0.0, "\x1b"]},
        "sessionId": None,
    },
}


@pytest.fixture
def signer(clock: FakeClock) -> Signer:
    return Signer(Keyring(a_pair()), clock)


def test_node_accepts_the_signature_of_the_raw_and_the_reprinted_body(signer: Signer) -> None:
    body = stringify(EVENT)
    headers = signer.headers(body.encode())
    assert verified(a_pair().public_key, [(headers[SIGNATURE], body)]) == [[True, True]]


def test_node_refuses_the_signature_for_another_body_or_key(signer: Signer) -> None:
    body = stringify(EVENT)
    headers = signer.headers(body.encode())
    changed = body.replace("9876", "9877")
    assert verified(a_pair().public_key, [(headers[SIGNATURE], changed)]) == [[False, False]]
    assert verified(a_pair(1).public_key, [(headers[SIGNATURE], body)]) == [[False, False]]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00", b"x" * 100_000])
def test_any_bytes_can_be_signed_and_verified(signer: Signer, body: bytes) -> None:
    headers = signer.headers(body)
    assert set(headers) == {SIGNATURE, KEY}
    assert headers[KEY] == a_pair().id
    signature = b64decode(headers[SIGNATURE], validate=True)
    verify(a_pair().public_key, signature, body)
    with pytest.raises(InvalidSignature):
        verify(a_pair().public_key, signature, body + b" ")


def test_new_key_is_noticed_within_seconds(clock: FakeClock) -> None:
    keys = Keyring(a_pair())
    signer = Signer(keys, clock)
    for _ in range(5):
        signer.headers(b"{}")
    assert keys.asked == 1
    keys.pair = a_pair(1)
    clock.advance(CHECK_SECONDS - 0.1)
    assert signer.headers(b"{}")[KEY] == a_pair().id
    clock.advance(0.1)
    headers = signer.headers(b"{}")
    assert headers[KEY] == a_pair(1).id
    verify(a_pair(1).public_key, b64decode(headers[SIGNATURE]), b"{}")
    assert keys.asked == 2


def test_threads_may_sign_concurrently(clock: FakeClock) -> None:
    keys = Keyring(a_pair())
    signer = Signer(keys, clock)
    for number, headers in enumerate(at_once(8, lambda index: signer.headers(b"%d" % index))):
        assert isinstance(headers, dict)
        verify(a_pair().public_key, b64decode(headers[SIGNATURE]), b"%d" % number)
    assert keys.asked == 1
