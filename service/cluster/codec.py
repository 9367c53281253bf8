"""Conversion of frozen dataclasses to JSON and back. An error names the wrong field.

A document has exactly the fields of its class, with the annotated types. ``bytes`` are written in
base64. ``Any`` is a value that is passed on unchecked.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

PLAIN = (str, int, bool)


class Malformed(Exception):
    """A message that this version does not send. The text is one sentence that names the field."""


def pack(value: Any) -> Any:
    """Return a value in the types of JSON."""
    if is_dataclass(value):
        return {each.name: pack(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, tuple):
        return [pack(each) for each in value]
    if isinstance(value, Mapping):
        return {name: pack(each) for name, each in value.items()}
    return value


def unpack(kind: type[T], document: Any, name: str = "message") -> T:
    """Return the dataclass of ``document``. Raises ``Malformed``."""
    if not isinstance(document, dict):
        raise Malformed(f"{name} must be an object.")
    hints = _hints(kind)
    if document.keys() != hints.keys():
        odd = ", ".join(sorted(document.keys() ^ hints.keys()))
        raise Malformed(f"{name} has other fields than expected: {odd}.")
    return kind(**{field: _value(hints[field], document[field], field) for field in hints})


_hints_of: dict[type[Any], dict[str, Any]] = {}


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Return the types of a dataclass's fields. Reading them takes longer than a message."""
    found = _hints_of.get(kind)
    if found is None:
        hints = get_type_hints(kind)
        found = _hints_of[kind] = {each.name: hints[each.name] for each in fields(kind)}
    return found


def _value(kind: Any, value: Any, name: str) -> Any:
    if kind is Any:
        return value
    if is_dataclass(kind) and isinstance(kind, type):
        return unpack(kind, value, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        [some] = [each for each in inner if each is not NoneType]
        return None if value is None else _value(some, value, name)
    if origin is tuple:
        return _tuple(inner, value, name)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise Malformed(f"{name} must be an object.")
        return {key: _value(inner[1], each, f"{name}.{key}") for key, each in value.items()}
    return _scalar(kind, value, name)


def _tuple(inner: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Malformed(f"{name} must be a list.")
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(kinds) != len(value):
        raise Malformed(f"{name} must have {len(kinds)} values.")
    pairs = zip(kinds, value, strict=True)
    return tuple(_value(each, item, f"{name}[{at}]") for at, (each, item) in enumerate(pairs))


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind in PLAIN and type(value) is kind:
        return value
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is bytes and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except ValueError:
            raise Malformed(f"{name} must be base64.") from None
    if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            raise Malformed(f"{name} must be one of {', '.join(kind)}.") from None
    raise Malformed(f"{name} must be of type {getattr(kind, '__name__', kind)}.")
