"""Validation of a request's body or query by the schema that its handler declares.

Unknown fields are ignored, because VideoSDK's clients send fields of newer versions, and named in
the answer's warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
from flask import request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from service.errors import Invalid, UnsupportedMedia
from service.web.declarations import declare
from service.web.warnings import warn

P = ParamSpec("P")
R = TypeVar("R")

MAX_BODY = 64 * 1024
"""Greatest size of a request body in bytes."""


@contextmanager
def reading() -> Iterator[None]:
    """Read the request's body within this block.

    Raises ``Invalid`` where the body breaks off or its framing is wrong. Each server has its own
    exceptions for that.
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
    """Return the first value of each parameter, or all values of a list."""
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
        # Werkzeug truncates a chunked body at the limit silently, and raises on the next read.
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
    """Yield the dotted names in ``raw`` that ``schema`` does not have."""
    known = {field.data_key or name: field for name, field in schema.load_fields.items()}
    for name, value in raw.items():
        field = known.get(name)
        if field is None:
            yield prefix + name
        elif isinstance(field, fields.Nested) and isinstance(value, dict):
            yield from _unknown(field.schema, value, f"{prefix}{name}.")
