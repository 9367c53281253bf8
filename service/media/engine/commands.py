"""Commands to the engine, sent through a queue: the only way in for other threads."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.engine.stats import EngineStats
from service.media.rooms.leg import LegSpec
from service.media.rooms.leg_state import LegState
from service.media.rooms.live_levels import LiveLevels


@dataclass(frozen=True, slots=True)
class Adopt:
    """Adopt a socket. ``state`` is that of a leg that another engine has taken out."""

    sock: socket.socket
    spec: LegSpec
    state: LegState | None = None


@dataclass(frozen=True, slots=True)
class TakenLeg:
    """A leg without an engine. Its owner adopts the socket elsewhere, or closes it."""

    sock: socket.socket
    spec: LegSpec
    state: LegState


@dataclass(frozen=True, slots=True)
class TakeOut:
    """Take the call's open legs out, and give each to ``deliver``, in the engine's thread."""

    call_id: str
    deliver: Callable[[TakenLeg], object]


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the call's sockets. Without a ``reason`` the call goes on elsewhere.

    ``moved_to`` is the room to which it was moved.
    """

    call_id: str
    reason: EndReason | None
    text: str
    leg_id: str | None
    code: int = 1000
    moved_to: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Move the call's legs to another room, as ``participant``, on their present sockets.

    ``session_id`` is the session to continue there if the room has no legs.
    """

    call_id: str
    room_id: str
    participant: Participant
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for the statistics of calls. The answer has the calls with a socket."""

    call_ids: tuple[str, ...]
    reply: queue.SimpleQueue[Mapping[str, Mapping[str, Any]]] = field(
        default_factory=queue.SimpleQueue
    )


@dataclass(frozen=True, slots=True)
class AskEngineStats:
    """Ask for the statistics of the whole engine."""

    reply: queue.SimpleQueue[EngineStats] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class AskLoudness:
    """Ask for the loudness of a call on its current leg; ``None`` if it has none."""

    call_id: str
    reply: queue.SimpleQueue[Loudness | None] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class AskLegs:
    """Ask for the legs whose socket is open and not being closed."""

    reply: queue.SimpleQueue[tuple[LegSpec, ...]] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class AskLevels:
    """Ask for the levels of all calls, by call id."""

    reply: queue.SimpleQueue[Mapping[str, LiveLevels]] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Show:
    """Show these levels of other engines' calls in the live feed, in place of earlier ones.

    The answer is whether the feed has readers.
    """

    calls: Mapping[str, Any]
    reply: queue.SimpleQueue[bool] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Watch:
    """Send the live feed to this socket until it is closed."""

    sock: socket.socket


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the readers of the live feed that stored calls have changed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Close every socket with 1012, "service restart", and end the thread."""


Question: TypeAlias = Ask | AskLegs | AskLoudness | AskEngineStats | AskLevels

EngineCommand: TypeAlias = (
    Adopt | TakeOut | HangUp | Move | Question | Show | Watch | Announce | Stop
)
