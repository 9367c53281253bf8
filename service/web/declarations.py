"""What the decorators of a handler declare of it, for the OpenAPI document to repeat.

A declaration travels with its function: ``functools.wraps`` hands it on to every wrapper. A guard
can have one as well, which then holds for every handler behind it.
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
    """What ``answer`` puts around the result; its arguments say what the members mean.

    ``bare`` is an object whose members stand beside ``warnings`` and not in ``data``, or nothing
    but the message where there is no schema. ``single`` has the one item of a page as ``data``.
    """

    schema: Schema | None
    status: int = 200
    message: str | None = None
    status_code: bool = False
    bare: bool = False
    single: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that stands outside the envelope, and wins over a refusal of the same status.

    ``schema`` is that of a JSON object, where it has one of its own. ``content_type`` is None
    where there is no body.
    """

    status: int
    meaning: str
    schema: Schema | None = None
    content_type: str | None = JSON


@dataclass(frozen=True, slots=True)
class Declaration:
    """``form`` stands for parameters of no fixed names, in the query of a GET or a posted form."""

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
    """``function`` itself, with the fields of ``changes`` in its declaration."""
    vars(function)["declaration"] = replace(declared(function), **changes)
    return function


def replies(*answers: Reply) -> Callable[[F], F]:
    """Declare the answers of a handler that writes them itself."""

    def decorate(function: F) -> F:
        return declare(function, replies=declared(function).replies + answers)

    return decorate


def needs(need: Need) -> Callable[[F], F]:
    """Declare what a token must allow, which the guard of the blueprint then requires."""
    return lambda function: declare(function, need=need)


def refuses(*errors: type[ServiceError]) -> Callable[[F], F]:
    """Declare refusals that follow neither from the other decorators nor from an id in the path."""

    def decorate(function: F) -> F:
        return declare(function, refusals=declared(function).refusals + errors)

    return decorate


def takes_form(function: F) -> F:
    """Declare that a handler reads whatever parameters a query or a posted form has."""
    return declare(function, form=True)
