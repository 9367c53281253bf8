"""Conversion of marshmallow schemas to schemas of the OpenAPI document, through apispec.

A marshmallow schema describes a request completely, but only the names and types of an answer.
Every member of an answer is required, unless its field is marked ``optional``. The annotations of
the class that is dumped tell which members may be null.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from service.web.schemas.fields import Request


@dataclass(frozen=True, slots=True)
class Hint:
    """A type annotation: a class or generic, and whether it may be ``None``."""

    annotation: Any
    nullable: bool = False

    @classmethod
    def of(cls, annotation: Any) -> Hint:
        if get_origin(annotation) not in (Union, UnionType):
            return cls(annotation)
        members = [member for member in get_args(annotation) if member is not NoneType]
        nullable = len(members) < len(get_args(annotation))
        return cls(members[0] if len(members) == 1 else Any, nullable)

    def attribute(self, name: str) -> Hint:
        """Return the annotation of an attribute or a property, or ``Any``."""
        found = getattr(self.annotation, name, None)
        if isinstance(found, property) and found.fget:
            return Hint.of(get_type_hints(found.fget).get("return", Any))
        if isinstance(self.annotation, type):
            return Hint.of(get_type_hints(self.annotation).get(name, Any))
        return ANYTHING

    def items(self) -> Hint:
        """Return the annotation of the items of a tuple or list."""
        members = get_args(self.annotation)
        return Hint.of(members[0]) if members else ANYTHING


ANYTHING = Hint(Any)


JSON_TYPES = {bool: "boolean", int: "integer", str: "string"}


def constant(value: object) -> dict[str, Any]:
    """Return the schema of one constant.

    A member that is always null is described as text that may be null, because client generators
    have no type for null alone.
    """
    if value is None:
        return {"type": ["string", "null"]}
    return {"type": JSON_TYPES[type(value)], "const": value}


class Converter(OpenAPIConverter):
    """Convert schemas with the annotations of the classes that they dump."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dumped: dict[type[Schema], Hint] = {}

    def refer(self, schema: Schema, annotation: Any = Any) -> dict[str, Any]:
        """Return a reference to ``schema``. For an answer, ``annotation`` is the dumped type."""
        self._remember(schema, Hint.of(annotation))
        # apispec leaves these two methods untyped.
        resolve: Callable[[Schema], dict[str, Any]] = self.resolve_nested_schema
        return resolve(schema)

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        convert: Callable[[Schema], dict[str, Any]] = super().schema2jsonschema
        shape = convert(schema)
        if isinstance(schema, Request):
            if schema.changes:
                shape["minProperties"] = 1
            if schema.either is not None:
                shape |= _one_of_two(*schema.either)
        else:
            shape["required"] = [
                field.data_key or name
                for name, field in schema.dump_fields.items()
                if not field.metadata.get("optional")
            ]
        return shape

    def field2property(self, field: fields.Field[Any]) -> dict[str, Any]:
        if isinstance(field, fields.Constant):
            return constant(field.constant)
        hint = self._hint(field)
        nullable = hint.nullable or field.dump_default is None
        if nullable and not field.metadata.get("optional"):
            field = copy.copy(field)
            field.allow_none = True
        if isinstance(field, fields.Nested):
            self._remember(field.schema, hint)
        elif isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            self._remember(field.inner.schema, hint.items())
        shape: dict[str, Any] = super().field2property(field)
        if type(field) is fields.String and _is_enum(hint.annotation):
            shape["enum"] = [member.value for member in hint.annotation]
            if nullable:
                shape["enum"].append(None)
        elif isinstance(field, fields.Enum) and issubclass(field.enum, str):
            shape["type"] = "string"
        if "pattern" in shape:
            shape["pattern"] = shape["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
        more: dict[str, Any] = getattr(field, "openapi", dict)()
        return {**more, **shape}

    def _remember(self, schema: Schema, hint: Hint) -> None:
        self._dumped.setdefault(type(schema), hint)

    def _hint(self, field: fields.Field[Any]) -> Hint:
        """Return the annotation of the attribute that ``field`` dumps."""
        hint = ANYTHING
        if isinstance(field.parent, Schema):
            hint = self._dumped.get(type(field.parent), ANYTHING)
        for name in (field.attribute or field.name or "").split("."):
            hint = hint.attribute(name)
        return hint


def _one_of_two(one: str, other: str) -> dict[str, Any]:
    """Describe that at least one of two members is required.

    Client generators make classes without members of ``anyOf``, so it is not used.
    """
    return {
        "description": f"At least one of {one} and {other}.",
        "if": {"properties": {one: {"type": "null"}}},
        "then": {"properties": {other: {"type": "string"}}, "required": [other]},
    }


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, StrEnum)


class Shapes(MarshmallowPlugin):
    Converter = Converter
