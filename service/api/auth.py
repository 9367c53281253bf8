"""Who may come in: one guard per blueprint, declared where it is registered.

A guard leaves the token's ``Grant`` in ``flask.g.grant`` or raises ``Unauthorized`` (no token, or
one that does not hold) or ``Forbidden`` (one that holds and does not reach this far).
"""

from __future__ import annotations

from typing import cast

from flask import g, request
from marshmallow import ValidationError

from service.api.declared import refuses
from service.api.requests import switchboard
from service.api.schemas.fields import IDENTIFIER
from service.errors import Forbidden, Unauthorized
from service.tokens import NOT_VALID, Grant, verify


def require_nothing() -> None:
    """Open to anyone."""


@refuses(Unauthorized, Forbidden)
def require_token() -> None:
    """A token that may use the API, perhaps for one room or one participant only."""
    settings = switchboard().settings
    grant = verify(request.headers.get("Authorization"), settings.api_key, settings.api_secret)
    try:
        for scope in filter(None, (grant.room_id, grant.participant_id)):
            IDENTIFIER(scope)
    except ValidationError:
        raise Unauthorized(NOT_VALID) from None
    g.grant = grant


@refuses(Unauthorized, Forbidden)
def require_account() -> None:
    """A token that is tied to no room and no participant."""
    require_token()
    grant = granted()
    if grant.room_id is not None or grant.participant_id is not None:
        raise Forbidden(
            "This token is tied to one room or participant; connectors need a wider one."
        )


def granted() -> Grant:
    """What the token of this request allows."""
    return cast("Grant", g.grant)


def require_participant(participant_id: str) -> None:
    """Raise ``Forbidden`` where the token is tied to another participant."""
    if granted().participant_id not in (None, participant_id):
        raise Forbidden("This token is only valid for another participant.")
