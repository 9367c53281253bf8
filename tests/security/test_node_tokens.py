"""Tokens of requests between machines: for one path, one body and half a minute."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from service.errors import Forbidden, Forged, Unauthorized
from service.security import access_tokens, console_sessions
from service.security.node_tokens import CLAIMS, LEEWAY_SECONDS, VALID_SECONDS, NodeTokens

SECRET = "an API secret of these tests, 32 bytes"
PATH = "/internal/nodes/nd_two"
BODY = b'["GetNode",{}]'
NOW = 1_700_000_000_000

tokens = NodeTokens(SECRET)


def verify(token: str, *, path: str = PATH, body: bytes = BODY, seconds: int = 0) -> str:
    return tokens.verify(f"Bearer {token}", path, body, NOW + seconds * 1000)


@pytest.fixture
def token() -> str:
    return tokens.sign("nd_one", PATH, BODY, NOW)


def changed(token: str, **changes: Any) -> str:
    """Return a token with other claims under the right key. ``None`` removes one."""
    claims = jwt.decode(token, options={"verify_signature": False})
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, tokens._key, algorithm="HS256")


def test_a_request_is_of_the_node_that_signed_it(token: str) -> None:
    assert verify(token) == "nd_one"
    assert NodeTokens(SECRET).verify(f"bearer {token}", PATH, BODY, NOW) == "nd_one"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eA=="])
def test_a_request_without_a_token_is_refused(header: str | None) -> None:
    with pytest.raises(Forged, match="must have the token of a node after Bearer"):
        tokens.verify(header, PATH, BODY, NOW)


def test_a_raw_token_is_refused(token: str) -> None:
    with pytest.raises(Forbidden, match="after Bearer"):
        tokens.verify(token, PATH, BODY, NOW)


def test_a_token_is_for_one_path_and_one_body(token: str) -> None:
    with pytest.raises(Forbidden, match="for another path"):
        verify(token, path="/internal/nodes/nd_three")
    with pytest.raises(Forbidden, match="for another body"):
        verify(token, body=BODY + b" ")


def test_a_list_of_paths_is_refused(token: str) -> None:
    with pytest.raises(Forbidden, match="must have the claim aud"):
        verify(changed(token, aud=[PATH]))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_is_required(token: str, name: str) -> None:
    # PyJWT writes no issuer that is not text.
    for value in (None,) if name == "iss" else (None, 1.5, ["x"]):
        with pytest.raises(Forbidden, match=f"must have the claim {name}"):
            verify(changed(token, **{name: value}))


def test_a_token_expires(token: str) -> None:
    last = VALID_SECONDS + LEEWAY_SECONDS - 1
    assert verify(token, seconds=last)
    with pytest.raises(Forbidden, match="The clock of nd_one is 40 s behind this machine's"):
        verify(token, seconds=last + 1)


def test_a_clock_that_is_ahead_is_named(token: str) -> None:
    assert verify(token, seconds=-LEEWAY_SECONDS)
    with pytest.raises(Forbidden, match="The clock of nd_one is 11 s ahead of this machine's"):
        verify(token, seconds=-LEEWAY_SECONDS - 1)


def test_a_token_that_lasts_longer_is_refused(token: str) -> None:
    with pytest.raises(Forbidden, match="must expire within 30 s"):
        verify(changed(token, exp=NOW // 1000 + VALID_SECONDS + 1))


Forge = Callable[[str], str]


def other_secret(token: str) -> str:
    return NodeTokens("another").sign("nd_one", PATH, BODY, NOW)


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


def other_algorithm(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, tokens._key * 2, algorithm="HS512")


def underived_key(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, SECRET, algorithm="HS256")


def api_token(token: str) -> str:
    return access_tokens.mint("key", SECRET, NOW)


def cookie(token: str) -> str:
    return console_sessions.issue(SECRET, NOW)


def altered(token: str) -> str:
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{signature[:-2]}{'A' if signature[-2] != 'A' else 'B'}{signature[-1]}"


@pytest.mark.parametrize(
    "forge",
    [other_secret, unsigned, other_algorithm, underived_key, api_token, cookie, altered, str.upper],
)
def test_a_forged_token_is_refused(token: str, forge: Forge) -> None:
    with pytest.raises(Forged, match="not one of a node with this API_SECRET"):
        verify(forge(token))


def test_a_node_token_is_no_access_token_and_no_cookie(token: str) -> None:
    with pytest.raises(Unauthorized):
        access_tokens.verify(f"Bearer {token}", "key", SECRET)
    assert console_sessions.read(token, [SECRET], NOW) is None
