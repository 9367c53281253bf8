"""Recordings, the spools that their audio is in while calls are up, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.clock import Millis


class RecordingKind(StrEnum):
    ROOM = "room"
    PARTICIPANT = "participant"
    TRACK = "track"
    MERGE = "merge"
    """A file of other recordings, each in one of two channels."""
    COMPOSITE = "composite"


class RecordingStatus(StrEnum):
    """``stopping`` until all spools are finished, and ``waiting`` until the file is made."""

    RECORDING = "recording"
    STOPPING = "stopping"
    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A file in the store of recordings, by its key there."""

    key: str
    format: str
    size: int
    millis: Millis


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was asked for, up to its file.

    ``participant_id`` is empty for a whole room. ``file_format`` is the one asked for, and
    ``options`` has the other fields of the request. ``is_interrupted`` says that a process was lost
    with up to a second of it. ``attempts`` have been made to make the file, the last of which has
    failed for the reason in ``detail``; ``due_at`` is the time of the next one.
    """

    id: str
    kind: RecordingKind
    room_id: str
    participant_id: str
    file_format: str
    status: RecordingStatus
    started_at: Millis
    session_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ended_at: Millis | None = None
    is_interrupted: bool = False
    attempts: int = 0
    due_at: Millis | None = None
    detail: str | None = None
    file: RecordingFile | None = None


@dataclass(frozen=True, slots=True)
class Spool:
    """Raw audio of one call on the disk of one node, for one recording.

    ``first`` is its first tick and ``end`` the one after its last, once it is finished. Both are 0
    if nothing was heard.
    """

    id: str
    recording_id: str
    call_id: str
    participant_id: str
    node_id: str
    created_at: Millis
    first: int = 0
    end: int = 0
    finished_at: Millis | None = None
