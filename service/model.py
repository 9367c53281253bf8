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
    """Where a call stands. It only moves forward: incoming, then answered, then one of the ends.

    A caller who was asked for a PIN and knew it is ``verified`` before being answered.
    """

    INCOMING = "incoming"
    VERIFIED = "verified"
    ANSWERED = "answered"
    ENDED = "ended"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    FAILED = "failed"

    @property
    def is_live(self) -> bool:
        return self in LIVE

    @property
    def is_waiting(self) -> bool:
        """Whether the caller has not been in a room yet."""
        return self in WAITING


WAITING = (CallStatus.INCOMING, CallStatus.VERIFIED)
LIVE = (*WAITING, CallStatus.ANSWERED)


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
    NOT_ALLOWED = "not-allowed"
    NO_PIN = "no-pin"
    BUSY = "busy"
    ROOM_DEACTIVATED = "room-deactivated"
    PARTICIPANT_NOT_ALLOWED = "participant-not-allowed"
    SESSION_ENDED = "session-ended"
    SESSION_TIMEOUT = "session-timeout"
    REMOVED = "participant-removed"
    ALONE = "alone"


class LadderEvent(StrEnum):
    """One rung of a call's ladder, in the order in which a good call climbs it."""

    WEBHOOK = "webhook"
    PIN = "pin"
    VERIFIED = "verified"
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
    pin_tries: int = 0
    hides_number: bool = False
    dtmf: bool = True
    stats: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()

    @property
    def awaits_pin(self) -> bool:
        """Whether the caller was asked for a PIN and has not entered it yet."""
        return self.status is CallStatus.INCOMING and self.pin_tries > 0


class AutoCloseType(StrEnum):
    """What becomes of a room whose session has lasted too long."""

    SESSION_ENDS = "session-ends"
    DEACTIVATE = "session-end-and-deactivate"


@dataclass(frozen=True, slots=True)
class AutoClose:
    """How long a session of the room may last, and whether the room has only one."""

    type: AutoCloseType
    minutes: int


@dataclass(frozen=True, slots=True)
class Room:
    """A durable id that hosts sessions, one after another.

    ``id`` is what VideoSDK calls roomId and meetingId, ``object_id`` its ``id``. An empty
    ``allowed_participant_ids`` lets everybody in. ``options`` are those that are kept and
    repeated, and nothing else.
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

    def bars(self, participant_id: str) -> EndReason | None:
        """Why this participant may not join; ``None`` where it may."""
        if self.disabled:
            return EndReason.ROOM_DEACTIVATED
        if self.allowed_participant_ids and participant_id not in self.allowed_participant_ids:
            return EndReason.PARTICIPANT_NOT_ALLOWED
        return None


class SessionStatus(StrEnum):
    ONGOING = "ongoing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Stay:
    """From a join to a leave: one call in one session. ``stats`` are its call's."""

    call_id: str
    participant_id: str
    name: str
    joined_at: Millis
    left_at: Millis | None
    stats: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Attendee:
    """A participant of a session and all its stays, the first one first."""

    id: str
    name: str
    stays: tuple[Stay, ...]

    @property
    def is_present(self) -> bool:
        return any(stay.left_at is None for stay in self.stays)


@dataclass(frozen=True, slots=True)
class Session:
    """One occupancy of a room, from the first join to the last leave."""

    id: str
    room_id: str
    custom_room_id: str | None
    region: str | None
    started_at: Millis
    ended_at: Millis | None
    attendees: tuple[Attendee, ...] = ()

    @property
    def status(self) -> SessionStatus:
        return SessionStatus.ONGOING if self.ended_at is None else SessionStatus.ENDED


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
