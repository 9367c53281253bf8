"""``/v2/public``: what webhooks can be verified with, for anybody."""

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
@answer(PublicKeysData(), envelope=False)
@query(KeyFilter())
def get(wanted: dict[str, Any]) -> PublicKeys:
    """The public key, in PEM, and those that were in its place until a day ago."""
    stored = services().stores.signing_keys
    return stored.published().written(wanted.get("form", KeyFormat.PKCS1))
