"""Signatures of the providers' requests and media socket upgrades.

The code follows the providers' documents, and shares nothing with the service's signature check.
https://www.twilio.com/docs/usage/webhooks/webhooks-security,
https://plivo.com/docs/voice/concepts/signature-validation,
https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks
"""

from __future__ import annotations

import base64
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.clock import Clock
from service.errors import Invalid

Headers = dict[str, str]


class RequestSigner(ABC):
    """Signs the requests of one provider. No error quotes ``key``.

    ``credential`` names the connector's credential that holds the key, if there is one.
    ``account`` names the credential that holds the account id in the provider's requests.
    """

    credential: ClassVar[str | None] = "authToken"
    account: ClassVar[str | None] = None

    def __init__(self, key: str, clock: Clock) -> None:
        self.key = key
        self.clock = clock

    @abstractmethod
    def request(self, method: str, url: str, fields: Mapping[str, str], body: bytes) -> Headers:
        """Return the headers of a request with form fields; ``body`` is their encoded form."""

    def upgrade(self, url: str) -> Headers:
        """Return the headers of a WebSocket upgrade."""
        return {}

    def hmac(self, text: str, algorithm: str) -> str:
        digest = hmac.new(self.key.encode(), text.encode(), algorithm).digest()
        return base64.b64encode(digest).decode()


class TwilioSigner(RequestSigner):
    account = "accountSid"

    def request(self, method: str, url: str, fields: Mapping[str, str], body: bytes) -> Headers:
        for name in sorted(fields):
            url += name + fields[name]
        return {"X-Twilio-Signature": self.hmac(url, "sha1")}

    def upgrade(self, url: str) -> Headers:
        return self.request("GET", url, {}, b"")


class PlivoSigner(RequestSigner):
    account = "authId"

    def request(self, method: str, url: str, fields: Mapping[str, str], body: bytes) -> Headers:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.netloc}{parts.path}"
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        if query or fields:
            text += "?" + "&".join(f"{name}={value}" for name, value in query)
        if query and fields:
            text += "."
        text += "".join(name + fields[name] for name in sorted(fields))
        nonce = str(secrets.randbelow(10**20)).zfill(20)
        return {
            "X-Plivo-Signature-V3": self.hmac(f"{text}.{nonce}", "sha256"),
            "X-Plivo-Signature-V3-Nonce": nonce,
        }

    def upgrade(self, url: str) -> Headers:
        # On real calls, only the signature over the http form matched.
        return self.request("GET", f"http://{url.partition('://')[2]}", {}, b"")


class TelnyxSigner(RequestSigner):
    """The key is an Ed25519 private key, as PEM or as its 32 bytes in base64."""

    credential = None

    def __init__(self, key: str, clock: Clock) -> None:
        super().__init__(key, clock)
        self._private = _private(key)

    def request(self, method: str, url: str, fields: Mapping[str, str], body: bytes) -> Headers:
        timestamp = str(self.clock.now() // 1000)
        signature = self._private.sign(timestamp.encode() + b"|" + body)
        return {
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
            "telnyx-timestamp": timestamp,
        }


SIGNERS: Mapping[str, type[RequestSigner]] = {
    "twilio": TwilioSigner,
    "plivo": PlivoSigner,
    "telnyx": TelnyxSigner,
}


def key_and_account(
    provider: str, credentials: Mapping[str, Sequence[str]]
) -> tuple[str | None, str | None]:
    """Find the signing key and the account in a connector's credentials.

    There is no key for Telnyx, because Telnyx keeps its private key.
    """
    signer = SIGNERS[provider]
    key = next(iter(credentials.get(signer.credential or "", ())), None)
    account = next(iter(credentials.get(signer.account or "", ())), None)
    return key, account


def _private(text: str) -> Ed25519PrivateKey:
    try:
        if not text.lstrip().startswith("-----BEGIN"):
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        key = load_pem_private_key(text.encode(), None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    except (TypeError, ValueError):  # TypeError: the key needs a password
        pass
    raise Invalid("The signing key must be an Ed25519 private key without a password, as PEM.")
