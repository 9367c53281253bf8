"""The state machine of a call as one table: each event, its possible causes, and the next state.

The state has three parts. The phase is the progress of the call from its first webhook to its end.
An answered call may also be switching rooms, and may be in a transfer. Storage looks up the event
for the call that it has locked. An event that the table does not allow changes nothing.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from service.domain.calls import ENDS, LIVE, WAITING, CallStatus, EndReason


class Phase(Enum):
    """The status of a call in finer steps.

    ``NEW`` is a call that is not stored yet. ``ASKED`` is an incoming call whose caller is asked
    for a PIN. An answered call is ``ATTACHED`` while it has a media socket, else ``DETACHED``.
    """

    NEW = "new"
    INITIATED = "initiated"
    RINGING = "ringing"
    INCOMING = "incoming"
    ASKED = "asked"
    VERIFIED = "verified"
    ATTACHED = "attached"
    DETACHED = "detached"
    ENDED = "ended"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    FAILED = "failed"
    MISSED = "missed"
    NOT_ANSWERED = "not-answered"

    @property
    def status(self) -> CallStatus:
        """The status in the API. Raises ``ValueError`` for ``NEW``, which has none."""
        match self:
            case Phase.ASKED:
                return CallStatus.INCOMING
            case Phase.ATTACHED | Phase.DETACHED:
                return CallStatus.ANSWERED
            case _:
                return CallStatus(self.value)


class Actor(Enum):
    """The cause of an event."""

    PROVIDER = "provider"
    """A signed webhook, or the answer of the provider's REST API."""

    NEW_LEG = "new leg"
    """A media socket that a reference has let in, and that has not started yet."""

    LEG = "leg"
    """The media socket that holds the call."""

    API = "API"
    """A request to the API or the console."""

    SERVICE = "service"
    """A deadline, or the start of the process."""


class Trigger(Enum):
    """An event that changes the state of a call, or may come only in some states.

    The end of a call has no trigger of its own: its reason is the event.
    """

    ADMITTED = "admitted"
    PLACED = "placed"
    REFUSED = "refused"
    PIN_ASKED = "PIN asked"
    PIN_ACCEPTED = "PIN accepted"
    RINGING = "ringing"
    REFERENCE_ISSUED = "reference issued"
    SOCKET_LET_IN = "socket let in"
    STREAM_STARTED = "stream started"
    STREAM_PROGRESS = "stream progress"
    SOCKET_LOST = "socket lost"
    PROCESS_RESTARTED = "process restarted"
    SOCKET_FOUND = "socket found"
    MOVE_REQUESTED = "move requested"
    ARRIVED = "arrived"
    TRANSFER_REQUESTED = "transfer requested"
    DIALLED = "dialled"
    DIAL_FAILED = "dial failed"


Event: TypeAlias = Trigger | EndReason

Part: TypeAlias = CallStatus | None
"""The latest status on a call's ladder of a switch of rooms, or of a transfer, if any."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of the table: the causes of an event, and its effect on each part of the state.

    A part that is ``None`` here stays as it is. Otherwise only the states that it names allow the
    event.
    """

    by: frozenset[Actor]
    phase: Mapping[Phase, Phase]
    switch: Mapping[Part, Part] | None = None
    transfer: Mapping[Part, Part] | None = None


def _row(
    *by: Actor,
    phase: Mapping[Phase, Phase],
    switch: Mapping[Part, Part] | None = None,
    transfer: Mapping[Part, Part] | None = None,
) -> Transition:
    return Transition(frozenset(by), phase, switch, transfer)


T = TypeVar("T")


def _same(states: Iterable[T]) -> Mapping[T, T]:
    return {each: each for each in states}


def _phases(statuses: Iterable[CallStatus]) -> tuple[Phase, ...]:
    known = frozenset(statuses)
    return tuple(each for each in Phase if each is not Phase.NEW and each.status in known)


WAITING_PHASES = _phases(WAITING)
LIVE_PHASES = _phases(LIVE)
END_PHASES = _phases(ENDS)
ANSWERED_PHASES = (Phase.ATTACHED, Phase.DETACHED)

# A caller who is asked for a PIN is given no reference, and so has no socket.
_CONNECTING = tuple(each for each in WAITING_PHASES if each is not Phase.ASKED)
_STREAMABLE = (*_CONNECTING, *ANSWERED_PHASES)

_SWITCHING = CallStatus.SWITCH_ROOM_INITIATED
_SETTLED: tuple[Part, ...] = (None, CallStatus.SWITCH_ROOM_COMPLETED)
_NO_TRANSFER: tuple[Part, ...] = (None, CallStatus.TRANSFER_FAILED)
_PENDING_TRANSFER = (CallStatus.TRANSFER_INITIATED, CallStatus.TRANSFERRING)

_UNANSWERED = {
    EndReason.RING_TIMEOUT: Phase.MISSED,
    EndReason.NO_ANSWER: Phase.NOT_ANSWERED,
    EndReason.CALLEE_BUSY: Phase.REJECTED,
    EndReason.PROVIDER_FAILED: Phase.FAILED,
    EndReason.PROTOCOL_ERROR: Phase.FAILED,
}
"""Ends of a call that was never answered; by any other reason it was abandoned."""


