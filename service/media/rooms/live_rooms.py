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
    Clear,
    Complaint,
    Digit,
    Event,
    Ignored,
    Mark,
    Publish,
    Started,
    Stopped,
    Subscribe,
    Unknown,
    Unsubscribe,
)
from service.errors import RefusedStart, RemoteError
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.overrun import OVERRUN
from service.media.rooms import starts
from service.media.rooms.faults import Faults
from service.media.rooms.floor import Floor
from service.media.rooms.leg import NO_AUDIO, Leg, LegSpec
from service.media.rooms.live_levels import LiveLevels
from service.media.rooms.recovery import withdraw
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, LegStep, Report
from service.media.rooms.room import Room
from service.media.rooms.transport import Transport

logger = logging.getLogger(__name__)

LINGER = 0.2
"""Seconds for which a voice still counts as audible after a sound. The pauses within speech, before
a "t" or between two syllables, are shorter; and about as much audio waits at a provider."""


class LiveRooms:
    """All rooms of the process. Not thread-safe: the engine's thread owns it."""

    def __init__(
        self, clock: Clock, report: Callable[[Report], None], faults: Faults | None = None
    ) -> None:
        self._clock = clock
        self._faults = faults or Faults()
        self._report = report
        self._legs: dict[str, Leg] = {}  # by call id, from the start message on
        self._floor = Floor()

    def __len__(self) -> int:
        """Legs that are in a room."""
        return len(self._legs)

    @property
    def buffers(self) -> BatchJitterBuffer:
        return self._floor.buffers

    def leg(self, call_id: str) -> Leg | None:
        return self._legs.get(call_id)

    def open(self, spec: LegSpec, line: Transport) -> Leg:
        """A leg for an adopted socket. It is in no room until its peer says that it has started."""
        return Leg(spec, line, self._faults)

    def message(self, leg: Leg, message: bytes, at: float, earliest: float | None = None) -> None:
        """Act on one text message. Raises ``RemoteError`` where the leg must be closed for it.

        Where we were too late to see it arrive, ``earliest`` is when it may have.
        """
        audio = leg.wire.audio(message)
        if audio is not None and leg.buffer is not None:
            # A pattern that was learned has heard audio before.
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
        """Take a leg to another room, on the socket it has and without a gap in its audio.

        One that has not started yet will start there. ``session_id`` is that of a room which
        nobody is in here.
        """
        before = leg.spec
        has_started = self._legs.get(before.call_id) is leg
        if (before.room_id, before.participant) != (room_id, participant):
            if has_started:
                self._vacate(room_id)
                if before.room_id == room_id:
                    session_id = self._floor[room_id].session_id
                self._floor.leave(leg)
            leg.spec = replace(
                before, room_id=room_id, participant=participant, session_id=session_id
            )
            if has_started:
                self._join(leg)
                logger.info("a leg has moved", extra=leg.spec.fields)
        if has_started:
            there = self._floor[room_id].session_id
            now = self._clock.now()
            self._report(LegMoved(*leg.names, room_id, participant.id, there, now))

    def close(self, leg: Leg, reason: EndReason | None, detail: str) -> None:
        """The leg is gone: take it out of its room and report its end."""
        loudness, stats = leg.meter.loudness() if leg.meter else None, leg.last_stats()
        try:
            if self._legs.get(leg.spec.call_id) is leg:
                del self._legs[leg.spec.call_id]
                self._floor.leave(leg)
            withdraw([leg], self.buffers)
        finally:
            logger.info("a leg is closed: %s", detail, extra=leg.spec.fields)
            now = self._clock.now()
            self._report(LegClosed(*leg.names, reason, detail, stats, now, loudness))

    def look_after(self, leg: Leg) -> None:
        """Once a second, for a leg that is alive: allow texts; report an overrun, or no audio."""
        leg.allow_texts()
        if leg.buffer is not None and leg.buffer.overrun.count and not leg.overran:
            leg.overran = True
            self._step(leg, LadderEvent.OVERRUN, OVERRUN)
        if leg.falls_mute(self._clock.monotonic()):
            self._step(leg, LadderEvent.NO_AUDIO, NO_AUDIO)

    def settle(self, at: float) -> None:
        """Note a stall of our own, so that audio from within it makes nobody's delay longer."""
        self._floor.settle(at)

    def tick(self, at: float) -> None:
        """Mix one frame of every room and send each leg what it is to hear."""
        for leg in self._floor.tick(at):
            self._step(leg, LadderEvent.FIRST_AUDIO_OUT)

    def rebuild(self, legs: Sequence[Leg], at: float, *, sift: bool = False) -> None:
        """Rebuild the state after a fault of ours, with all ``legs``.

        With ``sift``, the legs that make ticks fail are found and failed.
        """
        self._floor.rebuild(legs, at)
        if sift:
            for leg in self._floor.sift(at):
                self._step(leg, LadderEvent.FIRST_AUDIO_OUT)
            self._floor.rebuild(legs, at)

    def live_levels(self) -> Mapping[str, LiveLevels]:
        """What can be read off each call now, as of the last tick."""
        return self._floor.live_levels()

    def loudness(self, call_id: str) -> Loudness | None:
        """How loud a call has been on the leg that it is on."""
        leg = self._legs.get(call_id)
        return leg.meter.loudness() if leg is not None and leg.meter is not None else None

    def _act_on(self, leg: Leg, message: bytes, at: float) -> None:
        try:
            events = leg.wire.receive(message)
        except RemoteError as error:
            # A stream that cannot begin is over; one bad message is not.
            if isinstance(error, RefusedStart):
                raise
            if leg.count_fault(error.message):
                raise error if leg.buffer else RefusedStart(starts.missing(leg)) from None
            logger.debug("malformed: %s", error.message, extra=leg.spec.fields)
            return
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
                room = self._floor.get(leg.spec.room_id)
                if room is not None and self._legs.get(leg.spec.call_id) is leg:
                    self._converse(leg, room, event, at)

    def _converse(self, leg: Leg, room: Room, event: Event, at: float) -> None:
        """Events that mean something only inside a room."""
        match event:
            case Digit() if leg.spec.dtmf:
                room.digit(leg, event.digit, self._clock.now())
            case Publish():
                leg.count_text()
                room.publish(leg, event.topic, event.text, self._clock.now())
            case Subscribe():
                leg.subscribe(event.topic)
            case Unsubscribe():
                leg.topics.discard(event.topic)
            case Mark() if leg.buffer:
                leg.buffer.mark(event.name)
            case Clear() if leg.buffer:
                leg.buffer.clear()
                self._take_back(leg, leg.buffer.stats.taken, room, at)

    def _take_back(self, leg: Leg, mixed: int, room: Room, at: float) -> None:
        """Have the others drop what they have not played of a leg, ``mixed`` frames of it so far.

        A provider has all voices in one buffer, which is left alone for the sake of the others.
        """
        if mixed == leg.taken_back:
            return  # Nothing has come of it since the last time.
        leg.taken_back = mixed
        others = [other for other in room.legs if other is not leg]
        audible = [other for other in others if self._floor.audible_at(other) >= at - LINGER]
        for other in others:
            if all(voice is other for voice in audible):
                other.flush()

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
            self._floor.replace(old, leg)
        else:
            if old is not None:
                self._floor.leave(old)
            self._join(leg)
        if old is not None:
            old.line.hang_up(1000, "The call has another socket now.", EndReason.REPLACED)
        room = self._floor[spec.room_id]
        logger.info("a leg has joined its room", extra=leg.spec.fields)
        self._report(LegStarted(*leg.names, room.session_id, self._clock.now()))

    def _join(self, leg: Leg) -> None:
        room = self._floor.enter(leg)
        self._expel_namesake(room, leg)
        room.join(leg)

    def _vacate(self, room_id: str) -> None:
        """Forget a room of which all have been told to go: whoever comes begins a new session.

        The old one is over, though the last sockets may take a moment to close.
        """
        room = self._floor.get(room_id)
        if room is not None and all(other.left for other in room.legs):
            for other in list(room.legs):
                del self._legs[other.spec.call_id]
                self._floor.leave(other)

    def _expel_namesake(self, room: Room, leg: Leg) -> None:
        """A participant id names one voice: whoever has it already makes way for the newcomer.

        At once, and not when its socket has closed, or the others would be told last that the
        participant has left.
        """
        for other in list(room.legs):
            if other.spec.participant.id == leg.spec.participant.id:
                other.leave("Duplicate participant")
                del self._legs[other.spec.call_id]
                room.leave(other)
                other.line.hang_up(1000, "Duplicate participant", EndReason.REPLACED)

    def _step(self, leg: Leg, event: LadderEvent, detail: str | None = None) -> None:
        self._report(LegStep(*leg.names, event, self._clock.now(), detail))
