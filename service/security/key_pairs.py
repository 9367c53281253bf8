"""RSA key pairs for signing webhooks: generation, reading and ids.

The id of a pair is derived from its public key, so that everyone who has the public key can
compute it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from service.clock import Millis

MIN_BITS = 2048


class KeyFormat(StrEnum):
    """Formats of a public key, both in PEM.

    VideoSDK writes PKCS #1, with a newline before and after it. Most libraries write SPKI.
    """

    PKCS1 = "pkcs1"
    SPKI = "spki"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``public_key`` is PEM (SPKI)."""

    id: str
    public_key: str
    private_key: RSAPrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        return cls._of(generate_private_key(public_exponent=65_537, key_size=MIN_BITS))

    @classmethod
    def read(cls, pem: str, *, is_checked: bool = False) -> KeyPair:
        """Read PKCS #8 or PKCS #1. Raises ``ValueError`` unless it is a long enough RSA key.

        ``is_checked`` skips the test of the key's numbers, which takes 40 ms.
        """
        try:
            key = load_pem_private_key(
                pem.encode(), password=None, unsafe_skip_rsa_key_validation=is_checked
            )
        except (TypeError, ValueError, UnsupportedAlgorithm):  # the first where it has a password
            raise ValueError("not a private key that can be read") from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_BITS:
            raise ValueError(f"not an RSA private key of at least {MIN_BITS} bits")
        return cls._of(key)

    @classmethod
    def _of(cls, key: RSAPrivateKey) -> KeyPair:
        public = key.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(f"key_{hashlib.sha256(der).hexdigest()[:16]}", pem.decode(), key)

    def private_pem(self) -> str:
        """Return the private key as PKCS #8, unencrypted."""
        return self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key. ``valid_until`` is ``None`` while its pair signs.

    ``public_key`` is PEM (SPKI). ``written`` converts it.
    """

    id: str
    public_key: str
    valid_until: Millis | None

    def written(self, form: KeyFormat) -> PublicKey:
        if form is KeyFormat.SPKI:
            return self
        key = load_pem_public_key(self.public_key.encode())
        pem = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
        return replace(self, public_key=f"\n{pem.strip()}\n")


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys to verify signatures with. The first one signs."""

    keys: tuple[PublicKey, ...]

    @property
    def public_key(self) -> str:
        return self.keys[0].public_key

    def written(self, form: KeyFormat) -> PublicKeys:
        return PublicKeys(tuple(key.written(form) for key in self.keys))
