"""Encryption of secrets at rest."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Locked
from service.security.encryption import Vault

SECRET = "secret" * 8
OWNER = "connector cn_1"
VAULT = Vault(SECRET, "connector credentials")


@given(st.text(), st.text())
def test_sealed_text_is_opened(text: str, owner: str) -> None:
    assert VAULT.open(VAULT.seal(text, owner), owner) == text


def test_sealed_text_differs_each_time_and_hides_the_text() -> None:
    sealed = VAULT.seal("the auth token", OWNER)
    assert sealed.startswith("v1.")
    assert b"token" not in urlsafe_b64decode(sealed.removeprefix("v1."))
    assert sealed != VAULT.seal("the auth token", OWNER)


def test_another_process_with_the_same_secret_opens_it() -> None:
    assert Vault(SECRET, "connector credentials").open(VAULT.seal("x", OWNER), OWNER) == "x"


@pytest.mark.parametrize(
    ("vault", "owner"),
    [
        (Vault(SECRET + "x", "connector credentials"), OWNER),
        (Vault(SECRET, "something else"), OWNER),
        (VAULT, "connector cn_2"),
    ],
    ids=["secret", "purpose", "owner"],
)
def test_another_secret_purpose_or_owner_raises_with_advice(vault: Vault, owner: str) -> None:
    with pytest.raises(Locked) as caught:
        vault.open(VAULT.seal("the auth token", OWNER), owner)
    assert caught.value.message == (
        f"The secrets of {owner} cannot be read with this API_SECRET: set them again, or start "
        "with the one they were stored under."
    )


def test_text_sealed_under_the_previous_secret_is_opened_and_sealed_again() -> None:
    sealed = VAULT.seal("x", OWNER)
    turning = Vault("new" * 12, "connector credentials", SECRET)
    assert turning.open(sealed, OWNER) == "x"
    renewed = turning.renewed(sealed, OWNER)
    assert renewed is not None
    assert turning.renewed(renewed, OWNER) is None
    assert Vault("new" * 12, "connector credentials").open(renewed, OWNER) == "x"
    with pytest.raises(Locked):
        VAULT.open(renewed, OWNER)
    with pytest.raises(Locked):
        Vault("bad" * 12, "connector credentials", "new" * 12).renewed(sealed, OWNER)


def test_text_stored_in_the_clear_is_read_and_can_be_sealed() -> None:
    assert VAULT.read("whk_abc", OWNER) == "whk_abc"
    renewed = VAULT.renewed("whk_abc", OWNER)
    assert renewed is not None
    assert renewed.startswith("v1.")
    assert VAULT.read(renewed, OWNER) == "whk_abc"


def test_every_altered_byte_is_detected() -> None:
    raw = urlsafe_b64decode(VAULT.seal("the auth token", OWNER).removeprefix("v1."))
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(Locked):
            VAULT.open("v1." + urlsafe_b64encode(changed).decode(), OWNER)


@pytest.mark.parametrize("sealed", ["", "v1", "v1.", "v1.AAAA", "v1.é", "v1.a", "plain text"])
def test_unsealed_text_is_refused(sealed: str) -> None:
    with pytest.raises(Locked):
        VAULT.open(sealed, OWNER)


def test_a_text_of_another_version_is_refused() -> None:
    with pytest.raises(Locked):
        VAULT.open("v2" + VAULT.seal("x", OWNER).removeprefix("v1"), OWNER)
