"""``/v2/hooks/<provider>/<webhook key>``: what providers ask and tell, answered with markup if any.

No token: the key in the path is the secret. A caller is waiting behind every request here, so a
failure of ours is answered with the provider's busy markup and not with a 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import cast

import orjson
from flask import Blueprint, Response, current_app, request

from service.api.requests import public_base, reading
from service.api.trace import request_id
from service.callbacks import Callbacks
from service.errors import RemoteError, ServiceError
from service.model import Connector
from service.providers.base import Markup, Webhook
from service.reception import Reception

logger = logging.getLogger(__name__)

hooks = Blueprint("hooks", __name__, url_prefix="/v2/hooks")


@hooks.route("/<id:provider>/<id:key>", methods=["GET", "POST"])
def answer(provider: str, key: str) -> Response:
    """The voice webhook: what is to happen to a call."""
    return _markup(provider, key, reception().answer)


@hooks.route("/<id:provider>/<id:key>/dial", methods=["GET", "POST"])
def dialled(provider: str, key: str) -> Response:
    """What is to happen to a call whose transfer has ended."""
    return _markup(provider, key, callbacks().dialled)


@hooks.route("/<id:provider>/<id:key>/status", methods=["GET", "POST"])
def status(provider: str, key: str) -> Response:
    """How a call or its stream fares."""
    callbacks().status(*_received(provider, key))
    return Response(status=204)


def reception() -> Reception:
    return cast("Reception", current_app.extensions["reception"])


def callbacks() -> Callbacks:
    return cast("Callbacks", current_app.extensions["callbacks"])


def _received(provider: str, key: str) -> tuple[Connector, Webhook]:
    """The connector of a hook and what was sent to it: every hook comes in through here."""
    # Before the body is read: nobody without a key can make a thread wait for one.
    connector = reception().recognise(provider, key)
    with reading():
        query = tuple(request.args.items(multi=True))
        pairs = (*query, *request.form.items(multi=True))
        if request.is_json:
            pairs += tuple(_flat(request.get_data(cache=False)))
    return connector, Webhook(pairs, query)


def _flat(raw: bytes) -> Iterator[tuple[str, str]]:
    """The members of a JSON object that are text or numbers: Plivo may post one for a form."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise RemoteError("The body is not JSON.") from None
    for name, value in found.items() if isinstance(found, dict) else ():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield name, str(value)


def _markup(
    provider: str, key: str, decide: Callable[[Connector, Webhook, str], Markup]
) -> Response:
    try:
        connector, hook = _received(provider, key)
        markup = decide(connector, hook, public_base())
    except ServiceError:
        raise
    except Exception:
        logger.exception("a webhook failed", extra={"request_id": request_id()})
        busy = reception().busy(provider)
        if busy is None:
            raise
        markup = busy
    response = Response(markup.text, content_type=Markup.content_type)
    # Each answer holds a reference of its own, and Twilio honours caching headers.
    response.headers["Cache-Control"] = "no-store"
    return response
