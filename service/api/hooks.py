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
from typing import TypeVar

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

hooks = Blueprint("hooks", __name__, url_prefix="/v2/hooks")

MARKUP = Reply(200, "Markup for the provider.", content_type=Markup.content_type)
NOTED = Reply(204, "Noted.", content_type=None)


@replies(Reply(403, "The signature is missing, stale or wrong.", content_type=None))
@refuses(TooMany)
def require_signature() -> Response | None:
    """Store the connector and its provider's request in ``flask.g``.

    Raises ``NotFound`` for an unknown key, ``TooMany`` or ``BadSignature``.
    """
    if services().serving.is_draining and _endpoint() == answer.__name__:
        # A look-up may take too long: the next process answers.
        markup = _hold()
        if markup is not None:
            return _respond(markup)
    return _sparing(_recognise)


@hooks.route("/<id:provider>/<id:key>", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
def answer(provider: str, key: str) -> Response:
    """Answer a new call, or a call whose media socket has ended, with markup."""
    return _answered(services().inbound.answer)


@hooks.route("/<id:provider>/<id:key>/gather", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
def gather(provider: str, key: str) -> Response:
    """Answer the keys of a caller with markup."""
    return _answered(services().inbound.gather)


@hooks.route("/<id:provider>/<id:key>/dial", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(MARKUP)
@refuses(RemoteError)
@takes_form
def dialled(provider: str, key: str) -> Response:
    """Answer the end of a transfer with markup."""
    return _answered(services().callbacks.dialled)


@hooks.route("/<id:provider>/<id:key>/status", methods=["GET", "POST"])
@needs(Need.OWN_KEY)
@replies(NOTED)
@refuses(RemoteError, Busy)
@takes_form
def status(provider: str, key: str) -> Response:
    """Receive the status of a call or its stream."""
    return _sparing(_note)


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
    return _sparing(lambda: _respond(work(g.connector, g.hook, public_base(), _call_id())))


def _call_id() -> str | None:
    """Return the id of the call whose key is in the address."""
    return call_key_id((request.view_args or {})["key"])


def _endpoint() -> str:
    return (request.endpoint or "").rpartition(".")[2]


def _recognise() -> None:
    path = request.view_args or {}
    # Before the body is read, so that a client without a key cannot make a thread wait for one.
    try:
        g.connector = services().connector_lookup.find(path["provider"], path["key"])
    except NotFound as error:
        raise count_failure(error) from None
    g.hook = webhook()
    services().signatures.check(g.connector, g.hook)


def _sparing(work: Callable[[], T]) -> T | Response:
    """Return the result of ``work``, or hold or busy markup where it fails on our side."""
    try:
        return work()
    except Exception as error:
        busy = None if _is_refusal(error) else _busy()
        if busy is None:
            raise
        g.has_failed = True
        if isinstance(error, Busy):
            logger.warning("a webhook failed: %s", error.message)
        else:
            logger.exception("a webhook failed")
        return _respond(busy)


def _is_refusal(error: Exception) -> bool:
    """Whether the error is the client's."""
    if isinstance(error, Busy):
        return isinstance(error, TooMany)
    return isinstance(error, ServiceError | HTTPException)


def _busy() -> Markup | None:
    """Return markup for the caller; ``None`` for a status, which the provider may send again."""
    if _endpoint() == status.__name__:
        return None
    return _hold() or services().inbound.busy((request.view_args or {})["provider"])


def _hold() -> Markup | None:
    """Return a hold for a call in progress; ``None`` where the address has no call key."""
    path, holds = request.view_args or {}, services().holds
    hold = holds.after_dial if _endpoint() == dialled.__name__ else holds.markup
    return hold(path["provider"], path["key"], g.get("hook") or webhook(), public_base())


def _respond(markup: Markup) -> Response:
    return Response(markup.text, content_type=Markup.content_type)
