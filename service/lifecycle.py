"""Lifecycle webhooks as words and documents: which events there are, and what each one tells.

Pure. The names and members are VideoSDK's; an event's document is the ``data`` of its webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class CallEvent(StrEnum):
    """What happens to a call. No provider tells us of ``accepted`` and ``ringing`` of a transfer,
    so that these two can be subscribed to and do not occur.
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
    """What happens in a room."""

    SESSION_STARTED = "session-started"
    SESSION_ENDED = "session-ended"
    PARTICIPANT_JOINED = "participant-joined"
    PARTICIPANT_LEFT = "participant-left"
    AGENT_STARTING = "agent-session-starting"
    AGENT_STARTED = "agent-session-started"
    AGENT_STOPPED = "agent-session-stopped"
    AGENT_FAILED = "agent-session-failed"


def matches(patterns: Sequence[str], event: str) -> bool:
    """Whether one of ``patterns`` is the event's name, or its beginning and an asterisk.

    An asterisk anywhere else stands for itself, so that no name of an event has it.
    """
    return any(
        event.startswith(pattern[:-1]) if pattern.endswith("*") else event == pattern
        for pattern in patterns
    )
