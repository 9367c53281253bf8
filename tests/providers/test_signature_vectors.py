"""Known signatures: each is valid, and none is after a change of any signed part.

The vectors were computed with the providers' own SDKs in Python and Node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadSignature
from service.providers import load
from service.providers.base.provider import Webhook
from service.providers.base.signatures import Secrets
from service.providers.plivo import Plivo
from tests.support.signers import FORM

VECTORS = json.loads((Path(__file__).parent / "signature_vectors.json").read_text())
# Two of the vectors use Plivo's V2, which needs a setting.
PROVIDERS = {**load(), "plivo": Plivo(accepts_v2=True)}

TELNYX_AT = int(VECTORS["telnyx"]["timestamp"]) * 1000


def _pairs(params: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, values in params.items()
        for value in (values if isinstance(values, list) else [values])
    )


def _twilio(case: dict[str, Any]) -> tuple[Secrets, Webhook]:
    headers = {"X-Twilio-Signature": case["signature"], "Content-Type": FORM}
    if "algorithm" in case:
        settings = f"key=webhooks_sharedkey_1,algorithm={case['algorithm']}"
        headers["X-Twilio-Webhooks-Signature-Settings"] = settings
    if "body" in case:
        headers["Content-Type"] = "application/json"
    hook = Webhook(
        form=_pairs(case.get("params", {})),
        url=case["url"],
        headers=headers,
        body=case.get("body", "").encode(),
    )
    return {"authToken": (VECTORS["twilio"]["token"],)}, hook


def _plivo(case: dict[str, Any]) -> tuple[Secrets, Webhook]:
    name = f"X-Plivo-Signature-V{case['version']}"
    headers = {name: case["signature"], f"{name}-Nonce": VECTORS["plivo"]["nonce"]}
    hook = Webhook(
        form=_pairs(case.get("params", {})),
        url=case["url"],
        method=case.get("method", "POST"),
        headers=headers,
    )
    return {"authToken": (VECTORS["plivo"]["token"],)}, hook


def _telnyx(case: dict[str, Any]) -> tuple[Secrets, Webhook]:
    vectors = VECTORS["telnyx"]
    headers = {
        "telnyx-signature-ed25519": case["signature"],
        "telnyx-timestamp": vectors["timestamp"],
    }
    hook = Webhook(
        url="https://voice.example.com/telnyx", headers=headers, body=case["body"].encode()
    )
    return {"publicKey": (vectors["public_key_b64"],)}, hook


READERS = {"twilio": _twilio, "plivo": _plivo, "telnyx": _telnyx}
CASES = [
    pytest.param(name, case, id=f"{name}-{case['name']}")
    for name in READERS
    for case in VECTORS[name]["cases"]
]


def check(name: str, hook: Webhook, secrets: Secrets, now: int = TELNYX_AT) -> None:
    PROVIDERS[name].verify(hook, secrets, now)


def test_there_are_twenty_vectors() -> None:
    assert len(CASES) == 20


def test_known_signatures_of_plivo_v2_are_invalid_without_the_setting() -> None:
    v2 = [
        (secrets, hook)
        for secrets, hook in map(_plivo, VECTORS["plivo"]["cases"])
        if "X-Plivo-Signature-V2" in hook.headers
    ]
    assert v2
    for secrets, hook in v2:
        with pytest.raises(BadSignature, match="X-Plivo-Signature-V3 or its nonce is missing"):
            Plivo().verify(hook, secrets, 0)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_known_signature_is_valid(name: str, case: dict[str, Any]) -> None:
    secrets, hook = READERS[name](case)
    check(name, hook, secrets)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_change_of_a_signed_part_is_detected(name: str, case: dict[str, Any]) -> None:
    secrets, hook = READERS[name](case)
    tried = 0
    for changed in _changes(name, hook):
        with pytest.raises(BadSignature):
            check(name, changed, secrets)
        tried += 1
    for credential, (value,) in secrets.items():
        with pytest.raises(BadSignature):
            check(name, hook, {credential: ("B" + value[1:],)})
    assert tried > 20


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_telnyx_signatures_are_valid_for_five_minutes(seconds: int) -> None:
    secrets, hook = _telnyx(VECTORS["telnyx"]["cases"][0])
    check("telnyx", hook, secrets, TELNYX_AT + seconds * 1000)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_telnyx_signatures_expire_after_five_minutes(seconds: int) -> None:
    secrets, hook = _telnyx(VECTORS["telnyx"]["cases"][0])
    with pytest.raises(BadSignature, match="300 s from our clock"):
        check("telnyx", hook, secrets, TELNYX_AT + seconds * 1000)


def _changes(name: str, hook: Webhook) -> Iterator[Webhook]:
    """Yield the request with each character of each signed part changed in turn."""
    for header, value in hook.headers.items():
        if header == "Content-Type" or header.endswith("Signature-Settings"):
            continue
        # The last letter before the padding has unused bits.
        for changed in _flipped(value.rstrip("=")[:-1]):
            yield replace(hook, headers={**hook.headers, header: changed + value[len(changed) :]})
    if name == "telnyx":
        for changed in _flipped(hook.body.decode("latin-1")):
            yield replace(hook, body=changed.encode("latin-1"))
        yield replace(hook, body=hook.body + b"&")
        return
    # A V2 signature of Plivo covers neither query nor form.
    whole = not any(header.startswith("X-Plivo-Signature-V2") for header in hook.headers)
    address, mark, query = hook.url.partition("?")
    scheme, _, place = address.partition("://")
    for changed in _flipped(place):
        yield replace(hook, url=f"{scheme}://{changed}{mark}{query}")
    if not hook.is_upgrade:
        other = "http" if scheme == "https" else "https"
        yield replace(hook, url=f"{other}://{place}{mark}{query}")
    if whole:
        for changed in _flipped(query):
            yield replace(hook, url=address + mark + changed)
        yield replace(hook, url=f"{hook.url}{'&' if mark else '?'}more=1")
        if not hook.body:
            yield from _changed_forms(hook)
        for changed in _flipped(hook.body.decode()):
            yield replace(hook, body=changed.encode())


def _changed_forms(hook: Webhook) -> Iterator[Webhook]:
    yield replace(hook, form=(*hook.form, ("More", "1")))
    for place, (field, value) in enumerate(hook.form):
        before, after = hook.form[:place], hook.form[place + 1 :]
        # A repeated value is signed once.
        if (field, value) not in before + after:
            yield replace(hook, form=before + after)
            for changed in _flipped(value):
                yield replace(hook, form=(*before, (field, changed), *after))
            for changed in _flipped(field):
                yield replace(hook, form=(*before, (changed, value), *after))


def _flipped(text: str) -> Iterator[str]:
    for place, character in enumerate(text):
        # Only letters are changed: a change to an encoded character, a port or a scheme could give
        # another spelling of the same URL.
        other = "x" if character != "x" else "y"
        yield text[:place] + other + text[place + 1 :]