def _end(reason: EndReason, *by: Actor) -> Transition:
    """Return the row of an end. A call that the API ends before its answer is not abandoned."""
    unanswered = Phase.ENDED if by == (Actor.API,) else _UNANSWERED.get(reason, Phase.ABANDONED)
    is_transferred = reason is EndReason.TRANSFERRED
    transfer = CallStatus.TRANSFERRED if is_transferred else CallStatus.TRANSFER_FAILED
    return _row(
        *by,
        phase={
            **dict.fromkeys(WAITING_PHASES, unanswered),
            **dict.fromkeys(ANSWERED_PHASES, Phase.ENDED),
        },
        switch={
            **_same((*_SETTLED, CallStatus.SWITCH_ROOM_FAILED)),
            _SWITCHING: CallStatus.SWITCH_ROOM_FAILED,
        },
        transfer={
            **_same((*_NO_TRANSFER, CallStatus.TRANSFERRED)),
            **dict.fromkeys(_PENDING_TRANSFER, transfer),
        },
    )


_ENDED_BY: Mapping[EndReason, tuple[Actor, ...]] = {
    EndReason.CALLER_HUNG_UP: (Actor.PROVIDER, Actor.LEG),
    EndReason.NO_ANSWER: (Actor.PROVIDER,),
    EndReason.CALLEE_BUSY: (Actor.PROVIDER,),
    EndReason.CANCELED: (Actor.PROVIDER,),
    EndReason.PROVIDER_FAILED: (Actor.PROVIDER,),
    EndReason.TRANSFERRED: (Actor.PROVIDER,),
    EndReason.CONNECTION_LOST: (Actor.LEG, Actor.SERVICE),
    EndReason.PROTOCOL_ERROR: (Actor.LEG,),
    EndReason.REPLACED: (Actor.LEG,),
    EndReason.ENDED_BY_API: (Actor.API,),
    EndReason.ROOM_DEACTIVATED: (Actor.API,),
    EndReason.SESSION_ENDED: (Actor.API,),
    EndReason.REMOVED: (Actor.API,),
    EndReason.RING_TIMEOUT: (Actor.SERVICE,),
    EndReason.NO_SOCKET: (Actor.SERVICE,),
    EndReason.NO_PIN: (Actor.SERVICE,),
    EndReason.MAX_DURATION: (Actor.SERVICE,),
    EndReason.SESSION_TIMEOUT: (Actor.SERVICE,),
    EndReason.ALONE: (Actor.SERVICE,),
    EndReason.BUSY: (Actor.SERVICE,),
    EndReason.NO_ROUTE: (Actor.SERVICE,),
    EndReason.NOT_ALLOWED: (Actor.SERVICE,),
    EndReason.PARTICIPANT_NOT_ALLOWED: (Actor.SERVICE,),
}

TABLE: Mapping[Event, Transition] = {
    Trigger.ADMITTED: _row(Actor.PROVIDER, Actor.API, phase={Phase.NEW: Phase.INCOMING}),
    Trigger.PLACED: _row(Actor.API, phase={Phase.NEW: Phase.INITIATED}),
    Trigger.REFUSED: _row(
        Actor.PROVIDER, phase={Phase.NEW: Phase.REJECTED, Phase.ASKED: Phase.REJECTED}
    ),
    Trigger.PIN_ASKED: _row(
        Actor.PROVIDER, phase={Phase.NEW: Phase.ASKED, Phase.ASKED: Phase.ASKED}
    ),
    Trigger.PIN_ACCEPTED: _row(Actor.PROVIDER, phase={Phase.ASKED: Phase.VERIFIED}),
    Trigger.RINGING: _row(Actor.PROVIDER, phase={Phase.INITIATED: Phase.RINGING}),
    Trigger.REFERENCE_ISSUED: _row(Actor.PROVIDER, phase=_same(_STREAMABLE)),
    Trigger.SOCKET_LET_IN: _row(Actor.NEW_LEG, phase=_same(_STREAMABLE)),
    Trigger.STREAM_STARTED: _row(Actor.NEW_LEG, phase=dict.fromkeys(_STREAMABLE, Phase.ATTACHED)),
    Trigger.STREAM_PROGRESS: _row(Actor.LEG, phase=_same(_STREAMABLE)),
    Trigger.SOCKET_LOST: _row(
        Actor.LEG,
        phase={**_same(_CONNECTING), Phase.ATTACHED: Phase.DETACHED},
    ),
    Trigger.PROCESS_RESTARTED: _row(Actor.SERVICE, phase={Phase.ATTACHED: Phase.DETACHED}),
    Trigger.SOCKET_FOUND: _row(Actor.SERVICE, phase={Phase.DETACHED: Phase.ATTACHED}),
    Trigger.MOVE_REQUESTED: _row(
        Actor.API,
        phase=_same(ANSWERED_PHASES),
        switch=dict.fromkeys((*_SETTLED, _SWITCHING), _SWITCHING),
        transfer=_same(_NO_TRANSFER),
    ),
    Trigger.ARRIVED: _row(
        Actor.LEG,
        phase=_same(ANSWERED_PHASES),
        switch={_SWITCHING: CallStatus.SWITCH_ROOM_COMPLETED},
    ),
    Trigger.TRANSFER_REQUESTED: _row(
        Actor.API,
        phase=_same(ANSWERED_PHASES),
        transfer=dict.fromkeys(_NO_TRANSFER, CallStatus.TRANSFER_INITIATED),
    ),
    Trigger.DIALLED: _row(
        Actor.PROVIDER,
        phase=_same(ANSWERED_PHASES),
        transfer=dict.fromkeys(_PENDING_TRANSFER, CallStatus.TRANSFERRING),
    ),
    Trigger.DIAL_FAILED: _row(
        Actor.PROVIDER,
        phase=dict.fromkeys(ANSWERED_PHASES, Phase.DETACHED),
        transfer=dict.fromkeys(_PENDING_TRANSFER, CallStatus.TRANSFER_FAILED),
    ),
    **{reason: _end(reason, *by) for reason, by in _ENDED_BY.items()},
}
