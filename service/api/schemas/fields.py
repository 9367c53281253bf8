"""The fields that schemas are made of, and what is allowed in them.

Shape only: no database, no current user. Error texts are predicates without a subject, since
``errors`` puts the field's name in front: "roomId" + "is required".
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import current_app
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from service.providers.numbers import e164, is_international
from service.times import iso

MAX_METADATA = 8 * 1024
MAX_METADATA_DEPTH = 16
"""Far below the recursion limit of every JSON encoder the metadata will pass through."""

MAX_NUMBER = 2**63
"""Beyond 64 bits a JSON number would come back as another one."""

PLAIN = validate.Regexp(r"\A[^\x00-\x1f\x7f-\x9f]*\Z", error="must not contain control characters")
IDENTIFIER = validate.Regexp(
    r"\A[^\s\x00-\x1f\x7f-\x9f]{1,128}\Z",
    error="must be 1 to 128 characters without white space or control characters",
)

TEXT_ERRORS: dict[str, Any] = {
    "required": "is required",
    "null": "must not be null",
    "invalid": "must be a string",
}
OBJECT_ERRORS: dict[str, Any] = {
    "type": "must be a JSON object",
    "invalid": "must be a JSON object",
}


def at_most(length: int) -> list[validate.Validator]:
    return [
        validate.Length(max=length, error=f"must be at most {length} characters long"),
        PLAIN,
    ]


def storable(metadata: object) -> None:
    """Refuse what cannot be stored and repeated exactly: too deep, too big, beyond 64 bits."""
    layer = [metadata]
    for _ in range(MAX_METADATA_DEPTH + 1):
        if any(isinstance(item, int | float) and abs(item) >= MAX_NUMBER for item in layer):
            raise ValidationError("must not contain numbers beyond 64 bits")
        layer = [child for item in layer for child in _children(item)]
        if not layer:
            break
    else:
        raise ValidationError(f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    if len(orjson.dumps(metadata)) > MAX_METADATA:
        raise ValidationError("must be at most 8 KB of JSON")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


class Text(fields.String):
    default_error_messages = TEXT_ERRORS


class Whole(fields.Integer):
    """A whole number in a query string, in plain digits only."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        # int() would also take "1_000", " 7 " and digits of other scripts.
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise ValidationError("must be a whole number from 1")
        return int(value)


class EpochMillis(fields.Integer):
    """A moment in a query string: milliseconds since the epoch."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            raise ValidationError("must be milliseconds since the epoch")
        return int(value)


class Seconds(fields.Integer):
    """A JSON number of whole seconds within bounds."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not self.low <= value <= self.high:
            raise ValidationError(f"must be a whole number from {self.low} to {self.high}")
        return int(value)


class Switch(fields.Boolean):
    """``true`` or ``false`` and nothing that merely looks like it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class PhoneNumber(Text):
    """An international number, loaded as E.164."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        if not is_international(text):
            raise ValidationError("must be a phone number in E.164, such as +14155550100")
        return e164(text)


class ProviderName(Text):
    """One of the providers this service speaks, which is one sentence whatever is wrong."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        offered: tuple[str, ...] = current_app.config["PROVIDERS"]
        if value not in offered:
            raise ValidationError(f"must be one of {', '.join(offered)}")
        return str(value)


class Metadata(fields.Dict):
    default_error_messages = OBJECT_ERRORS


class Instant(fields.String):
    """Epoch milliseconds, written as ISO 8601."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else iso(value)


class Request(Schema):
    class Meta:
        unknown = EXCLUDE

    error_messages = OBJECT_ERRORS


class ParticipantFields(Request):
    """A ``null`` is as good as nothing: browsers send it for what the form left empty."""

    id = Text(allow_none=True, validate=IDENTIFIER)
    name = Text(allow_none=True, validate=at_most(128))
    metadata = Metadata(allow_none=True, validate=storable)


class PageInfo(Schema):
    """Numbers, never text: the SDK replaces anything else by its defaults."""

    number = fields.Integer(data_key="currentPage")
    per_page = fields.Integer(data_key="perPage")
    last = fields.Integer(data_key="lastPage")
    total = fields.Integer()
