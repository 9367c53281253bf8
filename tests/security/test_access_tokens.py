"""Access tokens, and the form of ids."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.domain import ids
from service.errors import Forbidden, Unauthorized
from service.security import access_tokens
from service.security.access_tokens import Grant

KEY = "a3e1c5b2-project"
SECRET = "0123456789abcdef" * 4
LONG_AGO = 1_500_000_000
FAR_AHEAD = 4_000_000_000


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"apikey": KEY, **claims}, secret, algorithm=algorithm)


def grant(header: str | None) -> Grant:
    return access_tokens.verify(header, KEY, SECRET)


def test_mint_writes_the_claims_of_the_official_generator_in_its_order() -> None:
    token = access_tokens.mint(KEY, SECRET, 1_795_398_119_500)
    claims = jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert list(claims.items()) == [
        ("apikey", KEY),
        ("permissions", ["allow_join", "allow_mod"]),
        ("version", 2),
        ("roles", ["crawler"]),
        ("iat", 1_795_398_119),
        ("exp", 1_795_398_119 + 86_400),
    ]
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_mint_accepts_a_lifetime_and_roles() -> None:
    token = access_tokens.mint(KEY, SECRET, FAR_AHEAD * 1000, seconds=60, roles=("rtc", "crawler"))
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
    assert claims["exp"] - claims["iat"] == 60
    assert claims["roles"] == ["rtc", "crawler"]


def test_minted_token_is_valid_until_it_expires() -> None:
    assert grant(access_tokens.mint(KEY, SECRET, FAR_AHEAD * 1000)).roles == ("crawler",)
    with pytest.raises(Unauthorized):
        grant(access_tokens.mint(KEY, SECRET, LONG_AGO * 1000))


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Bearer {}",
        "bearer {}",
        "BEARER   {}",
        "  {}  ",
        "\t{}\t",
        "Bearer\t{}",
        "bearer \t {} \t",
        "\tBearer {}",
    ],
)
def test_verify_accepts_the_raw_token_and_the_bearer_form(form: str) -> None:
    assert grant(form.format(signed(exp=FAR_AHEAD))) == Grant()


@pytest.mark.parametrize("header", [None, "", "   ", "Bearer", "bearer\t", "\t Bearer  "])
def test_verify_says_when_the_header_is_missing(header: str | None) -> None:
    with pytest.raises(Unauthorized, match="Authorization header is missing"):
        grant(header)


def test_verify_accepts_a_token_without_exp_version_and_roles() -> None:
    assert grant(signed()) == Grant()


def test_verify_accepts_a_token_from_a_clock_that_runs_ahead() -> None:
    assert grant(signed(iat=FAR_AHEAD)) == Grant()


@pytest.mark.parametrize("claims", [{"nbf": 20}, {"exp": -20}, {"nbf": 20, "exp": 25, "iat": 20}])
def test_verify_accepts_a_token_from_a_clock_half_a_minute_off(claims: dict[str, int]) -> None:
    now = int(time.time())
    assert grant(signed(**{name: now + offset for name, offset in claims.items()})) == Grant()


@pytest.mark.parametrize("claims", [{"nbf": 40}, {"exp": -40}])
def test_verify_refuses_a_token_from_a_clock_further_off(claims: dict[str, int]) -> None:
    now = int(time.time())
    with pytest.raises(Unauthorized):
        grant(signed(**{name: now + offset for name, offset in claims.items()}))


def test_token_signed_with_the_previous_secret_is_valid_while_that_is_set() -> None:
    previous = "f" * 64
    token = signed(secret=previous, roomId="r1")
    assert access_tokens.verify(token, KEY, SECRET, previous) == Grant(room_id="r1")
    assert access_tokens.verify(signed(), KEY, SECRET, previous) == Grant()
    for secrets in ((SECRET,), (SECRET, None), (SECRET, "e" * 64)):
        with pytest.raises(Unauthorized):
            access_tokens.verify(token, KEY, *secrets)
    expired = signed(secret=previous, exp=LONG_AGO)
    with pytest.raises(Unauthorized):
        access_tokens.verify(expired, KEY, SECRET, previous)


def test_verify_reads_room_and_participant() -> None:
    token = signed(roles=["crawler", "rtc"], roomId="abcd-efgh-ijkl", participantId="p1")
    assert grant(token) == Grant(("crawler", "rtc"), "abcd-efgh-ijkl", "p1")


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_room_or_participant_claim_ties_to_nothing(empty: str | None) -> None:
    assert grant(signed(roomId=empty, participantId=empty)) == Grant()


def test_one_role_may_be_a_string() -> None:
    assert grant(signed(roles="crawler")).roles == ("crawler",)


@pytest.mark.parametrize("roles", ["rtc", ["rtc"], ["rtc", "admin"]])
def test_a_token_that_only_joins_rooms_is_forbidden(roles: object) -> None:
    with pytest.raises(Forbidden, match="may only join rooms"):
        grant(signed(roles=roles))


def unsigned() -> str:
    parts = ({"alg": "none", "typ": "JWT"}, {"apikey": KEY})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join(encoded).decode() + "."


def rsa_signed() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwt.encode({"apikey": KEY}, pem, algorithm="RS256")


def tampered() -> str:
    header, _, signature = signed(roomId="aaaa-bbbb-cccc").split(".")
    return f"{header}.{signed(roomId='dddd-eeee-ffff').split('.')[1]}.{signature}"


REFUSED: dict[str, Callable[[], str]] = {
    "no signature": unsigned,
    "another algorithm": rsa_signed,
    "another hash": lambda: signed(algorithm="HS512"),
    "another payload": tampered,
    "another secret": lambda: signed(secret="f" * 64),
    "signature cut": lambda: signed()[:-2],
    "signature extended": lambda: signed() + "x",
    "expired": lambda: signed(exp=LONG_AGO),
    "exp is text": lambda: signed(exp="soon"),
    "not valid yet": lambda: signed(nbf=FAR_AHEAD),
    "no claims": lambda: jwt.encode({}, SECRET, algorithm="HS256"),
    "another key": lambda: signed(apikey="another"),
    "key is null": lambda: signed(apikey=None),
    "key is a list": lambda: signed(apikey=[KEY]),
    "key is not ASCII": lambda: signed(apikey="schlüssel"),
    "roles is a number": lambda: signed(roles=7),
    "roles holds a number": lambda: signed(roles=[7]),
    "roles is an object": lambda: signed(roles={"crawler": True}),
    "room is a number": lambda: signed(roomId=7),
    "participant is a list": lambda: signed(participantId=["p"]),
    "another scheme": lambda: "Basic dXNlcjpwYXNz",
    "the scheme twice": lambda: "Bearer Bearer " + signed(),
    "three parts of junk": lambda: "a.b.c",
    "not ASCII": lambda: "é" * 20,
    "dots": lambda: "." * 5000,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_verify_refuses_invalid_tokens_without_a_reason(make: Callable[[], str]) -> None:
    with pytest.raises(Unauthorized) as refused:
        grant(make())
    assert refused.value.message == access_tokens.NOT_VALID


def test_verify_without_a_matching_key_refuses_even_a_good_signature() -> None:
    with pytest.raises(Unauthorized):
        access_tokens.verify(signed(), "another", SECRET)


def test_a_grant_without_a_room_reaches_every_room() -> None:
    Grant().require_room("abcd-efgh-ijkl")
    Grant().require_room(None)


def test_a_grant_for_a_room_reaches_that_room_alone() -> None:
    tied = Grant(room_id="abcd-efgh-ijkl")
    tied.require_room("abcd-efgh-ijkl")
    for other in ("zzzz-zzzz-zzzz", None, ""):
        with pytest.raises(Forbidden):
            tied.require_room(other)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (ids.new_connector_id, r"cn_[a-z0-9]{16}"),
        (ids.new_webhook_key, r"whk_[A-Za-z0-9]{32}"),
        (ids.new_ref, r"[A-Za-z0-9]{32}"),
        (ids.new_ingest_ref, r"vs_[a-z0-9]{20}"),
        (ids.new_participant_id, r"[a-z0-9]{8}"),
        (ids.new_session_id, r"[0-9a-f]{24}"),
        (ids.new_call_id, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        (ids.new_leg_id, r"[0-9a-f]{16}"),
    ],
)
def test_ids_have_their_form_and_do_not_repeat(make: Callable[[], str], pattern: str) -> None:
    made = {make() for _ in range(500)}
    assert len(made) == 500
    assert all(re.fullmatch(pattern, name) for name in made)


def test_digest_is_sha256_in_hexadecimal() -> None:
    assert ids.digest("abc") == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
