"""Rooms, sessions and participants: values, and the rules of admission to a room."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.clock import Millis
from service.domain.calls import EndReason
from service.errors import Forbidden

BARRED = {
    EndReason.ROOM_DEACTIVATED: "This room is deactivated: nobody can join it.",
    EndReason.PARTICIPANT_NOT_ALLOWED: "This room does not allow a participant of this id.",
}


DOTS = r"(.*/)?\.\.?(/.*)?"
"""Path segments of one or two dots, which clients remove."""

ROOM_ADDRESSES = re.compile(
    rf"deactivate|validate(/.+)?|/.*|{DOTS}|.+/webhook/deliveries(/.*)?", re.DOTALL
)
"""Names that collide with other addresses under ``/v2/rooms``, or do not fit into one."""

PARTICIPANT_ADDRESSES = re.compile(rf"active|{DOTS}", re.DOTALL)
"""The same for participants, under ``/v2/sessions/<id>/participants``."""


def is_addressable(name: str) -> bool:
    """Whether a room of this name can be read at ``/v2/rooms/<name>`` and below."""
    return ROOM_ADDRESSES.fullmatch(name) is None


def is_addressable_participant(participant_id: str) -> bool:
    """Whether a participant of this id can be read at its address in a session."""
    return PARTICIPANT_ADDRESSES.fullmatch(participant_id) is None


class AutoCloseType(StrEnum):
    """Effect on a room of the end of a session that has lasted too long."""

    SESSION_ENDS = "session-ends"
    DEACTIVATE = "session-end-and-deactivate"


@dataclass(frozen=True, slots=True)
class AutoClose:
    """Longest duration of a session, and whether its end deactivates the room."""

    type: AutoCloseType
    minutes: int


@dataclass(frozen=True, slots=True)
class Room:
    """A durable id that hosts sessions, one after another.

    ``id`` is VideoSDK's roomId and meetingId, ``object_id`` its ``id``. An empty
    ``allowed_participant_ids`` admits everybody. ``options`` are stored and returned, without any
    other effect.
    """

    id: str
    object_id: str
    created_at: Millis
    updated_at: Millis
    custom_id: str | None = None
    geo_fence: str | None = None
    disabled: bool = False
    webhook: Mapping[str, Any] | None = None
    auto_close: AutoClose | None = None
    allowed_participant_ids: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def require(self, participant_id: str) -> None:
        """Raise ``Forbidden`` if this participant may not join."""
        barred = self.bars(participant_id)
        if barred:
            raise Forbidden(BARRED[barred])

    def bars(self, participant_id: str) -> EndReason | None:
        """Return the reason why this participant may not join; ``None`` if it may."""
        if self.disabled:
            return EndReason.ROOM_DEACTIVATED
        if self.allowed_participant_ids and participant_id not in self.allowed_participant_ids:
            return EndReason.PARTICIPANT_NOT_ALLOWED
        return None


class SessionStatus(StrEnum):
    ONGOING = "ongoing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Presence:
    """Time from a join to a leave: one call in one session, with the call's ``stats``."""

    call_id: str
    participant_id: str
    name: str
    joined_at: Millis
    left_at: Millis | None
    stats: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SessionParticipant:
    """A participant of a session with its presences, oldest first."""

    id: str
    name: str
    presences: tuple[Presence, ...]

    @property
    def is_present(self) -> bool:
        return any(presence.left_at is None for presence in self.presences)


@dataclass(frozen=True, slots=True)
class Session:
    """One occupancy of a room, from the first join to the last leave."""

    id: str
    room_id: str
    custom_room_id: str | None
    region: str | None
    started_at: Millis
    ended_at: Millis | None
    participants: tuple[SessionParticipant, ...] = ()

    @property
    def status(self) -> SessionStatus:
        return SessionStatus.ONGOING if self.ended_at is None else SessionStatus.ENDED
