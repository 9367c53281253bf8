"""Call keys: the secret in the URLs at which a provider asks about a live call.

A key contains the id of its call and an HMAC under ``API_SECRET``, so it is verified without the
database. It cannot start a call, and is useless once its call is over.
"""

from __future__ import annotations

import hmac
import re

from service.security import constant_time

FORM = re.compile(r"clk_[0-9a-f]{32}_(?P<call_id>[A-Za-z0-9-]{1,64})")


def key_of(api_secret: str, call_id: str) -> str:
    # A separate HMAC key, because clients see other values derived from API_SECRET.
    secret = b"call key\0" + api_secret.encode()
    proof = hmac.digest(secret, call_id.encode(), "sha256").hex()
    return f"clk_{proof[:32]}_{call_id}"


def call_id_of(key: str) -> str | None:
    """Return the id in a key, genuine or not; ``None`` where the text is no call key."""
    match = FORM.fullmatch(key)
    return match["call_id"] if match else None


def is_genuine(key: str, api_secret: str, previous: str | None = None) -> bool:
    """Whether the key was made with ``api_secret`` or with the ``previous`` one."""
    call_id = call_id_of(key)
    return call_id is not None and any(
        constant_time.equal(key, key_of(secret, call_id))
        for secret in (api_secret, previous)
        if secret is not None
    )
