"""Decides where a call goes. Pure: values in, a value out."""

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
class Existing:
    """A room by its id or custom id; created where there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class Named:
    """The room of a custom id that is made from the call; created by its first call."""

    name: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """A new room."""


Place: TypeAlias = Existing | Named | Fresh


def resolve(
    connector: Connector, caller: str, dialled: Rule | None, default: Rule | None
) -> Rule | Existing | EndReason:
    """What decides about the room: the dialled number's rule, the connector's rule or its room.

    A rule that does not allow the caller turns him away: what comes after it would let him in.
    """
    for rule in (dialled, default):
        if rule is not None and rule.type is RuleType.INBOUND:
            is_open = not rule.room.is_locked and is_allowed(caller, rule.allowed_numbers)
            return rule if is_open else EndReason.NOT_ALLOWED
    if connector.default_room_id is not None:
        return Existing(connector.default_room_id)
    return EndReason.NO_ROUTE


def place(decision: Rule | Existing, caller: str, callee: str, secret: Callable[[], str]) -> Place:
    """The room of a call. Calls share one by number only where it really is a number.

    Otherwise two callers who withhold theirs would meet. ``caller`` is the number outside and
    ``callee`` ours, also where the call is placed. Where a rule hides numbers, the custom id is
    made with what ``secret`` returns, because members of the room can read it.
    """
    if isinstance(decision, Existing):
        return decision
    room = decision.room
    if room.id is not None:
        return Existing(room.id)
    match room.prefix:
        case RoomPrefix.PARTICIPANT_NUMBER if is_number(caller):
            shown = pseudonym(secret(), caller) if decision.hide_phone_number else caller[1:]
            return Named(f"participant-{shown}")
        case RoomPrefix.SIP_NUMBER if is_number(callee):
            return Named(f"number-{callee[1:]}")
        case _:
            return Fresh()
