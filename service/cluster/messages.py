"""Messages between nodes: values, and their form in bytes.

Each message has one answer: ``Accepted`` with a value, or ``Rejected`` with a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from service.clock import Millis
from service.cluster.codec import Malformed, pack, unpack
from service.cluster.spec_codec import SpecMessage
from service.domain.calls import EndReason, Participant
from service.media.rooms.leg_state import LegState


@dataclass(frozen=True, slots=True)
class AdoptSocket:
    """Adopt the socket that comes with this message. ``state`` is that of a leg that has begun."""

    leg: SpecMessage
    state: LegState | None


@dataclass(frozen=True, slots=True)
class HangUpCall:
    call_id: str
    reason: EndReason
    text: str


@dataclass(frozen=True, slots=True)
class ReleaseCall:
    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ReleaseCalls:
    """Close the sockets of these calls: other nodes have taken the calls over."""

    call_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class CallHeld:
    """The call's provider was told to hold, by a node that cannot store it at the moment."""

    call_id: str


@dataclass(frozen=True, slots=True)
class MoveCall:
    """The call belongs in this room, which is on node ``node_id``."""

    call_id: str
    room_id: str
    participant: Participant
    session_id: str | None
    node_id: str


@dataclass(frozen=True, slots=True)
class GetStats:
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GetLoudness:
    call_id: str


@dataclass(frozen=True, slots=True)
class GetProcess:
    """Ask for ``ProcessStats``, in a list."""


@dataclass(frozen=True, slots=True)
class GetNode:
    """Ask for ``NodeInfo``."""


@dataclass(frozen=True, slots=True)
class GetTroubles:
    """Ask for the last warnings and errors."""


@dataclass(frozen=True, slots=True)
class GetSimulatedCalls:
    """Ask for all test calls of the node."""


@dataclass(frozen=True, slots=True)
class HangUpSimulatedCall:
    """Hang up a test call, and ask for it in a list. The list is empty if the node has none."""

    simulated_call_id: str


@dataclass(frozen=True, slots=True)
class GetLevels:
    """Ask for the levels of all calls, and how often stored calls have changed so far."""


@dataclass(frozen=True, slots=True)
class ChangeHint:
    """There may be new rows for these signals, and these calls have changed."""

    signals: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeLevels:
    """Answer to ``GetLevels``."""

    calls: Mapping[str, Any]
    changes: int


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Answer to ``GetNode``. ``now`` is the wall clock of the node's machine."""

    node_id: str
    version: str
    now: Millis


@dataclass(frozen=True, slots=True)
class Accepted:
    value: Any = None


@dataclass(frozen=True, slots=True)
class Rejected:
    reason: str


Message: TypeAlias = (
    AdoptSocket
    | HangUpCall
    | ReleaseCall
    | ReleaseCalls
    | CallHeld
    | MoveCall
    | GetStats
    | GetLoudness
    | GetProcess
    | GetNode
    | GetTroubles
    | GetSimulatedCalls
    | HangUpSimulatedCall
    | GetLevels
    | ChangeHint
)
Answer: TypeAlias = Accepted | Rejected

KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        AdoptSocket,
        HangUpCall,
        ReleaseCall,
        ReleaseCalls,
        CallHeld,
        MoveCall,
        GetStats,
        GetLoudness,
        GetProcess,
        GetNode,
        GetTroubles,
        GetSimulatedCalls,
        HangUpSimulatedCall,
        GetLevels,
        ChangeHint,
    )
}
ANSWERS: Mapping[str, type[Any]] = {kind.__name__: kind for kind in (Accepted, Rejected)}


def encode(message: Message | Answer) -> bytes:
    return orjson.dumps([type(message).__name__, pack(message)])


def decode(data: bytes) -> Message:
    """Return the message. Raises ``Malformed``."""
    message: Message = _decode(data, KINDS)
    return message


def decode_answer(data: bytes) -> Answer:
    """Return the answer. Raises ``Malformed``."""
    answer: Answer = _decode(data, ANSWERS)
    return answer


def _decode(data: bytes, kinds: Mapping[str, type[Any]]) -> Any:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Malformed("A message must be JSON.") from None
    match document:
        case [str(name), content] if name in kinds:
            return unpack(kinds[name], content, name)
    raise Malformed(f"A message must be a name and its fields: one of {', '.join(kinds)}.")
