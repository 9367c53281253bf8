"""Schemas of subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from service.api.schemas.addresses import CallableUrl
from service.domain.webhook_events import CallEvent
from service.web.schemas.fields import LIST_ERRORS, Instant, PageFilter, Request, Text, at_most

ALL = "*"
NAMES = (ALL, *CallEvent)


class EventName(Text):
    """The name of a call event, or an asterisk for all of them."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, *args, **kwargs)
        if name not in NAMES:
            raise ValidationError(f"must be one of {', '.join(NAMES)}, not {name[:64]}")
        return name

    def openapi(self) -> dict[str, Any]:
        return {"enum": list(NAMES)}


def distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValidationError("must name no event twice")
    if ALL in names and len(names) > 1:
        raise ValidationError(f"must name nothing beside {ALL}")


class Events(fields.List[Any]):
    """Names of events without repeats. An asterisk must be the only one."""

    def openapi(self) -> dict[str, Any]:
        alone = {"if": {"contains": {"const": ALL}}, "then": {"maxItems": 1}}
        return {"uniqueItems": True, **alone}


def _events(**options: Any) -> Events:
    return Events(
        EventName(),
        error_messages=LIST_ERRORS,
        validate=[validate.Length(min=1, error="must name an event"), distinct],
        **options,
    )


class SubscriptionChanges(Request):
    changes = True

    url = CallableUrl()
    events = _events()


class NewSubscription(SubscriptionChanges):
    url = CallableUrl(required=True)
    events = _events(required=True)


class SubscriptionFilter(PageFilter):
    search = Text(validate=at_most(128))


class SubscriptionData(Schema):
    """A subscription. VideoSDK's list has the id under a longer name too."""

    id = fields.String()
    webhook_id = fields.String(attribute="id", data_key="webhookId", dump_only=True)
    url = fields.String()
    events = fields.List(fields.String())
    created_at = Instant(data_key="createdAt")
    updated_at = Instant(data_key="updatedAt")
