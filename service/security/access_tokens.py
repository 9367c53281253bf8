"""Access tokens: JWTs with the claims of VideoSDK's v2 API, signed with ``API_SECRET`` (HS256)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.types import Options

from service.clock import Millis
from service.errors import Forbidden, Unauthorized
from service.security import constant_time

TOLERATED: Options = {
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Claims that VideoSDK's generators may add. They have no meaning here."""

NOT_VALID = "Token is invalid or expired"

LEEWAY_SECONDS = 30
"""Leeway between the clock of a token's signer and ours, for ``nbf`` and ``exp`` alike."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a valid token, and its end. Empty ``roles`` mean both REST and rooms.

    ``permissions`` are ``None`` where the token has no such claim. Nothing is forbidden then.
    """

    roles: tuple[str, ...] = ()
    room_id: str | None = None
    participant_id: str | None = None
    permissions: tuple[str, ...] | None = None
    # Two tokens may allow the same and expire at different times.
    expires_at: Millis | None = field(default=None, compare=False)

    @property
    def is_tied(self) -> bool:
        """Whether the token is for one room or participant only."""
        return self.room_id is not None or self.participant_id is not None

    def require_room(self, room_id: str | None) -> None:
        """Raise ``Forbidden`` where the token is tied to another room."""
        if self.room_id is not None and self.room_id != room_id:
            raise Forbidden("This token is only valid for another room.")


def mint(
    api_key: str,
    api_secret: str,
    now: Millis,
    *,
    seconds: int = 86_400,
    roles: tuple[str, ...] = ("crawler",),
) -> str:
    """Return a token with the claims of VideoSDK's generator, valid for ``seconds``."""
    issued = now // 1000
    claims: dict[str, object] = {
        "apikey": api_key,
        "permissions": ["allow_join", "allow_mod"],
        "version": 2,
        "roles": list(roles),
        "iat": issued,
        "exp": issued + seconds,
    }
    return jwt.encode(claims, api_secret, algorithm="HS256")


def verify(header: str | None, api_key: str, api_secret: str, previous: str | None = None) -> Grant:
    """Check an ``Authorization`` header: the raw token, or ``Bearer`` and the token.

    VideoSDK documents the raw form and uses both. ``version`` and ``exp`` may be absent, as in its
    older generators; an ``exp`` must lie in the future. A token may be signed with the ``previous``
    secret while the secret is being replaced. Raises ``Unauthorized`` where the token is invalid,
    and ``Forbidden`` where it is only for joining rooms (``roles: ["rtc"]``).
    """
    text = bearer(header)
    if text is None:
        text = (header or "").strip()
    if not text:
        raise Unauthorized("Authorization header is missing: send your token in it.")
    claims = _claims(text, api_secret)
    if claims is None and previous is not None:
        claims = _claims(text, previous)
    if claims is None:
        raise Unauthorized(NOT_VALID)
    claimed = claims.get("apikey")
    if not isinstance(claimed, str) or not constant_time.equal(claimed, api_key):
        raise Unauthorized(NOT_VALID)
    roles = _words(claims.get("roles"))
    if roles and "crawler" not in roles:
        raise Forbidden("This token may only join rooms: its roles lack 'crawler'.")
    return Grant(
        roles=roles,
        room_id=_text(claims.get("roomId")),
        participant_id=_text(claims.get("participantId")),
        permissions=_permissions(claims),
        expires_at=None if claims.get("exp") is None else int(claims["exp"]) * 1000,
    )


def _claims(text: str, secret: str) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = jwt.decode(
            text, secret, algorithms=["HS256"], options=TOLERATED, leeway=LEEWAY_SECONDS
        )
    except jwt.InvalidTokenError:
        return None
    return claims


def _permissions(claims: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return the permissions in a token. An empty list or null permits nothing.

    ``ask_join`` lets a participant join on request only, and contradicts the other permissions.
    VideoSDK refuses such a token too (4008).
    """
    if "permissions" not in claims:
        return None
    permissions = _words(claims["permissions"])
    if "ask_join" in permissions and {"allow_join", "allow_mod"} & set(permissions):
        raise Forbidden("This token's permissions mix ask_join with allow_join or allow_mod.")
    return permissions


def _words(value: object) -> tuple[str, ...]:
    """Return a claim that is a word or a list of words. Raises ``Unauthorized``."""
    words = [value] if isinstance(value, str) else value or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Unauthorized(NOT_VALID)
    return tuple(words)


def bearer(header: str | None) -> str | None:
    """Return the credentials after ``Bearer``; ``None`` without that scheme.

    The scheme is case-insensitive, and blanks around the credentials are ignored (RFC 9110, 11.4).
    """
    scheme, *rest = (header or "").split(maxsplit=1) or [""]
    if scheme.lower() != "bearer":
        return None
    return rest[0].strip() if rest else ""


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Unauthorized(NOT_VALID)
    return value
