"""Every failure as one JSON shape: ``{"message": "<sentence>", "statusCode": <int>}``.

``errors`` is added where single fields are invalid: it maps a field's name to a list of sentences.
``message`` is always a string, because VideoSDK's clients read one. Only an invalid signature is
answered with an empty body, so that an attacker learns nothing. The log has the sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import WebsocketMismatch

from service.errors import BadSignature, Busy, Invalid, ServiceError
from service.web.responses import respond

logger = logging.getLogger(__name__)

SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not answer to that method.",
}


def register(app: Flask) -> None:
    app.register_error_handler(ServiceError, _refused)
    app.register_error_handler(BadSignature, _unsigned)
    app.register_error_handler(ValidationError, _malformed)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(WebsocketMismatch, _other_protocol)
    app.register_error_handler(HTTPException, _not_served)
    app.register_error_handler(Exception, _broken)


def _refused(error: ServiceError) -> Response:
    _log(error)
    response = _problem(error.status, error.message, error.errors)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _unsigned(error: BadSignature) -> Response:
    _log(error)
    response = Response(status=error.status)
    del response.headers["Content-Type"]
    return response


def _log(error: ServiceError) -> None:
    # The health page limits the lines of one template: each class has its own.
    logger.log(error.log_level, f"{type(error).__name__}: %s", error.message)


def _malformed(error: ValidationError) -> Response:
    errors: dict[str, list[str]] = {}
    for name, predicate in _complaints(error.messages):
        errors.setdefault(name, []).append(f"{name} {predicate}.")
    first = next(iter(errors.values()))[0]
    return _refused(Invalid(first, errors=errors))


def _complaints(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Flatten marshmallow's nested messages to pairs of a dotted name and a predicate."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            step = "" if key == "_schema" else str(key)
            yield from _complaints(below, ".".join(filter(None, (path, step))))
    else:
        for text in messages:
            yield path or "Request body", text


def _too_large(error: RequestEntityTooLarge) -> Response:
    # 400 and not 413: VideoSDK's SDK has an error class for the first and none for the second.
    limit = request.max_content_length or 0
    return _refused(Invalid(f"Request body is larger than {limit // 1024} KB."))


def _other_protocol(error: WebsocketMismatch) -> Response:
    return _refused(Invalid("This address is for WebSocket handshakes only, or not for them."))


def _not_served(error: HTTPException) -> Response:
    status = error.code or 500
    response = _problem(status, SENTENCES.get(status, f"{error.name}."))
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _broken(error: Exception) -> Response:
    logger.error("unhandled %s", type(error).__name__, exc_info=error)
    return _problem(500, "Something went wrong on our side.")


def _problem(status: int, message: str, errors: Mapping[str, object] | None = None) -> Response:
    document: dict[str, object] = {"message": message, "statusCode": status}
    if errors:
        document["errors"] = errors
    return respond(document, status)
