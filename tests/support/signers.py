"""Requests signed as the providers sign them, with their SDKs where those can sign.

Telnyx's SDK only verifies, so its requests are signed with ``cryptography`` and verified with the
SDK.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import plivo.utils.signature_v3 as plivo
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twilio.request_validator import RequestValidator

from service.providers.base.provider import Webhook

Pairs = Sequence[tuple[str, str]]

FORM = "application/x-www-form-urlencoded"
NONCE = "05429567804466091622"

TELNYX_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Repeated:
    """Form fields as Flask hands them to Twilio's validator."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __iter__(self) -> object:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


def public_key(private: Ed25519PrivateKey) -> str:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(raw).decode()


def twilio(token: str, url: str, form: Pairs = ()) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, Repeated(form))}


def plivo_v3(token: str, method: str, url: str, form: Pairs = ()) -> dict[str, str]:
    fields: dict[str, list[str]] = {}
    for name, value in form:
        fields.setdefault(name, []).append(value)
    build = plivo.construct_get_url if method == "GET" else plivo.construct_post_url
    signature = plivo.get_signature_v3(token, build(url, fields).decode(), NONCE)
    return {"X-Plivo-Signature-V3": signature.decode(), "X-Plivo-Signature-V3-Nonce": NONCE}


def telnyx(private: Ed25519PrivateKey, body: bytes, seconds: int) -> dict[str, str]:
    signature = private.sign(f"{seconds}|".encode() + body)
    return {
        "telnyx-signature-ed25519": b64encode(signature).decode(),
        "telnyx-timestamp": str(seconds),
    }


def posted(url: str, form: Pairs, headers: Mapping[str, str]) -> Webhook:
    """Return a received form with the headers that sign it."""
    return Webhook(
        form=tuple(form),
        url=url,
        headers={"Content-Type": FORM, **headers},
        body=urlencode(form).encode(),
    )
