"""The credentials of a connector as they are sent: the fields that its provider declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from service.providers import load
from service.providers.base.provider import Provider
from service.providers.base.signatures import Credential
from service.web.schemas.fields import OBJECT_ERRORS

MAX_VALUES = 2
"""The current one, and the one before or after it."""


class Credentials(fields.Dict):
    """An object whose members depend on the provider: ``read`` knows them."""

    default_error_messages = OBJECT_ERRORS

    def openapi(self) -> dict[str, Any]:
        names = {each.name for provider in load().values() for each in provider.credentials}
        return {"propertyNames": {"enum": sorted(names)}}


class Values(fields.Field[Any]):
    """One value of a credential, or a list of two; ``null`` removes it. No error quotes a value."""

    def __init__(self, credential: Credential) -> None:
        super().__init__(allow_none=True)
        self._credential = credential

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= MAX_VALUES or not all(isinstance(each, str) for each in values):
            raise ValidationError(f"must be a string, or a list of at most {MAX_VALUES}")
        # Whoever pastes a secret may paste the end of its line too.
        stripped = tuple(dict.fromkeys(each.strip() for each in values))
        if not all(self._credential.shape.fullmatch(each) for each in stripped):
            raise ValidationError(self._credential.expected)
        return stripped


def read(provider: Provider, sent: Mapping[str, Any]) -> Mapping[str, tuple[str, ...] | None]:
    """What is to be stored of each name. Raises ``ValidationError``."""
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
