"""Acts on the messages of other nodes, with the own engine and without asking any other node."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from service.cluster.channel import Frame
from service.cluster.codec import Malformed, pack
from service.cluster.messages import (
    Accepted,
    AdoptSocket,
    Answer,
    ChangeHint,
    GetEngineStats,
    GetLevels,
    GetLoudness,
    GetStats,
    HangUpCall,
    Message,
    MoveCall,
    NodeLevels,
    Rejected,
    ReleaseCall,
)
from service.cluster.spec_codec import SpecCodec
from service.errors import NotFound
from service.media.engine.engine import Engine

STOPPING = "This node ends, and adopts no more sockets."


class MessageHandler:
    """For the listener's thread. ``place`` applies a ``MoveCall`` to the legs of the own engine.

    ``hinted`` is called with the signals and the calls of a hint. ``changes`` returns how often
    stored calls have changed so far.
    """

    def __init__(
        self,
        engine: Engine,
        specs: SpecCodec,
        place: Callable[[MoveCall], object],
        hinted: Callable[[Iterable[str], Iterable[str]], object],
        changes: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._specs = specs
        self._place = place
        self._hinted = hinted
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
            case MoveCall():
                self._place(message)
            case ChangeHint(signals, calls):
                self._hinted(signals, calls)
            case GetStats(call_ids):
                return Accepted(pack(self._engine.stats(call_ids)))
            case GetLoudness(call_id):
                return Accepted(pack(self._engine.loudness(call_id)))
            case GetEngineStats():
                return Accepted(pack(self._engine.engine_stats()))
            case GetLevels():
                return Accepted(pack(NodeLevels(self._engine.levels(), self._changes())))
        return Accepted()

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
