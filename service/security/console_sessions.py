"""Console sessions: a signed cookie, without state on the server.

The cookie is a JWT under ``API_SECRET``. It is no API token, because it has an audience and no
``apikey``. A proof derived from the cookie protects against cross-site requests: only the console's
pages know it.
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
"""Seconds for which a sign-in link is valid."""

AUDIENCE = "patchbay console"

COOKIE = "patchbay_console"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A signed-in browser. Requests that change something repeat ``proof`` in a header."""

    proof: str

    def is_proved_by(self, sent: str | None) -> bool:
        return constant_time.equal(sent or "", self.proof)


def seconds_until(expires_at: Millis | None, now: Millis) -> int:
    """Return how long a sign-in with a token lasts: no longer than the token."""
    if expires_at is None:
        return SIGNED_IN_SECONDS
    # The token may have been accepted within its leeway.
    return min(max((expires_at - now) // 1000, 1), SIGNED_IN_SECONDS)


def issue(api_secret: str, now: Millis, seconds: int = SIGNED_IN_SECONDS) -> str:
    """Return the value of a cookie that is valid for ``seconds``."""
    claims = {"aud": AUDIENCE, "jti": secrets.token_urlsafe(16), "exp": now // 1000 + seconds}
    return jwt.encode(claims, api_secret, algorithm="HS256")


def read(value: str, api_secrets: Iterable[str | None], now: Millis) -> SignIn | None:
    """Return the sign-in of a cookie; ``None`` where it is invalid or has expired.

    Any of the secrets may have signed it: there are two while one is being replaced.
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
    """Return a URL that signs in its first visitor. Browsers do not send the part after #."""
    return f"{base}/console/sign-in#{secret}"
