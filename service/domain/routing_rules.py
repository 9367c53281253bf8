"""Routing rules: the room of a called number, and the conditions of admission.

An outbound rule applies to calls placed from one of its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.clock import Millis
from service.domain.agents import Assignment


class RuleType(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class RoomType(StrEnum):
    """``static`` is one room for all calls; ``dynamic`` lets the prefix decide."""

    STATIC = "static"
    DYNAMIC = "dynamic"


class RoomPrefix(StrEnum):
    """Choice of a dynamic room. VideoSDK names these strategies and does not define them."""

    BLANK = "blank"
    """A new room for each call."""
    RANDOM = "random"
    """The same, because the id of a new room is always random."""
    PARTICIPANT_NUMBER = "participantNumber"
    """One room for each outside number, the same every time."""
    SIP_NUMBER = "sipNumber"
    """One room for each number of ours."""


@dataclass(frozen=True, slots=True)
class RuleRoom:
    """Room of a rule. ``prefix`` is set if the type is dynamic, ``id`` if it is static.

    ``is_locked``: there is a PIN that cannot be decrypted, so that no caller is admitted.
    """

    type: RoomType
    prefix: RoomPrefix | None
    id: str | None
    pin: str | None = field(repr=False)
    is_locked: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether a PIN is required."""
        return self.pin is not None or self.is_locked


NEW_ROOM = RuleRoom(RoomType.DYNAMIC, RoomPrefix.BLANK, None, None)


@dataclass(frozen=True, slots=True)
class Rule:
    """A routing rule. ``extra`` is stored and returned; only its agent has an effect."""

    id: str
    name: str
    type: RuleType
    numbers: tuple[str, ...]
    room: RuleRoom
    hide_phone_number: bool
    dtmf: bool
    allowed_numbers: tuple[str, ...]
    extra: Mapping[str, Any]
    created_at: Millis
    updated_at: Millis

    def assignment(self, base: str) -> Assignment | None:
        """Return the agent for a call by this rule that reached this server at this origin."""
        agent_id = self.extra.get("agent_id")
        if agent_id is None:
            return None
        return Assignment(agent_id, base, self.extra.get("agent_metadata") or {})
