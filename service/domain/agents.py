"""Agents, and dispatches of agents to rooms."""

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
    """The agent of a call, by its rule or ticket, with the ``metadata`` to send to it.

    ``base`` is the public origin through which the call reached this server, which the agent uses
    too.
    """

    agent_id: str
    base: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class DispatchStatus(StrEnum):
    """``pending`` until the agent has accepted, ``sent`` until it has joined the room."""

    PENDING = "pending"
    SENT = "sent"
    JOINED = "joined"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Request to one agent to join one room, for a call if there is one.

    ``base`` is the public origin at which the agent reaches this server. ``attempts`` have failed,
    the last one for the reason in ``detail``. ``due_at`` is the time of the next attempt, or once
    sent, the time by which the agent must have joined. ``ticket_id`` is the call of the custom
    WebSocket in the last request.
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
