"""``/v2/hooks/<provider>/<webhook key>``: the providers' voice webhooks, answered with markup.

``…/gather`` is where the keys go that callers press when they are asked for a PIN.

No token: the key in the path is the secret. A caller is waiting behind every request here, so a
failure of ours is answered with the provider's busy markup and not with a 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from flask import Blueprint, Response, current_app, request

from service.api.requests import public_base, reading
from service.api.trace import request_id
from service.errors import ServiceError
from service.model import Connector
from service.providers.base import Markup, Webhook
from service.reception import Reception

logger = logging.getLogger(__name__)

hooks = Blueprint("hooks", __name__, url_prefix="/v2/hooks")


Answer = Callable[[Connector, Webhook, str], Markup]


@hooks.route("/<id:provider>/<id:key>", methods=["GET", "POST"])
def answer(provider: str, key: str) -> Response:
    return _answered(provider, key, reception().answer)


@hooks.route("/<id:provider>/<id:key>/gather", methods=["GET", "POST"])
def gather(provider: str, key: str) -> Response:
    return _answered(provider, key, reception().gather)


def reception() -> Reception:
    return cast("Reception", current_app.extensions["reception"])


def _answered(provider: str, key: str, answer: Answer) -> Response:
    """The one way in for all webhooks of a connector, whatever they are answered with."""
    try:
        # Before the body is read: nobody without a key can make a thread wait for one.
        connector = reception().recognise(provider, key)
        with reading():
            params = (*request.args.items(multi=True), *request.form.items(multi=True))
        markup = answer(connector, Webhook(params), public_base())
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
