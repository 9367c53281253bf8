"""The simulator's signatures, checked by the providers' own SDKs."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st
from plivo.utils import validate_v3_signature
from twilio.request_validator import RequestValidator

from service.clock import SystemClock
from service.errors import Invalid
from service.simulator.providers.signing import (
    SIGNERS,
    PlivoSigner,
    TelnyxSigner,
    TwilioSigner,
    key_and_account,
)
from tests.support import signers
from tests.support.clocks import FakeClock
from tests.support.telnyx_sdk import verify_webhook_signature

TOKEN = "0123456789abcdef" * 2
URL = "https://voice.example.com/v2/hooks/x/whk_KEY"

fields = st.dictionaries(
    st.text("ABCabc", min_size=1, max_size=5),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    max_size=5,
)
QUERY = "?b=x%20y&a=2&a=1&blank="
FIELDS = {"b": "é☎", "a": "", "B": "1"}
urls = st.sampled_from([URL, URL + "?tenant=7", URL + QUERY])


def test_every_provider_has_a_signer() -> None:
    assert set(SIGNERS) == {"twilio", "plivo", "telnyx"}


@pytest.mark.parametrize(
    ("provider", "credentials", "found"),
    [
        ("twilio", {"authToken": (TOKEN, "older"), "accountSid": ("AC1",)}, (TOKEN, "AC1")),
        ("plivo", {"authToken": (TOKEN,), "authId": ("MA1",)}, (TOKEN, "MA1")),
        ("telnyx", {"publicKey": ("AAAA",), "apiKey": ("KEY",)}, (None, None)),
        ("twilio", {}, (None, None)),
    ],
)
def test_signing_key_is_found_in_credentials(provider, credentials, found) -> None:
    assert key_and_account(provider, credentials) == found


@given(urls, fields)
@example(URL + QUERY, FIELDS)
def test_twilio_sdk_accepts_its_signature(url: str, form: dict[str, str]) -> None:
    signed = TwilioSigner(TOKEN, FakeClock()).request("POST", url, form, b"")
    assert RequestValidator(TOKEN).validate(url, form, signed["X-Twilio-Signature"])


@given(urls, fields, st.sampled_from(["GET", "POST"]))
@example(URL + QUERY, FIELDS, "POST")
@example(URL, FIELDS, "POST")
def test_plivo_sdk_accepts_its_signature(url: str, form: dict[str, str], method: str) -> None:
    form = {} if method == "GET" else form
    signed = PlivoSigner(TOKEN, FakeClock()).request(method, url, form, b"")
    nonce = signed["X-Plivo-Signature-V3-Nonce"]
    assert len(nonce) == 20
    signature = signed["X-Plivo-Signature-V3"]
    assert validate_v3_signature(method, url, nonce, TOKEN, signature, form)


@given(fields)
def test_telnyx_sdk_accepts_its_signature(form: dict[str, str]) -> None:
    body = urlencode(form).encode()
    key = b64encode(bytes(range(32))).decode()
    signed = TelnyxSigner(key, SystemClock()).request("POST", URL, form, body)
    verify_webhook_signature(body, signed, signers.public_key(signers.TELNYX_KEY))


def test_upgrades_are_signed_as_each_provider_does() -> None:
    url = "wss://voice.example.com/x/REF"
    signed = TwilioSigner(TOKEN, FakeClock()).upgrade(url)
    assert RequestValidator(TOKEN).validate(url, {}, signed["X-Twilio-Signature"])
    signed = PlivoSigner(TOKEN, FakeClock()).upgrade(url)
    nonce, signature = signed["X-Plivo-Signature-V3-Nonce"], signed["X-Plivo-Signature-V3"]
    assert validate_v3_signature(
        "GET", "http://voice.example.com/x/REF", nonce, TOKEN, signature, {}
    )
    key = b64encode(bytes(32)).decode()
    assert TelnyxSigner(key, FakeClock()).upgrade(url) == {}


def test_telnyx_key_may_be_pem() -> None:
    pem = signers.TELNYX_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = TelnyxSigner(pem.decode(), SystemClock()).request("POST", URL, {}, b"x")
    verify_webhook_signature(b"x", signed, signers.public_key(signers.TELNYX_KEY))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "KEY0123",
        b64encode(bytes(31)).decode(),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        signers.TELNYX_KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        ).decode(),
        generate_private_key(SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
    ],
    ids=["empty", "api key", "short", "no key", "password", "another kind"],
)
def test_invalid_private_key_is_one_sentence(key: str) -> None:
    with pytest.raises(Invalid, match=r"^The signing key must be an Ed25519 private key"):
        TelnyxSigner(key, FakeClock())
