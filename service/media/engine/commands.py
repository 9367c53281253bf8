"""Commands to the engine, sent through a queue: the only way in for other threads."""

from __future__ import annotations

import queue
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.engine.stats import EngineStats
from service.media.rooms.leg import LegSpec


@dataclass(frozen=True, slots=True)
class Adopt:
    sock: socket.socket
    spec: LegSpec


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the call's sockets. Without a ``reason`` the call goes on elsewhere."""

    call_id: str
    reason: EndReason | None
    text: str
    leg_id: str | None


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
class Watch:
    """Send the live feed to this socket until it is closed."""

    sock: socket.socket


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the readers of the live feed that stored calls have changed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Close every socket with 1012, "service restart", and end the thread."""


EngineCommand: TypeAlias = (
    Adopt | HangUp | Move | Ask | AskLegs | AskLoudness | AskEngineStats | Watch | Announce | Stop
)
