"""Changes of routing rules: validation against the rule, and warnings.

All fields are stored and returned. Fields in ``NOT_ACTED_ON`` have no effect, and a warning says
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.clock import Millis
from service.domain.routing_rules import NEW_ROOM, RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import Invalid
from service.security import constant_time
from service.storage.routing_rules import NumberTaken
from service.web.services import services
from service.web.warnings import warn

EXTRA = (
    "agent_id",
    "agent_metadata",
    "agent_type",
    "allowed_ip_addresses",
    "gateway_id",
    "headers",
    "headers_to_attributes",
    "include_headers",
    "metadata",
    "noise_cancellation",
    "recording",
    "tags",
)
"""Fields that are stored for the client. Only the agent has an effect."""

NO_HEADERS = "calls come through webhooks, which carry no SIP headers"
NOT_ACTED_ON = {
    "recording": "recording was stored, but calls are not recorded yet.",
    "noise_cancellation": "noiseCancellation was stored, but noise is not cancelled yet.",
    "gateway_id": "gatewayId was stored, but decides nothing: connectors stand in for gateways.",
    "headers": "headers was stored, but is not sent with calls yet.",
    "headers_to_attributes": f"headersToAttributes was stored, but {NO_HEADERS}.",
    "include_headers": f"includeHeaders was stored, but {NO_HEADERS}.",
    "allowed_ip_addresses": "allowedIpAddresses was stored, but a call through a webhook has no "
    "address of its own; allowedNumbers is compared.",
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """Names of the fields where the two spellings differ."""

    numbers: str
    room: str
    agent: str


TODAY = Spelling("phoneNumbers", "room", "agentId")
OLDER = Spelling("numbers", "dispatch.room", "dispatch.agent")


def blank(rule_id: str, kind: RuleType, at: Millis) -> Rule:
    """Return a new rule with default values."""
    return Rule(
        id=rule_id,
        name="",
        type=kind,
        numbers=(),
        room=NEW_ROOM,
        hide_phone_number=False,
        dtmf=False,
        allowed_numbers=(),
        extra={},
        created_at=at,
        updated_at=at,
    )


def apply(rule: Rule, changes: Mapping[str, Any], spelling: Spelling, at: Millis) -> Rule:
    """Return the changed rule. Raises ``Invalid`` where the changes do not fit it."""
    if changes.get("type", rule.type) is not rule.type:
        raise _wrong("type", "is fixed once the rule exists")
    api_key = changes.get("api_key")
    if api_key is not None and not constant_time.equal(api_key, services().settings.api_key):
        raise Invalid("Invalid API Key")
    _require_fitting_headers(rule.type, changes)
    extra = {**rule.extra, **{name: changes[name] for name in EXTRA if name in changes}}
    changed = replace(
        rule,
        name=changes.get("name", rule.name),
        numbers=tuple(dict.fromkeys(changes.get("numbers", rule.numbers))),
        room=_room(rule.room, changes.get("room", {}), spelling),
        hide_phone_number=bool(changes.get("hide_phone_number", rule.hide_phone_number)),
        dtmf=bool(changes.get("dtmf", rule.dtmf)),
        allowed_numbers=tuple(changes.get("allowed_numbers", rule.allowed_numbers) or ()),
        extra={name: value for name, value in extra.items() if value is not None},
        updated_at=at,
    )
    _warn(changed, changes, spelling)
    return changed


def warn_of_unknown_agent(changes: Mapping[str, Any], spelling: Spelling) -> None:
    """Warn where the changes name an unknown agent. Its id is stored."""
    agent_id = changes.get("agent_id")
    if agent_id is not None and services().stores.agents.find(agent_id) is None:
        warn(f"{spelling.agent} was stored, but names no agent that could be sent for.")


def taken(number: NumberTaken, spelling: Spelling) -> Invalid:
    """Return the error for a number that is on another rule."""
    return _wrong(
        spelling.numbers, f"must not hold {number.number}, which is on another inbound rule"
    )


def _room(room: RuleRoom, given: Mapping[str, Any], spelling: Spelling) -> RuleRoom:
    """Return the changed room. A PIN stays until it is changed or removed."""
    kind = given.get("type") or (RoomType.STATIC if given.get("id") else room.type)
    pin, is_locked = given.get("pin", room.pin), room.is_locked and "pin" not in given
    if kind is RoomType.STATIC:
        room_id = given.get("id", room.id)
        if room_id is None:
            raise _wrong(f"{spelling.room}.id", "is required for a static room")
        if given.get("prefix") is not None:
            warn(f"{spelling.room}.prefix was ignored: only a dynamic room has one.")
        return RuleRoom(kind, None, room_id, pin, is_locked)
    if given.get("id") is not None:
        warn(f"{spelling.room}.id was ignored: only a static room has one.")
    prefix = given.get("prefix", room.prefix) or RoomPrefix.BLANK
    if prefix not in tuple(RoomPrefix):
        choices = ", ".join(RoomPrefix)
        raise _wrong(f"{spelling.room}.prefix", f"must be one of {choices} for a dynamic room")
    return RuleRoom(kind, RoomPrefix(prefix), None, pin, is_locked)


def _require_fitting_headers(kind: RuleType, changes: Mapping[str, Any]) -> None:
    if kind is RuleType.INBOUND and changes.get("headers") is not None:
        raise _wrong("headers", "is for outbound rules only; inbound ones have headersToAttributes")
    if kind is RuleType.OUTBOUND and changes.get("headers_to_attributes") is not None:
        raise _wrong("headersToAttributes", "is for inbound rules only; outbound ones have headers")


def _warn(rule: Rule, changes: Mapping[str, Any], spelling: Spelling) -> None:
    """Warn of changes that are stored and have no effect."""
    for name, sentence in NOT_ACTED_ON.items():
        if changes.get(name) and changes[name] != "NONE":
            warn(sentence)
    if rule.type is RuleType.OUTBOUND:
        if (changes.get("room") or {}).get("pin") is not None:
            warn(f"{spelling.room}.pin was stored, but only callers are asked for one.")
        if changes.get("allowed_numbers"):
            warn("allowedNumbers was stored, but only callers are compared with it.")


def _wrong(field: str, predicate: str) -> Invalid:
    sentence = f"{field} {predicate}."
    return Invalid(sentence, errors={field: [sentence]})
