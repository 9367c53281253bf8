"""Signature checks compared with those of the providers' SDKs on the same requests."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64encode
from dataclasses import replace
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plivo.utils import validate_signature, validate_v3_signature
from twilio.request_validator import RequestValidator

from service.errors import BadSignature
from service.providers import load
from service.providers.base.provider import Webhook
from service.providers.plivo import Plivo
from tests.support import signers
from tests.support.signers import Pairs, posted
from tests.support.telnyx_sdk import WebhookVerificationError, verify_webhook_signature

PROVIDERS = load()
TWILIO, PLIVO, TELNYX = (PROVIDERS[name] for name in ("twilio", "plivo", "telnyx"))

TOKEN = "0123456789abcdef0123456789abcdef"
TOKENS = {"authToken": (TOKEN,)}
KEYS = {"publicKey": (signers.public_key(signers.TELNYX_KEY),)}
BASE = "https://voice.example.com/v2/hooks/x/whk_KEY"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
forms = st.lists(st.tuples(texts, texts), max_size=6)
# Plivo's Python SDK reads a query as Latin-1, and its other SDKs as UTF-8.
words = st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=8)
queries = st.lists(st.tuples(words.filter(bool), words), max_size=4)
origins = st.sampled_from(
    [
        "https://voice.example.com",
        "https://voice.example.com:8443",
        "https://voice.example.com:443",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ]
)


def holds(provider: object, hook: Webhook, secrets: object, now: int = 0) -> bool:
    try:
        provider.verify(hook, secrets, now)
    except BadSignature:
        return False
    return True


def url_of(origin: str, query: Pairs) -> str:
    return f"{origin}/v2/hooks/x/whk_KEY" + (f"?{urlencode(query)}" if query else "")


@given(origins, queries, forms)
def test_twilio_signatures_agree_with_its_sdk(origin: str, query: Pairs, form: Pairs) -> None:
    url = url_of(origin, query)
    headers = signers.twilio(TOKEN, url, form)
    assert holds(TWILIO, posted(url, form, headers), TOKENS)
    if "[" not in origin:  # its SDK cannot separate it from a port
        signature = headers["X-Twilio-Signature"]
        assert RequestValidator(TOKEN).validate(url, signers.Repeated(form), signature)


@given(forms, forms)
def test_twilio_signatures_of_another_form_agree_with_its_sdk(form: Pairs, other: Pairs) -> None:
    headers = signers.twilio(TOKEN, BASE, form)
    taken = RequestValidator(TOKEN).validate(
        BASE, signers.Repeated(other), headers["X-Twilio-Signature"]
    )
    assert holds(TWILIO, posted(BASE, other, headers), TOKENS) == taken


@pytest.mark.parametrize("body", [b'{"a": 1}', b""])
def test_twilio_json_is_covered_by_its_hash(body: bytes) -> None:
    url = f"{BASE}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {**signers.twilio(TOKEN, url), "Content-Type": "application/json"}
    hook = Webhook(url=url, headers=headers, body=body, form=(("a", "1"),))
    assert holds(TWILIO, hook, TOKENS)
    assert RequestValidator(TOKEN).validate(url, body.decode(), headers["X-Twilio-Signature"])
    assert not holds(TWILIO, replace(hook, body=body + b" "), TOKENS)


def test_an_unsigned_body_is_refused() -> None:
    headers = {**signers.twilio(TOKEN, BASE), "Content-Type": "application/json"}
    assert not holds(TWILIO, Webhook(url=BASE, headers=headers, body=b"{}"), TOKENS)


@pytest.mark.parametrize("public", [BASE, BASE.replace(".com", ".com:443")])
@pytest.mark.parametrize("signed", [BASE, BASE.replace(".com", ".com:443")])
def test_twilio_may_omit_a_port_or_add_its_own(public: str, signed: str) -> None:
    headers = signers.twilio(TOKEN, signed, [("CallSid", "CA1")])
    assert holds(TWILIO, posted(public, [("CallSid", "CA1")], headers), TOKENS)


def test_twilio_may_omit_our_port_but_not_invent_one() -> None:
    odd = BASE.replace(".com", ".com:8443")
    assert holds(TWILIO, posted(odd, [], signers.twilio(TOKEN, BASE)), TOKENS)
    assert not holds(TWILIO, posted(BASE, [], signers.twilio(TOKEN, odd)), TOKENS)


@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256", "hmac_sha256"])
def test_twilio_shared_keys_include_their_algorithm(algorithm: str) -> None:
    form = [("CallSid", "CA1")]
    signature = RequestValidator(TOKEN).compute_signature(BASE, dict(form), algorithm)
    settings = f"key=webhooks_sharedkey_1, algorithm={algorithm}"
    headers = {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": settings}
    assert holds(TWILIO, posted(BASE, form, headers), TOKENS)
    other = settings.replace(algorithm, "HMAC_MD5")
    headers["X-Twilio-Webhooks-Signature-Settings"] = other
    assert not holds(TWILIO, posted(BASE, form, headers), TOKENS)


@pytest.mark.parametrize("secrets", [TOKENS, {}])
def test_another_twilio_account_than_the_connector_s_is_refused(
    secrets: dict[str, tuple[str, ...]],
) -> None:
    own, other = "AC" + "1" * 32, "AC" + "2" * 32
    secrets = {**secrets, "accountSid": (own,)}
    for account, expected in ((own, True), (other, False), (None, False)):
        form = [("CallSid", "CA1")] + ([("AccountSid", account)] if account else [])
        hook = posted(BASE, form, signers.twilio(TOKEN, BASE, form))
        assert holds(TWILIO, hook, secrets) is expected


@pytest.mark.parametrize(
    "signed",
    [
        "wss://voice.example.com/twilio/REF",
        "wss://voice.example.com/twilio/REF/",
        "wss://voice.example.com:443/twilio/REF",
        "https://voice.example.com/twilio/REF",
        "https://voice.example.com:443/twilio/REF/",
    ],
)
def test_a_twilio_upgrade_may_be_signed_in_several_spellings(signed: str) -> None:
    url = "wss://voice.example.com/twilio/REF"
    hook = Webhook(url=url, method="GET", headers=signers.twilio(TOKEN, signed))
    assert holds(TWILIO, hook, {**TOKENS, "accountSid": ("AC" + "1" * 32,)})


@given(origins, queries, forms, st.sampled_from(["GET", "POST"]))
def test_plivo_signatures_agree_with_its_sdk(
    origin: str, query: Pairs, form: Pairs, method: str
) -> None:
    form = [] if method == "GET" else form
    url = url_of(origin, query)
    headers = signers.plivo_v3(TOKEN, method, url, form)
    hook = replace(posted(url, form, headers), method=method)
    assert holds(PLIVO, hook, TOKENS)
    fields: dict[str, list[str]] = {}
    for name, value in form:
        fields.setdefault(name, []).append(value)
    if "[" not in origin and "127" not in origin:  # its SDK does not accept it as a URL
        signature = headers["X-Plivo-Signature-V3"]
        assert validate_v3_signature(method, url, signers.NONCE, TOKEN, signature, fields)


@pytest.mark.parametrize("place", ["first, {}", "{} ,last", " {} ", "{}"])
@pytest.mark.parametrize("name", ["X-Plivo-Signature-V3", "X-Plivo-Signature-Ma-V3"])
def test_one_valid_plivo_signature_is_enough(name: str, place: str) -> None:
    form = [("CallUUID", "u-1")]
    signed = signers.plivo_v3(TOKEN, "POST", BASE, form)
    nonce = {"X-Plivo-Signature-V3-Nonce": signers.NONCE}
    headers = {**nonce, name: place.format(signed["X-Plivo-Signature-V3"])}
    assert holds(PLIVO, posted(BASE, form, headers), TOKENS)
    both = {**headers, "X-Plivo-Signature-V3": "AAAA", name: headers[name]}
    assert holds(PLIVO, posted(BASE, form, both), TOKENS)


def plivo_v2(url: str) -> dict[str, str]:
    text = url.partition("?")[0] + signers.NONCE
    signature = b64encode(hmac.digest(TOKEN.encode(), text.encode(), "sha256")).decode()
    assert validate_signature(url, signers.NONCE, signature, TOKEN)
    return {"X-Plivo-Signature-V2": signature, "X-Plivo-Signature-V2-Nonce": signers.NONCE}


def test_plivo_v2_is_accepted_only_with_the_setting_and_without_v3() -> None:
    hook = posted(BASE + "?a=1", [("CallUUID", "u-1")], plivo_v2(BASE + "?a=1"))
    assert not holds(PLIVO, hook, TOKENS)
    assert holds(Plivo(accepts_v2=True), hook, TOKENS)
    v3 = {"X-Plivo-Signature-V3": "AAAA", "X-Plivo-Signature-V3-Nonce": signers.NONCE}
    both = replace(hook, headers={**hook.headers, **v3})
    assert not holds(Plivo(accepts_v2=True), both, TOKENS)


def test_a_captured_plivo_v2_signature_is_invalid_for_another_form() -> None:
    headers = plivo_v2(BASE)
    for form in ([("CallUUID", "u-1")], [("CallUUID", "u-2"), ("Event", "Hangup")]):
        assert not holds(PLIVO, posted(BASE, form, headers), TOKENS)
        ma = {name.replace("Signature", "Signature-Ma"): each for name, each in headers.items()}
        assert not holds(PLIVO, posted(BASE, form, {**headers, **ma}), TOKENS)


@pytest.mark.parametrize("scheme", ["http", "https", "wss"])
@pytest.mark.parametrize("rest", ["/plivo/REF", ":8443/plivo/REF", "/plivo/REF?ref=REF"])
def test_a_plivo_upgrade_may_be_signed_in_three_schemes(scheme: str, rest: str) -> None:
    dialled = f"{scheme}://voice.example.com{rest}"
    hook = Webhook(
        url=f"wss://voice.example.com{rest}",
        method="GET",
        headers=signers.plivo_v3(TOKEN, "GET", dialled),
    )
    assert holds(PLIVO, hook, TOKENS)


def test_the_form_of_a_plivo_get_must_be_signed() -> None:
    headers = signers.plivo_v3(TOKEN, "GET", BASE)
    hook = Webhook(url=BASE, method="GET", headers=headers)
    assert holds(PLIVO, hook, TOKENS)
    assert not holds(PLIVO, replace(hook, form=(("Event", "Hangup"),)), TOKENS)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_telnyx_signatures_agree_with_its_sdk(text: str) -> None:
    body, now = text.encode(), int(time.time())
    headers = signers.telnyx(signers.TELNYX_KEY, body, now)
    verify_webhook_signature(body, headers, KEYS["publicKey"][0])
    assert holds(TELNYX, Webhook(url=BASE, headers=headers, body=body), KEYS, now * 1000)
    with pytest.raises(WebhookVerificationError):
        verify_webhook_signature(body + b" ", headers, KEYS["publicKey"][0])
    assert not holds(TELNYX, Webhook(url=BASE, headers=headers, body=body + b" "), KEYS, now * 1000)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1735689600.0", "١٧٣٥٦٨٩٦٠٠", "9" * 400])
def test_a_telnyx_timestamp_is_whole_seconds(timestamp: str) -> None:
    headers = {**signers.telnyx(signers.TELNYX_KEY, b"", 0), "telnyx-timestamp": timestamp}
    assert not holds(TELNYX, Webhook(url=BASE, headers=headers), KEYS)


def test_telnyx_does_not_sign_the_url() -> None:
    headers = signers.telnyx(signers.TELNYX_KEY, b"", 0)
    url = f"{BASE}?CallSid={quote('v3:abc')}"
    assert not holds(TELNYX, Webhook(url=url, method="GET", headers=headers), KEYS)
    form = [("CallSid", "v3:abc")]
    headers = signers.telnyx(signers.TELNYX_KEY, urlencode(form).encode(), 0)
    hook = posted(f"{BASE}?CallStatus=completed&CallSid=other", form, headers)
    assert holds(TELNYX, hook, KEYS)
    assert (hook.get("CallSid"), hook.get("CallStatus")) == ("v3:abc", None)


def test_a_telnyx_connector_with_only_an_api_key_checks_no_signature() -> None:
    assert holds(TELNYX, Webhook(url=BASE), {"apiKey": ("KEY1",)})
