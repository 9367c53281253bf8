"""What the engine can be asked to do, through a queue: the only way in for other threads."""

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
    """Close the call's sockets; without a ``reason`` the call goes on elsewhere."""

    call_id: str
    reason: EndReason | None
    text: str
    leg_id: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """Take the call's legs to another room, as ``participant``, on the sockets they have.

    ``session_id`` is the session that goes on there, where the room is not known to the engine.
    """

    call_id: str
    room_id: str
    participant: Participant
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Ask:
    """What is known of these calls; the answer has those that have a socket."""

    call_ids: tuple[str, ...]
    reply: queue.SimpleQueue[Mapping[str, Mapping[str, Any]]] = field(
        default_factory=queue.SimpleQueue
    )


@dataclass(frozen=True, slots=True)
class Count:
    """How the engine fares as a whole."""

    reply: queue.SimpleQueue[EngineStats] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class AskLoudness:
    """How loud this call has been on the leg that it is on; ``None`` where it is on none."""

    call_id: str
    reply: queue.SimpleQueue[Loudness | None] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class AskLegs:
    """Which legs have a socket that is not being closed."""

    reply: queue.SimpleQueue[tuple[LegSpec, ...]] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell whoever is behind this socket how all calls are doing, until it goes away."""

    sock: socket.socket


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the watchers that what is stored of calls has changed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Close every socket with 1012, "service restart", and end the thread."""


Request: TypeAlias = (
    Adopt | HangUp | Move | Ask | AskLegs | AskLoudness | Count | Watch | Announce | Stop
)
