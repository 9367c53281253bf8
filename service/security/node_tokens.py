"""Tokens of requests between machines: JWTs (HS256) under a key derived from ``API_SECRET``.

The key has this purpose only, so an access token is no node token, and the reverse. A token is for
one path and one body, and expires after ``VALID_SECONDS``. Within that time a request can be
repeated: messages between nodes can all be acted on twice.
"""

from __future__ import annotations

import hashlib
from typing import Any

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.clock import Millis
from service.errors import Forbidden, Forged
from service.security import constant_time
from service.security.access_tokens import bearer

VALID_SECONDS = 30

LEEWAY_SECONDS = 10
"""Greatest difference between the clocks of two machines."""

CLAIMS = ("iss", "aud", "sha256", "iat", "exp")

MISSING = "Authorization header must have the token of a node after Bearer."
NOT_VALID = "The token is not one of a node with this API_SECRET."


class NodeTokens:
    """Sign and verify requests of nodes. Thread-safe."""

    def __init__(self, api_secret: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=b"patchbay v1 node requests")
        self._key = key.derive(api_secret.encode())

    def sign(self, node_id: str, path: str, body: bytes, now: Millis) -> str:
        """Return the token of node ``node_id`` for one request. ``now`` is the wall clock."""
        issued = now // 1000
        claims = {
            "iss": node_id,
            "aud": path,
            "sha256": hashlib.sha256(body).hexdigest(),
            "iat": issued,
            "exp": issued + VALID_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def verify(self, header: str | None, path: str, body: bytes, now: Millis) -> str:
        """Return the node that has signed the request.

        Raises ``Forged`` where no node has signed it, and ``Forbidden`` where one has, but not for
        this path, body or time.
        """
        token = bearer(header)
        if not token:
            raise Forged(MISSING)
        claims = self._claims(token)
        if claims["aud"] != path:
            raise Forbidden("The token is for another path.")
        if not constant_time.equal(claims["sha256"], hashlib.sha256(body).hexdigest()):
            raise Forbidden("The token is for another body.")
        _require_time(claims, now // 1000)
        return str(claims["iss"])

    def _claims(self, token: str) -> dict[str, Any]:
        """Return all claims, with the right types. Raises ``Forged`` or ``Forbidden``."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                # The time is judged by an injected clock, and the path by equality.
                options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidTokenError:
            raise Forged(NOT_VALID) from None
        for name in CLAIMS:
            kind = int if name in ("iat", "exp") else str
            if type(claims.get(name)) is not kind:
                raise Forbidden(f"The token must have the claim {name}.")
        return claims


def _require_time(claims: dict[str, Any], now: int) -> None:
    issued, expires = claims["iat"], claims["exp"]
    if expires - issued > VALID_SECONDS:
        raise Forbidden(f"The token must expire within {VALID_SECONDS} s.")
    if issued <= now + LEEWAY_SECONDS and now < expires + LEEWAY_SECONDS:
        return
    side = "ahead of" if issued > now else "behind"
    raise Forbidden(
        f"The clock of {claims['iss']} is {abs(now - issued)} s {side} this machine's, or its "
        "request was delayed: set the clocks of all machines by NTP."
    )
