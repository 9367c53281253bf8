"""Who is signed in to the console: a signed value for a cookie, and nothing on the server.

It is a JWT under ``API_SECRET`` that opens no API by itself: it has an audience and no ``apikey``.
What proves that a request comes from one of our own pages, and not from another that the browser
sends the cookie for, follows from the cookie, and is told to our pages alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import jwt

from service.clock import Millis
from service.domain.ids import pseudonym
from service.security import constant_time

SIGNED_IN_SECONDS = 12 * 3600

LINK_SECONDS = 15 * 60
"""How long a sign-in link waits to be opened."""

AUDIENCE = "patchbay console"

COOKIE = "patchbay_console"


@dataclass(frozen=True, slots=True)
class SignIn:
    """``proof`` is what a request that changes something must repeat in a header."""

    proof: str

    def is_proved_by(self, sent: str | None) -> bool:
        return constant_time.equal(sent or "", self.proof)


def seconds_until(expires_at: Millis | None, now: Millis) -> int:
    """How long a sign-in holds, with a token that expires then: no longer than the token."""
    if expires_at is None:
        return SIGNED_IN_SECONDS
    # The token may have been taken within its leeway.
    return min(max((expires_at - now) // 1000, 1), SIGNED_IN_SECONDS)


def issue(api_secret: str, now: Millis, seconds: int = SIGNED_IN_SECONDS) -> str:
    """The value of a cookie that holds for so many seconds."""
    claims = {"aud": AUDIENCE, "jti": secrets.token_urlsafe(16), "exp": now // 1000 + seconds}
    return jwt.encode(claims, api_secret, algorithm="HS256")


def read(value: str, api_secrets: Iterable[str | None], now: Millis) -> SignIn | None:
    """Return the sign-in of a cookie; ``None`` where it is not ours or has expired.

    It may be signed with any of the secrets: there are two while one is being replaced.
    """
    for secret in filter(None, api_secrets):
        try:
            claims = jwt.decode(
                value,
                secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                options={"verify_exp": False, "require": ["aud", "jti", "exp"]},
            )
        except jwt.InvalidTokenError:
            continue
        if claims["exp"] * 1000 <= now:
            return None
        return SignIn(pseudonym(secret, f"console {claims['jti']}"))
    return None


def new_link_secret() -> str:
    return secrets.token_urlsafe(32)


def link(base: str, secret: str) -> str:
    """A URL that signs in whoever opens it first. What is behind # no browser sends, nor logs."""
    return f"{base}/console/sign-in#{secret}"
