"""``/v2/public``: public keys that verify webhooks."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from service.api.schemas.public_keys import KeyFilter, PublicKeysData
from service.security.key_pairs import KeyFormat, PublicKeys
from service.security.permissions import Need
from service.web.declarations import needs
from service.web.responses import answer
from service.web.services import services
from service.web.validation import query

keys = Blueprint("keys", __name__, url_prefix="/v2/public")


@keys.get("/rsa-public-key")
@needs(Need.NOTHING)
@answer(PublicKeysData(), in_data=False)
@query(KeyFilter())
def get(wanted: dict[str, Any]) -> PublicKeys:
    """Read the public key in PEM, and the keys that it replaced within the last day."""
    stored = services().stores.signing_keys
    return stored.published().written(wanted.get("form", KeyFormat.PKCS1))
