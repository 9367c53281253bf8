"""``/v2/hooks/<provider>/<webhook key>``: the providers' voice webhooks, answered with markup.

No token: the key in the path is the secret. A caller is waiting behind every request here, so a
failure of ours is answered with the provider's busy markup and not with a 500.
"""

from __future__ import annotations

import logging
from typing import cast

from flask import Blueprint, Response, current_app, request

from service.api.declared import Reply, refuses, replies, takes_form
from service.api.requests import public_base, reading
from service.api.trace import request_id
from service.errors import RemoteError, ServiceError
from service.providers.base import Markup, Webhook
from service.reception import Reception

logger = logging.getLogger(__name__)

hooks = Blueprint("hooks", __name__, url_prefix="/v2/hooks")


@hooks.route("/<id:provider>/<id:key>", methods=["GET", "POST"])
@replies(Reply(200, "Markup for the provider.", content_type=Markup.content_type))
@refuses(RemoteError)
@takes_form
def answer(provider: str, key: str) -> Response:
    """Tell a provider what to do with a call."""
    try:
        # Before the body is read: nobody without a key can make a thread wait for one.
        connector = reception().recognise(provider, key)
        with reading():
            params = (*request.args.items(multi=True), *request.form.items(multi=True))
        markup = reception().answer(connector, Webhook(params), public_base())
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


def reception() -> Reception:
    return cast("Reception", current_app.extensions["reception"])
