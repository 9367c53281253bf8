"""RSA keys for tests, made once: generating one takes as long as a hundred signatures."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.security.key_pairs import KeyPair


@cache
def a_pair(number: int = 0) -> KeyPair:
    """Return the same pair for the same number."""
    return KeyPair.generate()


class Keyring:
    """A key ring whose pairs the test chooses, with a count of its uses."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self.asked = 0

    def current(self) -> KeyPair:
        self.asked += 1
        return self.pair


def verify(public_key: str, signature: bytes, body: bytes) -> None:
    """Raise ``InvalidSignature`` unless the owner of the key has signed the body."""
    key = load_pem_public_key(public_key.encode())
    assert isinstance(key, RSAPublicKey)
    key.verify(signature, body, PKCS1v15(), SHA256())
