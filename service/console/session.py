"""Sign-in to the console, and sign-out."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Response, request

from service import __version__
from service.clock import Millis
from service.console.schemas import SignInCredentials
from service.domain import ids
from service.domain.origins import origin
from service.errors import Forbidden, Unauthorized
from service.security import access_tokens, console_sessions, constant_time
from service.security.console_sessions import COOKIE, SignIn
from service.security.permissions import TIED, Need, require
from service.web.auth import signed_in
from service.web.declarations import needs
from service.web.responses import respond
from service.web.services import services
from service.web.throttling import count_failure
from service.web.validation import body

session = Blueprint("console_session", __name__, url_prefix="/console/api/session")


@session.post("")
@needs(Need.NOTHING)
@body(SignInCredentials())
def enter(fields: dict[str, Any]) -> Response:
    """Sign in with a token, with the API key and secret, or with a link."""
    try:
        expires_at = _check(fields)
    except Unauthorized as error:
        raise count_failure(error) from None
    settings, now = services().settings, services().wall.now()
    seconds = console_sessions.seconds_until(expires_at, now)
    value = console_sessions.issue(settings.api_secret, now, seconds)
    response = _describe(cast("SignIn", console_sessions.read(value, settings.api_secrets, now)))
    response.set_cookie(
        COOKIE,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.is_secure or _is_public_over_https(),
    )
    return response


@session.get("")
@needs(Need.NOTHING)
def get() -> Response:
    """Return the current session. Pages of other origins cannot read the response."""
    found = signed_in()
    if found is None:
        raise Unauthorized("You are not signed in.")
    return _describe(found)


@session.delete("")
@needs(Need.NOTHING)
def leave() -> Response:
    """Sign out in this browser."""
    response = respond({"message": "Signed out."}, 200)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return response


def _describe(found: SignIn) -> Response:
    data = {
        "proof": found.proof,
        "version": __version__,
        "testCalls": services().settings.test_calls,
        "severalMachines": services().directory.is_shared,
    }
    return respond({"data": data}, 200)


def _check(fields: dict[str, Any]) -> Millis | None:
    """Check credentials, and return when they expire, if they do.

    Raises ``Unauthorized`` or ``Forbidden``.
    """
    settings = services().settings
    if "link" in fields:
        links = services().stores.sign_in_links
        if not links.use(ids.digest(fields["link"]), services().wall.now()):
            raise Unauthorized("This sign-in link was used already, or has expired.")
    elif "token" in fields:
        grant = access_tokens.verify(fields["token"], settings.api_key, *settings.api_secrets)
        if grant.is_tied:
            raise Forbidden(TIED.format("the console needs"))
        require(Need.ACCOUNT, grant)
        return grant.expires_at
    elif not all(
        [
            constant_time.equal(fields["api_key"], settings.api_key),
            constant_time.equal(fields["api_secret"], settings.api_secret),
        ]
    ):
        raise Unauthorized("That is not the API key and secret of this server.")
    return None


def _is_public_over_https() -> bool:
    """Return whether the request came to a public https origin, even through an untrusted proxy."""
    public = origin(services().settings.public_url or "")
    # The raw header, because Werkzeug does not accept host names with an underscore.
    return public is not None and public == origin(f"https://{request.headers.get('Host', '')}")
