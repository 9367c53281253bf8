"""Lifecycle events and their documents. Pure.

Names and members are VideoSDK's; an event's document is the ``data`` of its webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from service.clock import Millis, iso
from service.domain.agents import Dispatch
from service.domain.calls import Call, CallStatus, EndReason, LadderStep


class CallEvent(StrEnum):
    """Events of a call. No provider reports ``accepted`` and ``ringing`` of a transfer: these two
    can be subscribed to, and do not occur.
    """

    STARTED = "call-started"
    RINGING = "call-ringing"
    ANSWERED = "call-answered"
    HANGUP = "call-hangup"
    MISSED = "call-missed"
    UPDATE = "call-update"
    TRANSFER_INITIATED = "call-transfer-initiated"
    TRANSFER_ACCEPTED = "call-transfer-accepted"
    TRANSFERRING = "call-transferring"
    TRANSFER_RINGING = "call-transfer-ringing"
    TRANSFERRED = "call-transferred"
    TRANSFER_FAILED = "call-transfer-failed"
    SWITCH_ROOM_INITIATED = "switch-room-initiated"
    SWITCH_ROOM_COMPLETED = "switch-room-completed"
    SWITCH_ROOM_FAILED = "switch-room-failed"


class RoomEvent(StrEnum):
    """Events of a room."""

    SESSION_STARTED = "session-started"
    SESSION_ENDED = "session-ended"
    PARTICIPANT_JOINED = "participant-joined"
    PARTICIPANT_LEFT = "participant-left"
    AGENT_STARTING = "agent-session-starting"
    AGENT_STARTED = "agent-session-started"
    AGENT_STOPPED = "agent-session-stopped"
    AGENT_FAILED = "agent-session-failed"


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, its time, and the call at that time."""

    event: CallEvent
    call: Call
    at: Millis


OF_STEPS = {
    CallStatus.RINGING: CallEvent.RINGING,
    CallStatus.ANSWERED: CallEvent.ANSWERED,
    CallStatus.MISSED: CallEvent.MISSED,
    CallStatus.NOT_ANSWERED: CallEvent.MISSED,
    CallStatus.ENDED: CallEvent.HANGUP,
    CallStatus.REJECTED: CallEvent.HANGUP,
    CallStatus.ABANDONED: CallEvent.HANGUP,
    CallStatus.FAILED: CallEvent.HANGUP,
    CallStatus.TRANSFER_INITIATED: CallEvent.TRANSFER_INITIATED,
    CallStatus.TRANSFERRING: CallEvent.TRANSFERRING,
    CallStatus.TRANSFERRED: CallEvent.TRANSFERRED,
    CallStatus.TRANSFER_FAILED: CallEvent.TRANSFER_FAILED,
    CallStatus.SWITCH_ROOM_INITIATED: CallEvent.SWITCH_ROOM_INITIATED,
    CallStatus.SWITCH_ROOM_COMPLETED: CallEvent.SWITCH_ROOM_COMPLETED,
    CallStatus.SWITCH_ROOM_FAILED: CallEvent.SWITCH_ROOM_FAILED,
}
"""Event of each status that a call reaches. ``verified`` is only an update."""


def happenings(before: CallStatus | None, call: Call, new: Sequence[LadderStep]) -> list[Happening]:
    """Return the events of a call's new steps, in order. ``before`` is its status before them;
    ``None`` for a new call.

    Every call that has started ends with one ``call-hangup`` or ``call-missed``. A change of its
    status is also a ``call-update``, for receivers that subscribe to nothing else. The last event
    has the whole ladder, each other one only the new steps.
    """
    found = []
    status = before
    if status is None:
        # A ticket for a custom WebSocket has no step yet.
        status = new[0].status if new else call.status
        began = new[0].at if new else call.started_at
        found.append(Happening(CallEvent.STARTED, _as_of(call, new[:1], status), began))
    for number, step in enumerate(new, 1):
        is_own = step.status.is_live or step.status.is_end
        if is_own and step.status is status:
            continue
        status = step.status if is_own else status
        then = _as_of(call, new[:number], status)
        event = OF_STEPS.get(step.status)
        if event is not None:
            found.append(Happening(event, then, step.at))
        if is_own:
            found.append(Happening(CallEvent.UPDATE, then, step.at))
    return found


