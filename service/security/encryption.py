"""Secrets at rest: sealed under a key that is made from ``API_SECRET``, for one owner and purpose.

A sealed text names its version and can only be opened for the owner it was sealed for, so that one
copied to another row of the database opens nothing. A second purpose has a key of its own. While
``API_SECRET`` is being changed, what was sealed under the previous one is opened as well.
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

    def __init__(self, secret: str, purpose: str, previous: str | None = None) -> None:
        self._cipher = _cipher(secret, purpose)
        self._previous = None if previous is None else _cipher(previous, purpose)

    def seal(self, text: str, owner: str) -> str:
        """``text`` as only ``open`` for the same owner can read it; another one every time."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())
        return f"{VERSION}.{urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        """The text. Raises ``Locked`` where it was sealed with another secret, or for another
        owner, or is not what was stored.
        """
        for cipher in filter(None, (self._cipher, self._previous)):
            text = _opened(cipher, sealed, owner)
            if text is not None:
                return text
        raise Locked(
            f"The secrets of {owner} cannot be read with this API_SECRET: set them again, or "
            "start with the one they were stored under."
        )

    def read(self, stored: str, owner: str) -> str:
        """Like ``open``, and a text that was stored in the clear as it is."""
        return self.open(stored, owner) if _is_sealed(stored) else stored

    def renewed(self, stored: str, owner: str) -> str | None:
        """The text sealed under the current secret, where it is not: it was sealed under the
        previous one, or stored in the clear. Raises ``Locked`` like ``open``.
        """
        if _is_sealed(stored) and _opened(self._cipher, stored, owner) is not None:
            return None
        return self.seal(self.read(stored, owner), owner)


def _cipher(secret: str, purpose: str) -> AESGCM:
    key = HKDF(SHA256(), length=32, salt=None, info=f"patchbay {VERSION} {purpose}".encode())
    return AESGCM(key.derive(secret.encode()))


def _is_sealed(stored: str) -> bool:
    return stored.startswith(f"{VERSION}.")


def _opened(cipher: AESGCM, sealed: str, owner: str) -> str | None:
    version, _, text = sealed.partition(".")
    try:
        raw = urlsafe_b64decode(text.encode("ascii"))
        if version != VERSION or len(raw) <= NONCE_BYTES:
            return None
        return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
    except (InvalidTag, ValueError):
        return None
