"""Handler of the messages of other nodes. It uses its own engine, and asks no other node."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from service import __version__
from service.clock import Clock
from service.cluster.channel import Frame
from service.cluster.codec import Malformed, pack
from service.cluster.messages import (
    Accepted,
    AdoptSocket,
    Answer,
    CallHeld,
    ChangeHint,
    GetLevels,
    GetLoudness,
    GetNode,
    GetProcess,
    GetSimulatedCalls,
    GetStats,
    GetTroubles,
    HangUpCall,
    HangUpSimulatedCall,
    Message,
    MoveCall,
    NodeInfo,
    NodeLevels,
    Rejected,
    ReleaseCall,
    ReleaseCalls,
)
from service.cluster.process_stats import process_stats
from service.cluster.spec_codec import SpecCodec
from service.errors import NotFound
from service.media.engine.engine import Engine
from service.simulator.simulated_calls import SimulatedCall, SimulatedCalls
from service.telemetry.logs import Troubles

STOPPING = "This node ends, and adopts no more sockets."


class MessageHandler:
    """For the listener's thread. ``place`` applies a ``MoveCall`` to the legs of the own engine.

    ``hinted`` is called with the signals and the calls of a hint. ``changes`` returns how often
    stored calls have changed so far.
    """

    def __init__(
        self,
        node_id: str,
        wall: Clock,
        engine: Engine,
        simulated_calls: SimulatedCalls,
        troubles: Troubles,
        specs: SpecCodec,
        place: Callable[[MoveCall], object],
        hinted: Callable[[Iterable[str], Iterable[str]], object],
        held: Callable[[str], object],
        changes: Callable[[], int],
    ) -> None:
        self._node_id = node_id
        self._wall = wall
        self._engine = engine
        self._simulated_calls = simulated_calls
        self._troubles = troubles
        self._specs = specs
        self._place = place
        self._hinted = hinted
        self._held = held
        self._changes = changes

    def handle(self, message: Message, frame: Frame) -> Answer:
        """Return the answer. Raises ``Malformed``, or ``TimeoutError`` of the engine."""
        match message:
            case AdoptSocket():
                return self._adopt(message, frame)
            case HangUpCall(call_id, reason, text):
                self._engine.hang_up(call_id, reason, text)
            case ReleaseCall(call_id, text):
                self._engine.release(call_id, text)
            case ReleaseCalls(call_ids, text):
                for call_id in call_ids:
                    self._engine.hand_back(call_id, text)
            case CallHeld(call_id):
                self._held(call_id)
            case MoveCall():
                self._place(message)
            case ChangeHint(signals, calls):
                self._hinted(signals, calls)
            case GetStats(call_ids):
                return Accepted(pack(self._engine.stats(call_ids)))
            case GetLoudness(call_id):
                return Accepted(pack(self._engine.loudness(call_id)))
            case GetProcess():
                return Accepted(pack((process_stats(self._node_id, self._engine),)))
            case GetNode():
                return Accepted(pack(NodeInfo(self._node_id, __version__, self._wall.now())))
            case GetTroubles():
                return Accepted(pack(self._troubles.last()))
            case GetSimulatedCalls():
                return Accepted(pack(self._simulated_calls.all()))
            case HangUpSimulatedCall(simulated_call_id):
                return Accepted(pack(self._hang_up(simulated_call_id)))
            case GetLevels():
                return Accepted(pack(NodeLevels(self._engine.levels(), self._changes())))
        return Accepted()

    def _hang_up(self, simulated_call_id: str) -> tuple[SimulatedCall, ...]:
        try:
            return (self._simulated_calls.hang_up(simulated_call_id),)
        except NotFound:
            return ()

    def _adopt(self, message: AdoptSocket, frame: Frame) -> Answer:
        if self._engine.is_ending:
            return Rejected(STOPPING)
        try:
            spec = self._specs.decode(message.leg)
        except NotFound as error:
            return Rejected(error.message)
        descriptor = frame.take_descriptor()
        if descriptor is None:
            raise Malformed("AdoptSocket must bring a descriptor.")
        self._engine.adopt(socket.socket(fileno=descriptor), spec, message.state)
        return Accepted()
