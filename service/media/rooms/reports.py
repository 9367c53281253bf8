"""Reports of the media plane, sent through a queue: the only way out of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.clock import Millis
from service.domain.calls import EndReason, LadderEvent
from service.domain.loudness import Loudness


@dataclass(frozen=True, slots=True)
class LegStarted:
    """The peer's start message was accepted and its participant is in the room."""

    call_id: str
    leg_id: str
    session_id: str
    at: Millis


@dataclass(frozen=True, slots=True)
class LegMoved:
    """The leg has moved to this room."""

    call_id: str
    leg_id: str
    room_id: str
    participant_id: str
    session_id: str
    at: Millis


@dataclass(frozen=True, slots=True)
class LegStep:
    """A step of the call's ladder."""

    call_id: str
    leg_id: str
    event: LadderEvent
    at: Millis
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class LegClosed:
    """The leg has ended. ``reason`` is ``None`` if its socket was lost and the call may go on.

    A leg that has not started has no ``loudness``.
    """

    call_id: str
    leg_id: str
    reason: EndReason | None
    detail: str
    stats: Mapping[str, Any]
    at: Millis
    loudness: Loudness | None = None


Report: TypeAlias = LegStarted | LegMoved | LegStep | LegClosed
