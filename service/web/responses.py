"""Answers as JSON: VideoSDK's envelope around the result of a handler.

The members have the order of the documented samples: ``message``, ``statusCode``, ``pageInfo``,
``data``. Our own ``warnings`` follow where there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import orjson
from flask import Response, current_app, g
from flask.json.provider import JSONProvider
from marshmallow import Schema

from service.domain.paging import Page
from service.web.declarations import JSON, Envelope, declare
from service.web.schemas.fields import PageInfo

P = ParamSpec("P")

_page_info = PageInfo()


class OrjsonProvider(JSONProvider):
    """Flask's JSON through orjson: compact UTF-8, members in their original order."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def answer(
    schema: Schema | None,
    *,
    status: int = 200,
    message: str | None = None,
    status_code: bool = False,
    in_data: bool = True,
    single: bool = False,
) -> Callable[[Callable[P, object]], Callable[P, Response]]:
    """Answer with the handler's result, dumped by ``schema`` into the member ``data``.

    A ``Page`` or a tuple is dumped item by item. With ``single``, the one item of a page is the
    ``data`` itself. Without ``in_data`` the members of the result are at the top of the document,
    beside ``message`` and ``warnings``. Without a schema there is no ``data``; without both, the
    document is the message as a JSON string. ``status_code`` repeats the status in the body, as
    VideoSDK does in its calls API only.
    """

    def decorate(handler: Callable[P, object]) -> Callable[P, Response]:
        @wraps(handler)
        def answered(*args: P.args, **kwargs: P.kwargs) -> Response:
            result = handler(*args, **kwargs)
            if not in_data and schema is None:
                return respond(message, status)
            document: dict[str, Any] = {}
            if message is not None:
                document["message"] = message
            if status_code:
                document["statusCode"] = status
            if isinstance(result, Page):
                document["pageInfo"] = _page_info.dump(result)
                result = result.items[0] if single else result.items
            if schema is not None:
                dumped = schema.dump(result, many=isinstance(result, tuple))
                document.update({"data": dumped} if in_data else dumped)
            if warnings := g.get("warnings"):
                document["warnings"] = warnings
            return respond(document, status)

        return declare(
            answered,
            envelope=Envelope(schema, status, message, status_code, in_data=in_data, single=single),
        )

    return decorate


def respond(document: object, status: int) -> Response:
    """Return ``document`` as a JSON answer."""
    return Response(current_app.json.dumps(document), status=status, mimetype=JSON)
