"""Marshmallow fields that schemas share, with their validation.

They check the shape only, without database or current user. Error texts are predicates without a
subject, because ``errors`` puts the field's name in front: "roomId" + "is required". The method
``openapi`` of a field adds to the OpenAPI document what its class and validators do not express.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

import orjson
from flask import current_app
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_dump, validate

from service.clock import iso
from service.domain.ids import account_id
from service.domain.rooms import is_addressable, is_addressable_participant
from service.web.services import public_base, services

MAX_METADATA = 8 * 1024
MAX_METADATA_DEPTH = 16
"""Far below the recursion limit of every JSON encoder that writes metadata."""

DAY = 86_400_000

MAX_MOMENT = 253_402_300_799_999

MAX_NUMBER = 2**63
"""Numbers beyond 64 bits change in a round trip through JSON."""

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
LIST_ERRORS: dict[str, Any] = {
    "required": "is required",
    "null": "must not be null",
    "invalid": "must be an array",
}
COUNT_ERRORS: dict[str, Any] = {"null": "must not be null", "invalid": "must be a whole number"}
OBJECT_ERRORS: dict[str, Any] = {
    "null": "must not be null",
    "type": "must be a JSON object",
    "invalid": "must be a JSON object",
}


def at_most(length: int) -> list[validate.Validator]:
    return [validate.Length(max=length, error=f"must be at most {length} characters long"), PLAIN]


def storable(metadata: object) -> None:
    """Refuse metadata that cannot be returned exactly: too deep, too big, beyond 64 bits."""
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
        # int() accepts "1_000", " 7 " and digits of other scripts too.
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise ValidationError("must be a whole number from 1")
        return int(value)

    def openapi(self) -> dict[str, Any]:
        return {"minimum": 0, "maximum": 10**9 - 1}


class Count(fields.Integer):
    """A whole number in a JSON body: neither text nor a truth value nor a fraction."""

    default_error_messages = COUNT_ERRORS

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Moment(fields.Integer):
    """Epoch milliseconds in a query string, until the year 9999."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            raise ValidationError("must be a time in milliseconds since 1970")
        if int(value) > MAX_MOMENT:
            raise ValidationError("must be a time before the year 10000")
        return int(value)

    def openapi(self) -> dict[str, Any]:
        return {"minimum": 0, "maximum": MAX_MOMENT}


class DayOf(Moment):
    """The end of the day (UTC) of a time: the first millisecond of the next day."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        return (super()._deserialize(value, *args, **kwargs) // DAY + 1) * DAY


class Several(fields.List[Any]):
    """Values in a query string: separated by commas, in repeated parameters, or both."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        parts = [part for text in value for part in text.split(",") if part]
        return super()._deserialize(parts, *args, **kwargs)


class Switch(fields.Boolean):
    """``true`` or ``false``, without marshmallow's other spellings."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class RoomName(Text):
    """The name of a room, which need not exist yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[IDENTIFIER, _addressable], **options)


def _addressable(name: str) -> None:
    if not is_addressable(name):
        raise ValidationError(
            "must not be a name that an address of the API has, such as deactivate"
        )


class ParticipantId(Text):
    """The id of a participant, who need not exist yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[IDENTIFIER, _addressable_participant], **options)


def _addressable_participant(participant_id: str) -> None:
    if not is_addressable_participant(participant_id):
        raise ValidationError("must not be an id that an address of the API has, such as active")


class ProviderName(Text):
    """The name of a provider. All invalid values have one error message."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        offered: tuple[str, ...] = current_app.config["PROVIDERS"]
        if value not in offered:
            raise ValidationError(f"must be one of {', '.join(offered)}")
        return str(value)

    def openapi(self) -> dict[str, Any]:
        return {"enum": list(current_app.config["PROVIDERS"])}


class Metadata(fields.Dict):
    default_error_messages = OBJECT_ERRORS

    def openapi(self) -> dict[str, Any]:
        return {
            "description": f"At most {MAX_METADATA // 1024} KB of JSON, "
            f"{MAX_METADATA_DEPTH} levels deep, with numbers of at most 64 bits."
        }


class Instant(fields.String):
    """Epoch milliseconds, written as ISO 8601."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else iso(value)

    def openapi(self) -> dict[str, Any]:
        return {"format": "date-time"}


class Request(Schema):
    """Base of request schemas.

    At least one of the two members in ``either`` is required. ``changes`` marks the body of a
    change, which must not be empty.
    """

    either: ClassVar[tuple[str, str] | None] = None
    changes: ClassVar[bool] = False

    class Meta:
        unknown = EXCLUDE

    error_messages = OBJECT_ERRORS


class ParticipantFields(Request):
    """A participant. ``null`` means absent: browsers send it for empty form fields."""

    id = ParticipantId(allow_none=True)
    name = Text(allow_none=True, validate=at_most(128))
    metadata = Metadata(allow_none=True, validate=storable)


class PageFilter(Request):
    """The page of a list."""

    number = Whole(
        data_key="page", validate=validate.Range(min=1, error="must be a whole number from 1")
    )
    per_page = Whole(
        data_key="perPage",
        validate=validate.Range(min=1, max=100, error="must be a whole number from 1 to 100"),
    )


class PageInfo(Schema):
    """Paging of a list. All are numbers, because VideoSDK's SDK replaces text by its defaults."""

    number = fields.Integer(data_key="currentPage")
    per_page = fields.Integer(data_key="perPage")
    last = fields.Integer(data_key="lastPage")
    total = fields.Integer()
    total_is_minimum = fields.Boolean(
        attribute="is_minimum", data_key="totalIsMinimum", metadata={"optional": True}
    )

    @post_dump
    def drop_where_exact(self, dumped: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if not dumped["totalIsMinimum"]:
            del dumped["totalIsMinimum"]
        return dumped


class Part(fields.Nested):
    """Some members of an object as a nested object."""

    def get_value(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        return obj


class RoomLink(fields.String):
    """The URL of a room, made from its id."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return f"{public_base()}/v2/rooms/{quote(value, safe='')}"


class AccountId(fields.String):
    """The id of the account. There is one, so the attribute is ignored."""

    def _serialize(self, *args: Any, **kwargs: Any) -> str:
        return account_id(services().settings.api_key)
