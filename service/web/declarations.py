"""Declarations of a handler for the OpenAPI document, made by its decorators.

``functools.wraps`` copies a declaration to every wrapper of its function. The declaration of a
guard holds for every handler behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from marshmallow import Schema

from service.errors import ServiceError
from service.security.permissions import Need

F = TypeVar("F", bound=Callable[..., object])

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The document that ``answer`` makes of a handler's result, by the arguments of ``answer``."""

    schema: Schema | None
    status: int = 200
    message: str | None = None
    status_code: bool = False
    in_data: bool = True
    single: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without the envelope. It replaces a refusal of the same status.

    ``schema`` is for JSON objects that have one. ``content_type`` is ``None`` where there is no
    body.
    """

    status: int
    meaning: str
    schema: Schema | None = None
    content_type: str | None = JSON


@dataclass(frozen=True, slots=True)
class Declaration:
    """The parts of a handler's declaration.

    ``form`` means parameters without fixed names, in the query of a GET or in a posted form.
    """

    body: Schema | None = None
    query: Schema | None = None
    form: bool = False
    envelope: Envelope | None = None
    replies: tuple[Reply, ...] = ()
    refusals: tuple[type[ServiceError], ...] = ()
    need: Need | None = None


def declared(function: Callable[..., object]) -> Declaration:
    return cast("Declaration", vars(function).get("declaration", Declaration()))


def declare(function: F, **changes: Any) -> F:
    """Set the fields of ``changes`` in the declaration of ``function``, and return it."""
    vars(function)["declaration"] = replace(declared(function), **changes)
    return function


def replies(*answers: Reply) -> Callable[[F], F]:
    """Declare the answers that a handler writes itself."""

    def decorate(function: F) -> F:
        return declare(function, replies=declared(function).replies + answers)

    return decorate


def needs(need: Need) -> Callable[[F], F]:
    """Declare the need of a handler. The guard of its blueprint requires it."""
    return lambda function: declare(function, need=need)


def refuses(*errors: type[ServiceError]) -> Callable[[F], F]:
    """Declare refusals that follow neither from other decorators nor from an id in the path."""

    def decorate(function: F) -> F:
        return declare(function, refusals=declared(function).refusals + errors)

    return decorate


def takes_form(function: F) -> F:
    """Declare that a handler reads parameters of any name, from a query or a posted form."""
    return declare(function, form=True)
