"""Secrets at rest: sealed under a key that is made from ``API_SECRET``, for one owner and purpose.

A sealed text names its version and can only be opened for whoever it was sealed for, so that one
copied to another row of the database opens nothing. A second purpose has a key of its own.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.errors import Locked

VERSION = "v1"

NONCE_BYTES = 12
"""Random, which is safe for 2**32 texts under one key (NIST SP 800-38D, 8.3)."""


class Vault:
    """Seals and opens texts for one purpose, such as ``connector credentials``."""

    def __init__(self, secret: str, purpose: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=f"patchbay {VERSION} {purpose}".encode())
        self._cipher = AESGCM(key.derive(secret.encode()))

    def seal(self, text: str, owner: str) -> str:
        """``text`` as only ``open`` for the same owner can read it; another one every time."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())
        return f"{VERSION}.{urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        """The text. Raises ``Locked`` where it was sealed with another secret, or for another
        owner, or is not what was stored.
        """
        version, _, text = sealed.partition(".")
        try:
            raw = urlsafe_b64decode(text.encode("ascii"))
            if version != VERSION or len(raw) <= NONCE_BYTES:
                raise ValueError
            return self._cipher.decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()
            ).decode()
        except (InvalidTag, ValueError):
            raise Locked(
                f"The secrets of {owner} cannot be read with this API_SECRET: set them again, or "
                "start with the one they were stored under."
            ) from None
