"""Encryption of secrets at rest, under a key derived from ``API_SECRET`` and a purpose.

A sealed text contains its version and is bound to its owner, so a copy in another row of the
database cannot be opened. While ``API_SECRET`` is being replaced, texts that were sealed under the
previous one are opened too.
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
"""Random nonces are safe for 2**32 texts under one key (NIST SP 800-38D, 8.3)."""


class Vault:
    """Seal and open texts for one purpose, such as ``connector credentials``."""

    def __init__(self, secret: str, purpose: str, previous: str | None = None) -> None:
        self._cipher = _cipher(secret, purpose)
        self._previous = None if previous is None else _cipher(previous, purpose)

    def seal(self, text: str, owner: str) -> str:
        """Encrypt ``text`` for ``owner``. The result differs each time."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())
        return f"{VERSION}.{urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        """Decrypt a text. Raises ``Locked`` where the secret or the owner is another one, or the
        text was altered.
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
        """Like ``open``. A text that was stored in the clear is returned unchanged."""
        return self.open(stored, owner) if _is_sealed(stored) else stored

    def renewed(self, stored: str, owner: str) -> str | None:
        """Seal a text again that was sealed under the previous secret or stored in the clear.

        ``None`` where it is sealed under the current secret. Raises ``Locked`` like ``open``.
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
