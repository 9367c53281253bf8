"""The nouns of the service as frozen values, and the states a call can be in.

Rows never leave ``storage``; sockets never leave ``media``; these values travel.
All times are ``Millis`` (epoch milliseconds, UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from service.times import Millis

T = TypeVar("T")

WEBSOCKET = "websocket"
"""Provider name of a custom WebSocket participant: not a phone provider."""


class CallStatus(StrEnum):
    """Where a call stands. It only moves forward: incoming, then answered, then one of the ends."""

    INCOMING = "incoming"
    ANSWERED = "answered"
    ENDED = "ended"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    FAILED = "failed"

    @property
    def is_live(self) -> bool:
        return self in (CallStatus.INCOMING, CallStatus.ANSWERED)


LIVE = (CallStatus.INCOMING, CallStatus.ANSWERED)


class EndReason(StrEnum):
    """Why a call is over."""

    CALLER_HUNG_UP = "caller-hung-up"
    ENDED_BY_API = "ended-by-api"
    CONNECTION_LOST = "connection-lost"
    NO_SOCKET = "no-media-socket"
    MAX_DURATION = "max-duration"
    PROTOCOL_ERROR = "protocol-error"
    REPLACED = "replaced"
    NO_ROUTE = "no-route"
    BUSY = "busy"


class LadderEvent(StrEnum):
    """One rung of a call's ladder, in the order in which a good call climbs it."""

    WEBHOOK = "webhook"
    MARKUP = "markup"
    SOCKET = "socket"
    START = "start"
    FIRST_AUDIO_IN = "first-audio-in"
    FIRST_AUDIO_OUT = "first-audio-out"
    SOCKET_LOST = "socket-lost"
    END = "end"


@dataclass(frozen=True, slots=True)
class Connector:
    """Stored configuration for one provider; owns a secret webhook key.

    ``credentials`` are the values of each by name, the current one first: a second one is still
    accepted while it is being replaced. ``locked`` says that some are stored which this server's
    ``API_SECRET`` does not open, so that there is nothing to check a signature with.
    """

    id: str
    provider: str
    name: str | None
    webhook_key: str = field(repr=False)
    default_room_id: str | None
    default_rule_id: str | None
    region: str | None
    created_at: Millis
    credentials: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Participant:
    """One voice in a session as the others see it."""

    id: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of a ladder: what happened, when, and the status the call then had."""

    event: LadderEvent
    at: Millis
    status: CallStatus
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One phone call as the provider knows it, or one custom WebSocket session.

    ``leg_id`` names the media socket that holds the call now or held it last.
    ``detached_at`` is set while an answered call has no socket. ``attempts`` counts
    markup answers since the last audio, so that a provider that keeps asking without
    ever streaming is told to hang up.
    """

    id: str
    provider: str
    provider_call_id: str
    connector_id: str | None
    room_id: str | None
    rule_id: str | None
    session_id: str | None
    caller: str
    callee: str
    status: CallStatus
    participant: Participant
    region: str | None
    started_at: Millis
    expires_at: Millis | None = None
    answered_at: Millis | None = None
    detached_at: Millis | None = None
    ended_at: Millis | None = None
    end_reason: EndReason | None = None
    leg_id: str | None = None
    attempts: int = 0
    stats: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes."""

    room_id: str
    rule_id: str | None = None


class Refusal(StrEnum):
    """How a caller is turned away."""

    REJECTED = "rejected"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``number`` counts from 1."""

    items: tuple[T, ...]
    number: int
    per_page: int
    total: int

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.per_page))
