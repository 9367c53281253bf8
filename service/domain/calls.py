"""Calls and their ladders as frozen values, with the statuses and end reasons of a call.

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
    """The status of a call, or of a step of its ladder. It only moves forward: a call waits, is
    answered, and ends.

    An inbound call waits as ``incoming``, and as ``verified`` after its PIN; an outbound one waits
    as ``initiated`` and ``ringing``. The statuses from ``transfer-initiated`` on occur in steps
    only; the call stays ``answered``. Their order is in
    ``call_transitions``.
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
        """Whether the call is live and was never answered."""
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
    """The reason why a call is over."""

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
    """The subject of a step of a call's ladder, in the order of a successful call.

    ``placed`` and ``ringing`` occur in outbound calls. ``no-audio``: the phone's line is up, but
    silent. ``overrun``: audio has arrived faster than real time for long. ``moved`` and
    ``transfer`` have their progress as the status of the step. ``provider`` is a remark of the
    provider outside its voice webhooks, ``agent`` the progress of a dispatched agent. ``omitted``
    stands for steps that were left out of a long ladder.
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
    """A participant of a session, as others see it."""

    id: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def phone_metadata(direction: Direction) -> dict[str, Any]:
    """Return the metadata by which VideoSDK's agents recognise a phone and its direction."""
    return {"sipUser": True, "callType": direction.value}


@dataclass(frozen=True, slots=True)
class LadderStep:
    """A step of a call's ladder: an event, its time, and the status of the call then.

    ``markup`` is the answer to the provider, with secrets masked.
    """

    event: LadderEvent
    at: Millis
    status: CallStatus
    detail: str | None = None
    markup: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer of a call to a number. ``status`` is the latest of the ``transfer`` statuses."""

    number: str
    status: CallStatus

    @property
    def is_pending(self) -> bool:
        return self.status in (CallStatus.TRANSFER_INITIATED, CallStatus.TRANSFERRING)


@dataclass(frozen=True, slots=True)
class Call:
    """One phone call as the provider knows it, or one custom WebSocket session.

    ``leg_id`` names the media socket that holds the call or held it last. ``detached_at`` is set
    while an answered call has no socket. ``attempts`` counts answers with markup since the last
    audio, so that a provider that asks again and again without streaming is told to hang up. An
    outbound call's ``provider_call_id`` is its own id until the provider's is known.
    ``max_seconds`` is a time limit of this call. ``key_digest`` is the digest of the key in the
    URLs that the provider requests about this call. ``agent`` is dispatched into the room once the
    call is answered. ``node_id`` names the node that has its leg or will have its next one; it is
    ``None`` once that node is gone.
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
    node_id: str | None = None
    steps: tuple[LadderStep, ...] = ()

    @property
    def remote(self) -> str:
        """The number of the outside party, which ``hides_number`` hides."""
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
        """The latest of the ``switch-room`` statuses on the ladder, if any."""
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
    """The way in which a caller is turned away."""

    REJECTED = "rejected"
    BUSY = "busy"
