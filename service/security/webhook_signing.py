"""Signatures of webhooks as VideoSDK makes them: RSA PKCS #1 v1.5, SHA-256, over the raw body.

Another process may replace the signing key. That is noticed within ``CHECK_SECONDS``.
"""

from __future__ import annotations

from base64 import b64encode
from threading import Lock
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from service.clock import Clock
from service.security.key_pairs import KeyPair

CHECK_SECONDS = 3.0
"""Seconds for which a key pair is used before the current one is looked up again."""


class Keyring(Protocol):
    def current(self) -> KeyPair:
        """Return the pair to sign with."""
        ...


class Signer:
    """Thread-safe."""

    def __init__(self, keys: Keyring, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._lock = Lock()
        self._pair: KeyPair | None = None
        self._good_until = 0.0

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers that sign ``body``, which is sent byte for byte."""
        pair = self._current()
        signature = pair.private_key.sign(body, PKCS1v15(), SHA256())
        return {"videosdk-signature": b64encode(signature).decode(), "x-patchbay-key": pair.id}

    def _current(self) -> KeyPair:
        with self._lock:
            now = self._clock.monotonic()
            if self._pair is None or now >= self._good_until:
                self._pair = self._keys.current()
                self._good_until = now + CHECK_SECONDS
            return self._pair
