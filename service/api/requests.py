"""What a handler may ask of the request: the use cases, the public origin, a checked body or query.

Shape is checked here, once, by the schema the handler declares. What a schema does not know is
ignored, as VideoSDK's clients send fields of newer versions, and named in the answer's warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import orjson
from flask import current_app, g, request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from service.api.declared import declare
from service.calls import Switchboard
from service.errors import Invalid, UnsupportedMedia
from service.media.engine import Engine
from service.storage.outbox import Outbox

P = ParamSpec("P")
R = TypeVar("R")

MAX_BODY = 64 * 1024
"""Bytes of the largest request body that is read."""


class Identifier(BaseConverter):
    """An id in a path. What no id of ours can hold (a NUL, for one) is an unknown address."""

    regex = r"[A-Za-z0-9_-]{1,128}"


class Name(BaseConverter):
    """A name that a client chose, in a path: of a room or a participant."""

    regex = r"[^\s\x00-\x1f\x7f-\x9f]{1,128}"
    part_isolating = False


class RoomName(Name):
    """A name of a room at whose end nothing follows: what is below a room's address is no name."""

    regex = rf"(?!.*/webhook/deliveries(?:/|$)){Name.regex}"


def switchboard() -> Switchboard:
    return cast("Switchboard", current_app.extensions["patchbay"])


def engine() -> Engine:
    return cast("Engine", current_app.extensions["engine"])


def outbox() -> Outbox:
    return cast("Outbox", current_app.extensions["outbox"])


def public_base() -> str:
    """Where the world reaches this service, without a trailing slash.

    ``PUBLIC_URL`` where it is set, else what the request itself was sent to. Built from the host
    as it was sent: Flask's own ``root_url`` would print a Punycode name in Unicode, and providers
    want the ASCII form. Raises ``Invalid`` where there is neither.
    """
    configured = switchboard().settings.public_url
    if configured is not None:
        return configured
    if not request.host:  # what Werkzeug makes of a Host header that cannot be one
        raise Invalid("Host header must name the host this request was sent to.")
    return f"{request.scheme}://{request.host}{request.root_path}"


def warn(sentence: str) -> None:
    """Add a sentence to the ``warnings`` of this request's answer."""
    g.setdefault("warnings", []).append(sentence)


def warn_of(fields: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Name what was asked for and is not acted on; ``names`` has its spelling."""
    for name, spelling in names.items():
        if fields.get(name):
            warn(f"{spelling} was accepted but is not acted on.")


@contextmanager
def reading() -> Iterator[None]:
    """Around what reads the request's body.

    Raises ``Invalid`` where the body breaks off or is framed wrongly, for which every server has
    exceptions of its own.
    """
    try:
        yield
    except HTTPException:
        raise
    except Exception as error:
        raise Invalid("Request body cannot be read to its end.") from error


def body(
    schema: Schema, *, limit: int = MAX_BODY
) -> Callable[[Callable[Concatenate[dict[str, Any], P], R]], Callable[P, R]]:
    """Pass the handler the JSON body as ``schema`` loads it, as its first argument.

    No body counts as ``{}``; more than ``limit`` bytes are not read. Raises ``UnsupportedMedia``,
    ``Invalid`` or marshmallow's ``ValidationError``.
    """
    return _checked(schema, lambda: _json(limit), "body", "Field")


def query(
    schema: Schema,
) -> Callable[[Callable[Concatenate[dict[str, Any], P], R]], Callable[P, R]]:
    """Pass the handler the query string as ``schema`` loads it, as its first argument."""
    return _checked(schema, lambda: _query(schema), "query", "Query parameter")


def _checked(
    schema: Schema, read: Callable[[], Any], place: str, noun: str
) -> Callable[[Callable[Concatenate[dict[str, Any], P], R]], Callable[P, R]]:
    def decorate(handler: Callable[Concatenate[dict[str, Any], P], R]) -> Callable[P, R]:
        @wraps(handler)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            raw = read()
            loaded = schema.load(raw)
            for name in _unknown(schema, raw):
                warn(f"{noun} {name[:64]} is not known and was ignored.")
            return handler(loaded, *args, **kwargs)

        return declare(checked, **{place: schema})

    return decorate


def _query(schema: Schema) -> dict[str, Any]:
    """The first of each parameter, or all of one that may have several values."""
    several = {
        field.data_key or name
        for name, field in schema.load_fields.items()
        if isinstance(field, fields.List)
    }
    return {name: values if name in several else values[0] for name, values in request.args.lists()}


def _json(limit: int) -> Any:
    request.max_content_length = limit
    with reading():
        raw = request.get_data(cache=False)
        # Werkzeug cuts a chunked body off at the limit in silence, and complains on reading on.
        request.stream.read(1)
    if not raw.strip():
        return {}
    if request.content_type and not request.is_json:
        raise UnsupportedMedia("Content-Type must be application/json.")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"Request body is not valid JSON: {error}.") from None


def _unknown(schema: Schema, raw: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of what ``raw`` holds and ``schema`` does not."""
    known = {field.data_key or name: field for name, field in schema.load_fields.items()}
    for name, value in raw.items():
        field = known.get(name)
        if field is None:
            yield prefix + name
        elif isinstance(field, fields.Nested) and isinstance(value, dict):
            yield from _unknown(field.schema, value, f"{prefix}{name}.")
