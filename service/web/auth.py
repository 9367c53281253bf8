"""Authentication and permissions: one guard per blueprint, and one declared need per handler.

The cookie of a console session replaces a token of the whole account. A guard stores the rights in
``flask.g.grant`` or raises ``Unauthorized`` (no token, or an invalid one), ``TooMany`` where that
happens too often, or ``Forbidden`` (a valid token without the right).
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from flask import current_app, g, request
from marshmallow import ValidationError

from service.domain.rooms import Room
from service.errors import Forbidden, NotFound, TooMany, Unauthorized
from service.security import console_sessions, permissions
from service.security.access_tokens import NOT_VALID, Grant, verify
from service.security.console_sessions import SignIn
from service.security.permissions import TIED, Need
from service.storage.rooms.rooms import NOT_FOUND
from service.web.declarations import declared, refuses
from service.web.schemas.fields import IDENTIFIER
from service.web.services import services
from service.web.throttling import count_failure

PROOF = "X-Console-Proof"
"""The header with the console's proof against cross-site requests. Pages of other origins do not
know it, and browsers send a pre-flight before such a header."""

HARMLESS = ("GET", "HEAD", "OPTIONS")


def require_nothing() -> None:
    """Let every request pass."""


@refuses(Unauthorized, Forbidden, TooMany)
def require_token() -> None:
    """Require a token that allows what the handler needs.

    The token may be tied to a room or a participant, unless the handler needs the whole account.
    """
    try:
        grant = _grant()
    except Unauthorized as error:
        raise count_failure(error) from None
    if grant.room_id is not None:
        # The token may name the room by its customRoomId.
        room = services().stores.rooms.find(grant.room_id)
        grant = replace(grant, room_id=room.id if room else grant.room_id)
    g.grant = grant
    permissions.require(needed(), grant, tied_may_dial=services().settings.dial_tied_tokens)


def needed() -> Need:
    """Return the need of this request's handler. Raises ``LookupError`` where it has none."""
    view = current_app.view_functions[request.endpoint or ""]
    need = declared(view).need
    if need is None:
        raise LookupError(f"{request.endpoint} does not declare what it needs.")
    return need


@refuses(Unauthorized, Forbidden, TooMany)
def require_room_token() -> None:
    """Require a token that is tied to no participant."""
    require_token()
    require_nobody()


def _grant() -> Grant:
    """Return the rights of this request's token. Raises ``Unauthorized`` or ``Forbidden``."""
    settings = services().settings
    found = None if "Authorization" in request.headers else signed_in()
    if found is not None:
        if request.method not in HARMLESS and not found.is_proved_by(request.headers.get(PROOF)):
            raise Forbidden(f"{PROOF} header is missing or wrong: reload the page.")
        return Grant()
    grant = verify(request.headers.get("Authorization"), settings.api_key, *settings.api_secrets)
    try:
        for scope in filter(None, (grant.room_id, grant.participant_id)):
            IDENTIFIER(scope)
    except ValidationError:
        raise Unauthorized(NOT_VALID) from None
    return grant


def signed_in() -> SignIn | None:
    """Return the console session of the browser that sent this request."""
    cookie = request.cookies.get(console_sessions.COOKIE)
    if not cookie:
        return None
    return console_sessions.read(cookie, services().settings.api_secrets, services().wall.now())


def granted() -> Grant:
    """Return the rights of this request's token."""
    return cast("Grant", g.grant)


def require_participant(participant_id: str) -> None:
    """Raise ``Forbidden`` where the token is tied to another participant."""
    if granted().participant_id not in (None, participant_id):
        raise Forbidden("This token is only valid for another participant.")


def require_nobody() -> None:
    """Raise ``Forbidden`` where the token is tied to a participant."""
    if granted().participant_id is not None:
        raise Forbidden("This token is only valid for one participant and cannot do this.")


def require_untied(what: str) -> None:
    """Raise ``Forbidden`` where the token is tied to a room or a participant."""
    if granted().is_tied:
        raise Forbidden(TIED.format(what))


def known_room(name: str) -> Room | None:
    """Return the room of this name, or ``None``.

    Raises ``Forbidden`` where the token is for another room, whether or not this one exists.
    """
    room = services().stores.rooms.find(name)
    granted().require_room(room.id if room else name)
    return room


def reachable_room(name: str) -> Room:
    """Like ``known_room``. Raises ``NotFound`` where there is none."""
    room = known_room(name)
    if room is None:
        raise NotFound(NOT_FOUND)
    return room
