"""Rooms, their legs and the tick that mixes them, without sockets and threads.

The engine passes messages and ticks in. Output goes to each leg's ``Transport``, and reports go to
a callable. Monotonic times (``at``) are arguments; wall time comes from the clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service.clock import Clock
from service.domain.calls import EndReason, LadderEvent, Participant
from service.domain.loudness import Loudness
from service.domain.wire import (
    Audio,
    Complaint,
    Event,
    Ignored,
    Started,
    Stopped,
    Unknown,
)
from service.errors import RefusedStart, RemoteError
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.overrun import OVERRUN
from service.media.rooms import starts
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.leg import NO_AUDIO, Leg, LegSpec
from service.media.rooms.leg_state import LegState, restore
from service.media.rooms.live_levels import LiveLevels
from service.media.rooms.mixed_rooms import MixedRooms
from service.media.rooms.recovery import withdraw
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, LegStep, Report
from service.media.rooms.room import Room
from service.media.rooms.room_events import RoomEvents
from service.media.rooms.tap import Tap
from service.media.rooms.transport import Transport

logger = logging.getLogger(__name__)

ANOTHER_SOCKET = "The call has another socket now."


class LiveRooms:
    """All rooms of the process. Used by the engine's thread only."""

    def __init__(
        self,
        clock: Clock,
        report: Callable[[Report], None],
        faults: FaultLog | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._faults = faults or FaultLog()
        self._report = report
        self._tap = tap
        self._legs: dict[str, Leg] = {}  # by call id, from the start message on
        self._mixed = MixedRooms()
        self._events = RoomEvents(clock, self._mixed)

    def __len__(self) -> int:
        """Return the number of legs in rooms."""
        return len(self._legs)

    @property
    def buffers(self) -> BatchJitterBuffer:
        return self._mixed.buffers

    def leg(self, call_id: str) -> Leg | None:
        return self._legs.get(call_id)

    def open(self, spec: LegSpec, line: Transport) -> Leg:
        """Return a leg for an adopted socket. It joins its room with the peer's start message."""
        return Leg(spec, line, self._faults)

    def message(self, leg: Leg, message: bytes, at: float, earliest: float | None = None) -> None:
        """Act on one text message. Raises ``RemoteError`` if the leg must be closed for it.

        ``earliest`` is given if the message was read late: it arrived between that time and ``at``.
        """
        audio = leg.wire.audio(message)
        if audio is not None and leg.buffer is not None:
            # The wire recognises only messages like an audio message that it has parsed before.
            leg.buffer.push(audio[0], at, audio[1], earliest)
            return
        try:
            self._act_on(leg, message, at)
        except RefusedStart as error:
            starts.warn(leg, error, message)
            raise

    def move(
        self, leg: Leg, room_id: str, participant: Participant, session_id: str | None = None
    ) -> None:
        """Move a leg to another room on the same socket, without a gap in its audio.

        A leg that has not started will start there. ``session_id`` is used if the room is empty.
        """
        before = leg.spec
        has_started = self._legs.get(before.call_id) is leg
        if (before.room_id, before.participant) != (room_id, participant):
            if has_started:
                self._vacate(room_id)
                if before.room_id == room_id:
                    session_id = self._mixed[room_id].session_id
                self._mixed.leave(leg)
            leg.spec = replace(
                before, room_id=room_id, participant=participant, session_id=session_id
            )
            if has_started:
                self._join(leg)
                logger.info("leg moved", extra=leg.spec.fields)
        if has_started:
            self._arrived(leg)

    def close(self, leg: Leg, reason: EndReason | None, detail: str) -> None:
        """Remove a leg from its room and report its end."""
        loudness, stats = leg.meter.loudness() if leg.meter else None, leg.last_stats()
        try:
            self.take_out(leg)
        finally:
            logger.info("leg closed: %s", detail, extra=leg.spec.fields)
            now = self._clock.now()
            self._report(LegClosed(*leg.names, reason, detail, stats, now, loudness))

    def take_out(self, leg: Leg) -> None:
        """Remove a leg from its room, and report nothing: it may go on elsewhere."""
        if self._legs.get(leg.spec.call_id) is leg:
            del self._legs[leg.spec.call_id]
            self._mixed.leave(leg)
        withdraw([leg], self.buffers)

    def resume(self, leg: Leg, state: LegState, at: float) -> None:
        """Continue a leg of another engine, and report its arrival if it had started.

        Raises ``RemoteError`` if it cannot continue.
        """
        restore(leg, state, at, self._clock.now())
        if leg.buffer is None:
            return
        spec = leg.spec
        if spec.call_id in self._legs:
            leg.line.hang_up(1000, ANOTHER_SOCKET, EndReason.REPLACED)
            return
        self._vacate(spec.room_id)
        self._legs[spec.call_id] = leg
        self._join(leg)
        logger.info("leg moved", extra=spec.fields)
        self._arrived(leg)

    def look_after(self, leg: Leg) -> None:
        """Renew the allowance of texts; report an overrun or missing audio. Once a second."""
        leg.allow_texts()
        if leg.buffer is not None and leg.buffer.overrun.count and not leg.overran:
            leg.overran = True
            self._step(leg, LadderEvent.OVERRUN, OVERRUN)
        if leg.falls_mute(self._clock.monotonic()):
            self._step(leg, LadderEvent.NO_AUDIO, NO_AUDIO)

    def settle(self, at: float) -> None:
        """End a stall of this process, so that audio that arrived during it adds no delay."""
        self._mixed.settle(at)

    def tick(self, at: float, number: int = 0) -> None:
        """Mix one frame of every room and send each leg its own. The tap gets its copy last."""
        for leg in self._mixed.tick(at):
            self._step(leg, LadderEvent.FIRST_AUDIO_OUT)
        if self._tap:
            try:
                self._mixed.feed(self._tap, number)
            except Exception:
                self._faults.note("what is recorded is lost")
                self._tap.fail()

    def rebuild(self, legs: Sequence[Leg], at: float, *, sift: bool = False) -> None:
        """Rebuild the state of all ``legs`` after an exception in a tick.

        With ``sift``, find the legs that make ticks fail, and fail them.
        """
        self._mixed.rebuild(legs, at)
        if sift:
            for leg in self._mixed.sift(at):
                self._step(leg, LadderEvent.FIRST_AUDIO_OUT)
            self._mixed.rebuild(legs, at)

    def live_levels(self) -> Mapping[str, LiveLevels]:
        """Return each call's levels and buffer statistics as of the last tick, by call id."""
        return self._mixed.live_levels()

    def loudness(self, call_id: str) -> Loudness | None:
        """Return the loudness of a call on its current leg."""
        leg = self._legs.get(call_id)
        return leg.meter.loudness() if leg is not None and leg.meter is not None else None

    def _act_on(self, leg: Leg, message: bytes, at: float) -> None:
        try:
            events = leg.wire.receive(message)
        except RemoteError as error:
            # A refused start ends the leg; one malformed message does not.
            if isinstance(error, RefusedStart):
                raise
            if leg.count_fault(error.message):
                raise error if leg.buffer else RefusedStart(starts.missing(leg)) from None
            logger.debug("malformed: %s", error.message, extra=leg.spec.fields)
            return
        if leg.buffer is None:
            leg.start_message = message
        for event in events:
            self._handle(leg, event, at)

    def _handle(self, leg: Leg, event: Event, at: float) -> None:
        match event:
            case Audio():
                self._hear(leg, event, at)
            case Started():
                self._start(leg, event)
            case Stopped():
                leg.line.hang_up(1000, "", EndReason.CALLER_HUNG_UP)
            case Unknown():
                leg.count_unknown(event.name)
            case Ignored():
                leg.count_ignored()
            case Complaint():
                detail = event.detail[:200]
                logger.warning(
                    "the provider complains: %s %s", event.code, detail, extra=leg.spec.fields
                )
            case _:
                room = self._mixed.get(leg.spec.room_id)
                if room is not None and self._legs.get(leg.spec.call_id) is leg:
                    self._events.handle(leg, room, event, at)

    def _hear(self, leg: Leg, audio: Audio, at: float) -> None:
        if leg.buffer is None:
            return
        leg.buffer.push(audio.payload, at, audio.order)
        leg.kind = leg.wire.kind()
        if not leg.spoke:
            leg.spoke = True
            self._step(leg, LadderEvent.FIRST_AUDIO_IN)

    def _start(self, leg: Leg, started: Started) -> None:
        leg.start(started, self._clock.now())
        leg.began = self._clock.monotonic()
        spec = leg.spec
        self._vacate(spec.room_id)
        old = self._legs.get(spec.call_id)
        self._legs[spec.call_id] = leg
        if old is not None and old.spec.room_id == spec.room_id:
            self._mixed.replace(old, leg)
        else:
            if old is not None:
                self._mixed.leave(old)
            self._join(leg)
        if old is not None:
            old.line.hang_up(1000, ANOTHER_SOCKET, EndReason.REPLACED)
        room = self._mixed[spec.room_id]
        logger.info("leg joined its room", extra=leg.spec.fields)
        self._report(LegStarted(*leg.names, room.session_id, self._clock.now()))

    def _arrived(self, leg: Leg) -> None:
        spec, now = leg.spec, self._clock.now()
        there = self._mixed[spec.room_id].session_id
        self._report(LegMoved(*leg.names, spec.room_id, spec.participant.id, there, now))

    def _join(self, leg: Leg) -> None:
        room = self._mixed.enter(leg)
        self._expel_namesake(room, leg)
        room.join(leg)

    def _vacate(self, room_id: str) -> None:
        """Discard a room whose legs have all been told to leave; the next leg begins a new session.

        The last sockets may take a moment to close.
        """
        room = self._mixed.get(room_id)
        if room is not None and all(other.left for other in room.legs):
            for other in list(room.legs):
                del self._legs[other.spec.call_id]
                self._mixed.leave(other)

    def _expel_namesake(self, room: Room, leg: Leg) -> None:
        """Expel a leg with the same participant id, because an id names one voice.

        This is done before its socket closes. Otherwise the last message to the others would be
        that the participant has left.
        """
        for other in list(room.legs):
            if other.spec.participant.id == leg.spec.participant.id:
                other.leave("Duplicate participant")
                del self._legs[other.spec.call_id]
                room.leave(other)
                other.line.hang_up(1000, "Duplicate participant", EndReason.REPLACED)

    def _step(self, leg: Leg, event: LadderEvent, detail: str | None = None) -> None:
        self._report(LegStep(*leg.names, event, self._clock.now(), detail))
