"""Agents and their dispatches as values: a program is told of a room and may join it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.clock import Millis


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that listens at ``url`` and can open a WebSocket."""

    id: str
    name: str
    url: str = field(repr=False)
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class Assignment:
    """The agent that a rule or a ticket names for a call, and what it is to be told.

    ``base`` is the public origin at which the call itself came to us, where the agent finds us too.
    """

    agent_id: str
    base: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class DispatchStatus(StrEnum):
    """``pending`` until the agent has taken it, ``sent`` until it has joined the room."""

    PENDING = "pending"
    SENT = "sent"
    JOINED = "joined"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One agent that is sent into one room, for a call where there is one.

    ``base`` is the public origin at which the agent finds us. ``attempts`` came to nothing, the
    last one as ``detail`` says. ``due_at`` is when the next attempt is to be made or, once it was
    sent, until when the agent must have joined. ``ticket_id`` is the call of the custom WebSocket
    that it was given last.
    """

    id: str
    agent_id: str
    call_id: str | None
    room_id: str
    base: str
    metadata: Mapping[str, Any]
    status: DispatchStatus
    attempts: int
    due_at: Millis | None
    created_at: Millis
    ticket_id: str | None = None
    detail: str | None = None