def _as_of(call: Call, new: Sequence[LadderStep], status: CallStatus) -> Call:
    """Return the call as of the last of these steps."""
    if status.is_end:
        return call
    return replace(call, status=status, steps=tuple(new), ended_at=None, end_reason=None)


def call_document(call: Call) -> dict[str, Any]:
    """Return a call in the API's shape, without hidden numbers."""
    transfer = call.transfer
    return {
        "id": call.id,
        "callId": call.id,
        "type": call.direction,
        "provider": call.provider,
        "transport": "websocket",
        "gatewayId": None,
        "ruleId": call.rule_id,
        "roomId": call.room_id,
        "sessionId": call.session_id,
        "to": call.callee,
        "from": call.caller,
        "sipCallTo": call.callee,
        "sipCallFrom": call.caller,
        "status": call.status,
        "metadata": call.metadata,
        "start": iso(call.started_at),
        "end": None if call.ended_at is None else iso(call.ended_at),
        "timelog": [_step_document(step) for step in call.steps],
        "region": call.region,
        "additionalDetails": None,
        "endReason": call.end_reason,
        "stats": call.stats,
        "participantId": call.participant.id,
        "connectorId": call.connector_id,
        "transfer": transfer and {"to": transfer.number, "status": transfer.status},
    }


def event_document(happening: Happening) -> dict[str, Any]:
    """Return the ``data`` of an event: the call, and more members of VideoSDK's events.

    ``transferTo`` is present once the call is being transferred to a number.
    """
    call = happening.call
    document = {**call_document(call), "meetingId": call.room_id, "timestamp": iso(happening.at)}
    return {**document, "transferTo": call.transfer.number} if call.transfer else document


def _step_document(step: LadderStep) -> dict[str, Any]:
    document = {"status": step.status, "timestamp": iso(step.at), "event": step.event}
    return document if step.detail is None else {**document, "detail": step.detail}


def session_document(
    room_id: str, session_id: str, start: Millis, end: Millis | None = None
) -> dict[str, Any]:
    """Return the ``data`` of ``session-started``, or with ``end``, of ``session-ended``."""
    document: dict[str, Any] = {
        "sessionId": session_id,
        "meetingId": room_id,
        "start": _offset(start),
    }
    if end is not None:
        document |= {"end": _offset(end), "error": None, "reason": "Meeting Ended."}
    return document


def participant_document(
    room_id: str, session_id: str, participant_id: str, name: str, call_id: str
) -> dict[str, Any]:
    """Return the ``data`` of ``participant-joined``. VideoSDK has no ``callId``."""
    return {
        "meetingId": room_id,
        "sessionId": session_id,
        "participantId": participant_id,
        "participantName": name,
        "callId": call_id,
    }


def agent_document(
    dispatch: Dispatch, session_id: str | None, **more: str | None
) -> dict[str, Any]:
    """Return the ``data`` of the ``agent-session`` events, of which VideoSDK documents the names.

    ``more`` are the agent's participant id once it is in the room, or the reason of its failure.
    """
    return {
        "meetingId": dispatch.room_id,
        "sessionId": session_id,
        "agentId": dispatch.agent_id,
        "jobId": dispatch.id,
        "callId": dispatch.call_id,
        **more,
    }


def left_reason(reason: EndReason | None) -> str:
    """Return VideoSDK's word for why a participant left. ``None`` is a move to another room."""
    if reason in (None, EndReason.CALLER_HUNG_UP):
        return "user-left"
    if reason in (EndReason.CONNECTION_LOST, EndReason.PROTOCOL_ERROR):
        return "connection-error"
    return "UNKNOWN"


def _offset(at: Millis) -> str:
    """Format a time as VideoSDK's room webhooks do, with ``+00:00`` instead of ``Z``."""
    return f"{iso(at)[:-1]}+00:00"


def matches(patterns: Sequence[str], event: str) -> bool:
    """Whether one of ``patterns`` is the event's name, or a prefix of it and an asterisk.

    An asterisk anywhere else is literal, and so matches no event.
    """
    return any(
        event.startswith(pattern[:-1]) if pattern.endswith("*") else event == pattern
        for pattern in patterns
    )
