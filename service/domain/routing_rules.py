"""Routing rules as values: which room a called number leads to, and on what terms.

An outbound rule says so of calls that are placed from one of its numbers.
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
    """How a dynamic room is found. VideoSDK names these strategies and does not define them."""

    BLANK = "blank"
    """A new room for each call."""
    RANDOM = "random"
    """The same: what is random about a new room is its id, which always is."""
    PARTICIPANT_NUMBER = "participantNumber"
    """One room for each number outside, the same every time."""
    SIP_NUMBER = "sipNumber"
    """One room for each number of ours."""


@dataclass(frozen=True, slots=True)
class RuleRoom:
    """``prefix`` is set where the type is dynamic, ``id`` where it is static.

    ``is_locked`` says that there is a PIN which cannot be read, so that nobody is let in.
    """

    type: RoomType
    prefix: RoomPrefix | None
    id: str | None
    pin: str | None = field(repr=False)
    is_locked: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether a PIN stands before it."""
        return self.pin is not None or self.is_locked


NEW_ROOM = RuleRoom(RoomType.DYNAMIC, RoomPrefix.BLANK, None, None)


@dataclass(frozen=True, slots=True)
class Rule:
    """``extra`` is what is kept and repeated for the client; of it, only the agent is acted on."""

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
        """The agent for a call that the rule takes, which came to us at this origin."""
        agent_id = self.extra.get("agent_id")
        if agent_id is None:
            return None
        return Assignment(agent_id, base, self.extra.get("agent_metadata") or {})
