"""Schemas of routing rules, in the current spelling and in the older one.

Both spellings are loaded to the names of ``routing_rule_changes``.
"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_dump, post_load, validate

from service.domain.routing_rules import RoomType, RuleType
from service.web.schemas.fields import (
    IDENTIFIER,
    LIST_ERRORS,
    OBJECT_ERRORS,
    Instant,
    Metadata,
    PageFilter,
    Request,
    RoomName,
    Several,
    Switch,
    Text,
    at_most,
    storable,
)
from service.web.schemas.phone_numbers import CallerPattern, PhoneNumber, SearchText
from service.web.services import services

NAME = [validate.Length(min=1, error="must not be empty"), *at_most(128)]
PIN = validate.Regexp(r"\A[0-9]{1,16}\Z", error="must be 1 to 16 digits")
HEADERS = validate.OneOf(
    ("ALL", "SIP_X_HEADERS", "NONE"), error="must be one of ALL, SIP_X_HEADERS, NONE"
)
ONE_OF: dict[str, Any] = {
    "required": "is required",
    "null": "must not be null",
    "unknown": "must be one of {choices}",
}


class OlderRuleType(Text):
    """The type of a rule in the older spelling, which is in capitals."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> RuleType:
        try:
            return RuleType(super()._deserialize(value, *args, **kwargs).lower())
        except ValueError:
            raise ValidationError("must be one of INBOUND, OUTBOUND") from None

    def openapi(self) -> dict[str, Any]:
        return {"enum": [kind.upper() for kind in RuleType]}


def _list(of: fields.Field[Any], **options: Any) -> fields.List[Any]:
    return fields.List(of, error_messages=LIST_ERRORS, **options)


class RuleRoomFields(Request):
    type = fields.Enum(RoomType, by_value=True, error_messages=ONE_OF)
    prefix = Text(allow_none=True, validate=at_most(128))
    id = RoomName(allow_none=True)
    pin = Text(allow_none=True, validate=PIN)


class RuleChanges(Request):
    changes = True

    name = Text(validate=NAME)
    type = fields.Enum(RuleType, by_value=True, error_messages=ONE_OF)
    numbers = _list(PhoneNumber(), data_key="phoneNumbers")
    room = fields.Nested(RuleRoomFields(), error_messages=OBJECT_ERRORS)
    agent_id = Text(data_key="agentId", allow_none=True, validate=IDENTIFIER)
    agent_metadata = Metadata(data_key="agentMetadata", allow_none=True, validate=storable)
    hide_phone_number = Switch(data_key="hidePhoneNumber", allow_none=True)
    tags = _list(Text(validate=at_most(128)), allow_none=True)
    api_key = Text(data_key="apiKey", allow_none=True)
    recording = Switch(allow_none=True)
    dtmf = Switch(allow_none=True)
    noise_cancellation = Switch(data_key="noiseCancellation", allow_none=True)
    allowed_numbers = _list(CallerPattern(), data_key="allowedNumbers", allow_none=True)
    allowed_ip_addresses = _list(
        Text(validate=at_most(64)), data_key="allowedIpAddresses", allow_none=True
    )
    include_headers = Text(data_key="includeHeaders", allow_none=True, validate=HEADERS)
    headers = Metadata(allow_none=True, validate=storable)
    headers_to_attributes = Metadata(
        data_key="headersToAttributes", allow_none=True, validate=storable
    )


class NewRule(RuleChanges):
    name = Text(required=True, validate=NAME)
    type = fields.Enum(RuleType, by_value=True, required=True, error_messages=ONE_OF)
    numbers = _list(PhoneNumber(), data_key="phoneNumbers", required=True)


class RuleFilter(PageFilter):
    search = SearchText(validate=at_most(128))
    kind = fields.Enum(RuleType, by_value=True, data_key="type", error_messages=ONE_OF)
    rule_ids = Several(Text(validate=IDENTIFIER), data_key="ruleIds")
    room_types = Several(
        fields.Enum(RoomType, by_value=True, error_messages=ONE_OF), data_key="roomType"
    )


class RuleRoomData(Schema):
    type = fields.String()
    prefix = fields.String()
    id = fields.String()
    pin = fields.String()


