"""Fields for a connector's credentials, as its provider declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from service.providers import load
from service.providers.base.provider import Provider
from service.providers.base.signatures import Credential
from service.web.schemas.fields import OBJECT_ERRORS

MAX_VALUES = 2
"""Values of a credential: the current one and, during a change, another one."""


class Credentials(fields.Dict):
    """An object whose members depend on the provider. ``read`` validates them."""

    default_error_messages = OBJECT_ERRORS

    def openapi(self) -> dict[str, Any]:
        names = {each.name for provider in load().values() for each in provider.credentials}
        return {"propertyNames": {"enum": sorted(names)}}


class Values(fields.Field[Any]):
    """One value of a credential or a list of two; ``null`` removes it. Errors quote no value."""

    def __init__(self, credential: Credential) -> None:
        super().__init__(allow_none=True)
        self._credential = credential

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= MAX_VALUES or not all(isinstance(each, str) for each in values):
            raise ValidationError(f"must be a string, or a list of at most {MAX_VALUES}")
        # A pasted secret may contain the end of its line.
        stripped = tuple(dict.fromkeys(each.strip() for each in values))
        if not all(self._credential.shape.fullmatch(each) for each in stripped):
            raise ValidationError(self._credential.expected)
        return stripped


def read(provider: Provider, sent: Mapping[str, Any]) -> Mapping[str, tuple[str, ...] | None]:
    """Return the values to store by name. Raises ``ValidationError``."""
    offered = {each.name: Values(each) for each in provider.credentials}
    unknown = [name for name in sent if name not in offered]
    if unknown:
        predicate = f"is not one of {', '.join(offered)}"
        raise ValidationError({"credentials": {name[:64]: [predicate] for name in unknown}})
    try:
        loaded: dict[str, Any] = Schema.from_dict(dict(offered))().load(sent)
    except ValidationError as error:
        raise ValidationError({"credentials": error.messages}) from None
    return loaded
