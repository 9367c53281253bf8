"""Ids, and secrets in URLs. All randomness comes from ``secrets``."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import uuid

REF_SECONDS = 90
"""Seconds for which a reference in a media URL is valid."""

LOWER = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits


def _random(alphabet: str, length: int) -> str:
    """Return uniformly distributed characters with one request to the system's generator."""
    base = len(alphabet)
    number = secrets.randbelow(base**length)
    characters = []
    for _ in range(length):
        number, place = divmod(number, base)
        characters.append(alphabet[place])
    return "".join(characters)


def new_connector_id() -> str:
    return "cn_" + _random(LOWER, 16)


def new_webhook_key() -> str:
    return "whk_" + _random(ALNUM, 32)


def new_subscription_id() -> str:
    return "wh_" + _random(LOWER, 16)


def new_ref() -> str:
    """A provider's media reference. Alphanumeric only: Plivo's extraHeaders allow nothing else."""
    return _random(ALNUM, 32)


def new_ingest_ref() -> str:
    return "vs_" + _random(LOWER, 20)


def new_participant_id() -> str:
    return _random(LOWER, 8)


def new_room_id() -> str:
    return "-".join(_random(LOWER, 4) for _ in range(3))


def new_object_id() -> str:
    """Return 24 hexadecimal digits, as VideoSDK's sessions and rooms have."""
    return secrets.token_hex(12)


def new_rule_id() -> str:
    return "rr_" + _random(LOWER, 16)


def new_delivery_id() -> str:
    return "dl_" + _random(LOWER, 16)


def new_agent_id() -> str:
    return "agent_" + _random(LOWER, 16)


def new_dispatch_id() -> str:
    return "dispatch_" + _random(LOWER, 16)


def new_node_id() -> str:
    return "nd_" + _random(LOWER, 16)


def new_recording_id() -> str:
    return "-".join(_random(LOWER, 4) for _ in range(5))


def new_spool_id() -> str:
    return "sp_" + _random(LOWER, 16)


def new_simulated_call_id() -> str:
    return "trial_" + _random(LOWER, 16)


def new_session_id() -> str:
    return new_object_id()


def new_call_id() -> str:
    return str(uuid.uuid4())


def new_leg_id() -> str:
    return secrets.token_hex(8)


def account_id(api_key: str) -> str:
    """Return VideoSDK's userId: 24 hexadecimal digits that do not reveal the key."""
    return hashlib.sha256(b"account " + api_key.encode()).hexdigest()[:24]


def digest(secret: str) -> str:
    """Return the digest that is stored of a secret, so that a copy of the database is of no use."""
    return hashlib.sha256(secret.encode()).hexdigest()


def pseudonym(secret: str, text: str) -> str:
    """Return a stable name for ``text`` that does not reveal it without the secret."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:24]