class ProjectKey(fields.String):
    """The API key, which is a setting."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return services().settings.api_key


class RuleData(Schema):
    id = fields.String()
    name = fields.String()
    type = fields.String()
    numbers = fields.List(fields.String())
    room = fields.Nested(RuleRoomData())
    agent_id = fields.String(attribute="extra.agent_id", data_key="agentId", dump_default=None)
    agent_metadata = fields.Dict(
        attribute="extra.agent_metadata", data_key="agentMetadata", dump_default=dict
    )
    hide_phone_number = fields.Boolean(data_key="hidePhoneNumber")
    tags = fields.List(fields.String(), attribute="extra.tags", dump_default=list)
    api_key = ProjectKey(attribute="id", data_key="apiKey", dump_only=True)
    recording = fields.Boolean(attribute="extra.recording", dump_default=False)
    dtmf = fields.Boolean()
    noise_cancellation = fields.Boolean(
        attribute="extra.noise_cancellation", data_key="noiseCancellation", dump_default=False
    )
    allowed_numbers = fields.List(fields.String(), data_key="allowedNumbers")
    allowed_ip_addresses = fields.List(
        fields.String(),
        attribute="extra.allowed_ip_addresses",
        data_key="allowedIpAddresses",
        dump_default=list,
    )
    include_headers = fields.String(
        attribute="extra.include_headers", data_key="includeHeaders", dump_default=None
    )
    headers = fields.Dict(attribute="extra.headers", dump_default=dict, metadata={"optional": True})
    headers_to_attributes = fields.Dict(
        attribute="extra.headers_to_attributes",
        data_key="headersToAttributes",
        dump_default=dict,
        metadata={"optional": True},
    )
    created_at = Instant(data_key="createdAt")
    updated_at = Instant(data_key="updatedAt")

    @post_dump
    def drop_the_other_kind_s_headers(self, rule: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        del rule["headers" if rule["type"] == RuleType.INBOUND else "headersToAttributes"]
        return rule


class DeletedRule(Schema):
    rule_id = fields.String(data_key="ruleId")


class OlderAgentFields(Request):
    type = Text(
        allow_none=True,
        validate=validate.OneOf(("cloud", "self"), error="must be one of cloud, self"),
    )
    id = Text(allow_none=True, validate=IDENTIFIER)
    metadata = Metadata(allow_none=True, validate=storable)


class OlderDispatchFields(Request):
    room = fields.Nested(RuleRoomFields(), error_messages=OBJECT_ERRORS)
    agent = fields.Nested(OlderAgentFields(), allow_none=True, error_messages=OBJECT_ERRORS)


class OlderRuleChanges(Request):
    changes = True

    gateway_id = Text(data_key="gatewayId", allow_none=True, validate=IDENTIFIER)
    name = Text(validate=NAME)
    type = OlderRuleType()
    numbers = _list(PhoneNumber())
    dispatch = fields.Nested(OlderDispatchFields(), error_messages=OBJECT_ERRORS)
    hide_phone_number = Switch(data_key="hidePhoneNumber", allow_none=True)
    metadata = Metadata(allow_none=True, validate=storable)
    tags = _list(Text(validate=at_most(128)), allow_none=True)

    @post_load
    def flatten(self, loaded: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        dispatch = loaded.pop("dispatch", {})
        if "room" in dispatch:
            loaded["room"] = dispatch["room"]
        if "agent" in dispatch:
            agent = dispatch["agent"] or {"type": None, "id": None, "metadata": None}
            loaded |= {f"agent_{name}": value for name, value in agent.items()}
        return loaded


class NewOlderRule(OlderRuleChanges):
    name = Text(required=True, validate=NAME)
    numbers = _list(PhoneNumber(), required=True)
    dispatch = fields.Nested(
        OlderDispatchFields(),
        required=True,
        error_messages={**OBJECT_ERRORS, "required": "is required"},
    )


class OlderRuleFilter(PageFilter):
    gateway_id = Text(data_key="gatewayId", validate=IDENTIFIER)
    rule_ids = Several(Text(validate=IDENTIFIER), data_key="id")
    search = SearchText(validate=at_most(128))


class OlderAgentData(Schema):
    type = fields.String(attribute="agent_type", dump_default="self")
    id = fields.String(attribute="agent_id")
    metadata = fields.Dict(attribute="agent_metadata", dump_default=dict)


class OlderDispatchData(Schema):
    """The dispatch part of a rule, dumped from the rule itself."""

    room = fields.Nested(RuleRoomData())
    agent = fields.Nested(OlderAgentData(), allow_none=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if attr == "agent":
            return obj.extra if obj.extra.get("agent_id") else None
        return super().get_attribute(obj, attr, default)


class Capitals(fields.String):
    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return str(value).upper()


class OlderRuleData(Schema):
    id = fields.String()
    name = fields.String()
    type = Capitals()
    numbers = fields.List(fields.String())
    gateway_id = fields.String(
        attribute="extra.gateway_id", data_key="gatewayId", dump_default=None
    )
    dispatch = fields.Nested(OlderDispatchData())
    hide_phone_number = fields.Boolean(data_key="hidePhoneNumber")
    metadata = fields.Dict(attribute="extra.metadata", dump_default=dict)
    tags = fields.List(fields.String(), attribute="extra.tags", dump_default=list)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj if attr == "dispatch" else super().get_attribute(obj, attr, default)
