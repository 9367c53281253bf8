"""The nouns of the service as frozen values, and the states a call can be in.

Rows never leave ``storage``; sockets never leave ``media``; these values travel.
All times are ``Millis`` (epoch milliseconds, UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.clock import Millis
from service.domain.agents import Assignment

WEBSOCKET = "websocket"
"""Provider name of a custom WebSocket participant: not a phone provider."""


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallStatus(StrEnum):
    """Where a call stands. It only moves forward: waiting, then answered, then one of the ends.

    An inbound call waits as ``incoming``, an outbound one as ``initiated`` and ``ringing``. The
    words from ``transfer-initiated`` on are only said of steps: the call stays answered meanwhile.
    A caller who was asked for a PIN and knew it is ``verified`` before being answered.
    """

    INITIATED = "initiated"
    RINGING = "ringing"
    INCOMING = "incoming"
    VERIFIED = "verified"
    ANSWERED = "answered"
    ENDED = "ended"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    FAILED = "failed"
    MISSED = "missed"
    NOT_ANSWERED = "not-answered"
    TRANSFER_INITIATED = "transfer-initiated"
    TRANSFER_ACCEPTED = "transfer-accepted"
    TRANSFERRING = "transferring"
    TRANSFER_RINGING = "transfer-ringing"
    TRANSFERRED = "transferred"
    TRANSFER_FAILED = "transfer-failed"
    SWITCH_ROOM_INITIATED = "switch-room-initiated"
    SWITCH_ROOM_COMPLETED = "switch-room-completed"
    SWITCH_ROOM_FAILED = "switch-room-failed"

    @property
    def is_waiting(self) -> bool:
        """Whether the call is up and nobody has been in a room through it yet."""
        return self in WAITING

    @property
    def is_live(self) -> bool:
        return self in LIVE

    @property
    def is_end(self) -> bool:
        return self in ENDS


WAITING = (CallStatus.INITIATED, CallStatus.RINGING, CallStatus.INCOMING, CallStatus.VERIFIED)
LIVE = (*WAITING, CallStatus.ANSWERED)
ENDS = (
    CallStatus.ENDED,
    CallStatus.REJECTED,
    CallStatus.ABANDONED,
    CallStatus.FAILED,
    CallStatus.MISSED,
    CallStatus.NOT_ANSWERED,
)


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
    TRANSFERRED = "transferred"
    RING_TIMEOUT = "ring-timeout"
    NO_ANSWER = "no-answer"
    CALLEE_BUSY = "callee-busy"
    CANCELED = "canceled"
    PROVIDER_FAILED = "provider-failed"


class LadderEvent(StrEnum):
    """One rung of a call's ladder, in the order in which a good call climbs it.

    ``placed`` and ``ringing`` are an outbound call's; ``no-audio`` says that a phone's line is up
    but nothing is heard, ``overrun`` that audio came faster than real time for long; ``moved`` and
    ``transfer`` say how far by the status of their step; ``provider`` is what the provider said
    beside its webhooks, ``agent`` the progress of an agent that was sent for, and ``omitted`` how
    many rungs of a long ladder were left out in this place.
    """

    PLACED = "placed"
    RINGING = "ringing"
    WEBHOOK = "webhook"
    PIN = "pin"
    VERIFIED = "verified"
    MARKUP = "markup"
    SOCKET = "socket"
    START = "start"
    FIRST_AUDIO_IN = "first-audio-in"
    FIRST_AUDIO_OUT = "first-audio-out"
    NO_AUDIO = "no-audio"
    OVERRUN = "overrun"
    SOCKET_LOST = "socket-lost"
    MOVED = "moved"
    TRANSFER = "transfer"
    PROVIDER = "provider"
    AGENT = "agent"
    OMITTED = "omitted"
    END = "end"


@dataclass(frozen=True, slots=True)
class Participant:
    """One voice in a session as the others see it."""

    id: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def phone_metadata(direction: Direction) -> dict[str, Any]:
    """Return the metadata by which VideoSDK's agents recognise a phone and its direction."""
    return {"sipUser": True, "callType": direction.value}


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One rung of a ladder: what happened, when, and the status the call then had.

    ``markup`` is what the provider was answered on it, with the secrets masked.
    """

    event: LadderEvent
    at: Millis
    status: CallStatus
    detail: str | None = None
    markup: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A call handed on to a number: ``status`` is the last of the ``transfer`` words that held."""

    number: str
    status: CallStatus

    @property
    def is_pending(self) -> bool:
        return self.status in (CallStatus.TRANSFER_INITIATED, CallStatus.TRANSFERRING)


@dataclass(frozen=True, slots=True)
class Call:
    """One phone call as the provider knows it, or one custom WebSocket session.

    ``leg_id`` names the media socket that holds the call now or held it last.
    ``detached_at`` is set while an answered call has no socket. ``attempts`` counts
    markup answers since the last audio, so that a provider that keeps asking without
    ever streaming is told to hang up. An outbound call's ``provider_call_id`` is its own id until
    the provider has told its. ``max_seconds`` is how long this call may last, where it was told so.
    ``key_digest`` is that of the key in the addresses that the provider asks about this call.
    ``agent`` is sent into the room once the call is in it.
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
    direction: Direction = Direction.INBOUND
    metadata: Mapping[str, Any] = field(default_factory=dict)
    max_seconds: int | None = None
    transfer: Transfer | None = None
    agent: Assignment | None = None
    key_digest: str | None = None
    steps: tuple[LadderStep, ...] = ()

    @property
    def remote(self) -> str:
        """The number of the party outside, which is the one that ``hides_number`` is about."""
        return self.caller if self.direction is Direction.INBOUND else self.callee

    @property
    def ours(self) -> str:
        """The number on our side."""
        return self.callee if self.direction is Direction.INBOUND else self.caller

    @property
    def is_attached(self) -> bool:
        """Whether the leg that holds the call has started and not lost its socket since."""
        return self.status is CallStatus.ANSWERED and self.detached_at is None

    @property
    def is_transferring(self) -> bool:
        return self.transfer is not None and self.transfer.is_pending

    @property
    def switch(self) -> CallStatus | None:
        """The last of the ``switch-room`` words on the ladder."""
        moved = (step.status for step in reversed(self.steps) if step.event is LadderEvent.MOVED)
        return next(moved, None)

    @property
    def is_moving(self) -> bool:
        """Whether the call was told to go to another room and has not arrived there yet."""
        return self.switch is CallStatus.SWITCH_ROOM_INITIATED

    @property
    def awaits_pin(self) -> bool:
        """Whether the caller was asked for a PIN and has not entered it yet."""
        return self.status is CallStatus.INCOMING and self.pin_tries > 0


class Refusal(StrEnum):
    """How a caller is turned away."""

    REJECTED = "rejected"
    BUSY = "busy"
