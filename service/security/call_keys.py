"""Call keys: the secret in the addresses at which a provider asks about a live call.

A key names its call and proves by an HMAC under ``API_SECRET`` that it was made here, so it can be
judged without the database. It starts no call, and is worth nothing once its call is over.
"""

from __future__ import annotations

import hmac
import re

from service.security import constant_time

FORM = re.compile(r"clk_[0-9a-f]{32}_(?P<call_id>[A-Za-z0-9-]{1,64})")


def key_of(api_secret: str, call_id: str) -> str:
    # A separate HMAC key: other values derived from API_SECRET are shown to clients.
    secret = b"call key\0" + api_secret.encode()
    proof = hmac.digest(secret, call_id.encode(), "sha256").hex()
    return f"clk_{proof[:32]}_{call_id}"


def call_id_of(key: str) -> str | None:
    """Return the id in a key, genuine or not; ``None`` where the text is no call key."""
    match = FORM.fullmatch(key)
    return match["call_id"] if match else None


def is_genuine(key: str, api_secret: str, previous: str | None = None) -> bool:
    """Whether the key was made with ``api_secret``, or with the one before it."""
    call_id = call_id_of(key)
    return call_id is not None and any(
        constant_time.equal(key, key_of(secret, call_id))
        for secret in (api_secret, previous)
        if secret is not None
    )
