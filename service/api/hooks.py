"""``/v2/hooks/<provider>/<key>``: webhooks of providers, answered with markup.

``…/gather`` receives the keys of a PIN, ``…/dial`` is called at the end of a transfer, and
``…/status`` receives the status of calls and their streams.

There is no token: the key in the path is the secret. A signature is required too where the
connector has the credentials to check it. A webhook key starts calls. Later requests about a call
contain a key of that call, so that a webhook key can be replaced, or a connector deleted, during
live calls.

A caller waits for every request but the last, so an internal error is not answered with a 500. A
call in progress is put on hold, and a new one hears busy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from service.api.provider_requests import webhook
from service.domain.connectors import Connector
from service.errors import Busy, NotFound, RemoteError, ServiceError, TooMany
from service.providers.base.provider import Markup, Webhook
from service.security.call_keys import call_id_of as call_key_id
from service.security.permissions import Need
from service.telemetry.metrics import UNKNOWN
from service.web.declarations import Reply, needs, refuses, replies, takes_form
from service.web.request_log import elapsed
from service.web.services import public_base, services
from service.web.throttling import count_failure

logger = logging.getLogger(__name__)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

MakeMarkup: TypeAlias = Callable[[], Markup | None] | None

hooks = Blueprint("hooks", __name__, url_prefix="/v2/hooks")

MARKUP = Reply(200, "Markup for the provider.", content_type=Markup.content_type)
NOTED = Reply(204, "Noted.", content_type=None)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Markup of one endpoint ``on_failure`` on our side, and ``in_drain`` before any look-up.

    A status has none: the provider may send it again.
    """

    on_failure: MakeMarkup
    in_drain: MakeMarkup = None


FALLBACKS: dict[str, Fallback] = {}
"""Fallbacks by endpoint."""


def falls_back(fallback: Fallback) -> Callable[[F], F]:
    """Declare the fallback of a handler. Its endpoint is named after it."""

    def decorate(handler: F) -> F:
        FALLBACKS[f"{hooks.name}.{handler.__name__}"] = fallback
        return handler

    return decorate


def hold() -> Markup | None:
    """Return a hold for a call in progress; ``None`` where the address has no call key."""
    path = request.view_args or {}
    return services().holds.markup(path["provider"], path["key"], _hook(), public_base())


def hold_or_busy() -> Markup | None:
    return hold() or _busy()


def hold_after_dial_or_busy() -> Markup | None:
    path, holds = request.view_args or {}, services().holds
    return holds.after_dial(path["provider"], path["key"], _hook(), public_base()) or _busy()


@replies(Reply(403, "The signature is missing, stale or wrong.", content_type=None))
@refuses(TooMany)
def require_signature() -> Response | None:
    """Store the connector and its provider's request in ``flask.g``.

    Raises ``NotFound`` for an unknown key, ``TooMany`` or ``BadSignature``.
    """
    serving = services().serving
    if serving.is_draining and serving.refusal is not None:
        # A look-up may take too long: the next process answers.
        make = _fallback().in_drain
        if make is not None and (markup := make()) is not None:
            return _respond(markup)
    return _or_fallback(_recognise)


@hooks.route("/<id:provider>/<id:key>", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
@falls_back(Fallback(hold_or_busy, in_drain=hold))
def answer(provider: str, key: str) -> Response:
    """Answer a new call, or a call whose media socket has ended, with markup."""
    return _answered(services().inbound.answer)


@hooks.route("/<id:provider>/<id:key>/gather", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
@falls_back(Fallback(hold_or_busy))
def gather(provider: str, key: str) -> Response:
    """Answer the keys of a caller with markup."""
    return _answered(services().inbound.gather)


@hooks.route("/<id:provider>/<id:key>/dial", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
@falls_back(Fallback(hold_after_dial_or_busy))
def dialled(provider: str, key: str) -> Response:
    """Answer the end of a transfer with markup."""
    return _answered(services().callbacks.dialled)


@hooks.route("/<id:provider>/<id:key>/status", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(NOTED)
@refuses(RemoteError, Busy)
@takes_form
@falls_back(Fallback(None))
def status(provider: str, key: str) -> Response:
    """Receive the status of a call or its stream."""
    return _or_fallback(_note)


@hooks.after_request
def count(response: Response) -> Response:
    """Record how long the provider has waited for the answer."""
    if response.status_code >= 500 or g.get("has_failed"):
        outcome = "failed"
    else:
        outcome = "refused" if response.status_code >= 400 else "answered"
    connector: Connector | None = g.get("connector")
    provider = connector.provider if connector else UNKNOWN
    services().metrics.webhook_answered(provider, outcome, elapsed())
    return response


def _note() -> Response:
    services().callbacks.status(g.connector, g.hook, _call_id())
    return Response(status=NOTED.status)


def _answered(work: Callable[[Connector, Webhook, str, str | None], Markup]) -> Response:
    return _or_fallback(lambda: _respond(work(g.connector, g.hook, public_base(), _call_id())))


def _call_id() -> str | None:
    """Return the id of the call whose key is in the address."""
    return call_key_id((request.view_args or {})["key"])


def _hook() -> Webhook:
    hook: Webhook = g.get("hook") or webhook()
    return hook


def _fallback() -> Fallback:
    return FALLBACKS[request.endpoint or ""]


def _recognise() -> None:
    path = request.view_args or {}
    # The key is checked before the body is read: a slow body of an unknown client costs no thread.
    try:
        g.connector = services().connector_lookup.find(path["provider"], path["key"])
    except NotFound as error:
        raise count_failure(error) from None
    g.hook = webhook()
    services().signatures.check(g.connector, g.hook)


def _or_fallback(work: Callable[[], T]) -> T | Response:
    """Return the result of ``work``, or the fallback's markup where it fails on our side."""
    try:
        return work()
    except Exception as error:
        make = None if _is_refusal(error) else _fallback().on_failure
        markup = None if make is None else make()
        if markup is None:
            raise
        g.has_failed = True
        if isinstance(error, Busy):
            logger.warning("a webhook failed: %s", error.message)
        else:
            logger.exception("a webhook failed")
        return _respond(markup)


def _is_refusal(error: Exception) -> bool:
    """Whether the error is the client's."""
    if isinstance(error, Busy):
        return isinstance(error, TooMany)
    return isinstance(error, ServiceError | HTTPException)


def _busy() -> Markup | None:
    return services().inbound.busy((request.view_args or {})["provider"])


def _respond(markup: Markup) -> Response:
    return Response(markup.text, content_type=Markup.content_type)
