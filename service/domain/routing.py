"""Routing: the rule, and then the room, of a call. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from service.domain.calls import EndReason
from service.domain.connectors import Connector
from service.domain.ids import pseudonym
from service.domain.phone_numbers import is_allowed, is_number
from service.domain.routing_rules import RoomPrefix, Rule, RuleType


@dataclass(frozen=True, slots=True)
class ById:
    """A room by its id or custom id, which becomes the id of a new room if there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class ByCustomId:
    """A room whose custom id is made from the call; created by its first call."""

    name: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A new room."""


RoomChoice: TypeAlias = ById | ByCustomId | Fresh


def resolve(
    connector: Connector, caller: str, dialled: Rule | None, default: Rule | None
) -> Rule | ById | EndReason:
    """Return the dialled number's rule, the connector's default rule or its default room.

    A rule that does not allow the caller ends the search, so that no later rule admits the caller.
    """
    for rule in (dialled, default):
        if rule is not None and rule.type is RuleType.INBOUND:
            is_open = not rule.room.is_locked and is_allowed(caller, rule.allowed_numbers)
            return rule if is_open else EndReason.NOT_ALLOWED
    if connector.default_room_id is not None:
        return ById(connector.default_room_id)
    return EndReason.NO_ROUTE


def choose_room(
    decision: Rule | ById, caller: str, callee: str, secret: Callable[[], str]
) -> RoomChoice:
    """Return the room of a call.

    Calls share a room by number only if it is a number: otherwise two callers who withhold theirs
    would meet. ``caller`` is the outside number and ``callee`` ours, also for placed calls. If a
    rule hides numbers, the custom id is a pseudonym made with ``secret``, because members of the
    room can read it.
    """
    if isinstance(decision, ById):
        return decision
    room = decision.room
    if room.id is not None:
        return ById(room.id)
    match room.prefix:
        case RoomPrefix.PARTICIPANT_NUMBER if is_number(caller):
            shown = pseudonym(secret(), caller) if decision.hide_phone_number else caller[1:]
            return ByCustomId(f"participant-{shown}")
        case RoomPrefix.SIP_NUMBER if is_number(callee):
            return ByCustomId(f"number-{callee[1:]}")
        case _:
            return Fresh()
