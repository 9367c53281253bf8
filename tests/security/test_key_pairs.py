"""Key pairs: ids, reading and repr."""

from __future__ import annotations

import hashlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from service.security.key_pairs import KeyPair
from tests.support.keyrings import a_pair


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    seal: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(Encoding.PEM, form, seal or NoEncryption()).decode()


def test_id_of_a_pair_follows_from_its_public_key() -> None:
    pair = a_pair()
    der = pair.private_key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert pair.id == "key_" + hashlib.sha256(der).hexdigest()[:16]
    assert pair.public_key.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert a_pair(1).id != pair.id
    assert pair.private_key.key_size == 2048


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_pair_is_read_in_both_formats(form: PrivateFormat) -> None:
    read = KeyPair.read(pem(a_pair().private_key, form))
    assert (read.id, read.public_key) == (a_pair().id, a_pair().public_key)
    assert KeyPair.read(read.private_pem()).id == read.id
    assert KeyPair.read(read.private_pem(), is_checked=True).id == read.id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        a_pair().public_key,
        pem(rsa.generate_private_key(65_537, 1024)),
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(a_pair().private_key, seal=BestAvailableEncryption(b"password")),
    ],
    ids=["nothing", "garbage", "public", "short", "elliptic", "password"],
)
def test_other_and_short_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an? "):
        KeyPair.read(text)


def test_repr_of_a_pair_hides_the_private_key() -> None:
    assert not re.search("private|RSA", repr(a_pair()))
