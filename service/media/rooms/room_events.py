"""Events of a leg that only have a meaning inside its room: texts, keys, marks, withdrawn audio."""

from __future__ import annotations

from service.clock import Clock
from service.domain.wire import Clear, Digit, Event, Mark, Publish, Subscribe, Unsubscribe
from service.media.rooms.leg import Leg
from service.media.rooms.mixed_rooms import MixedRooms
from service.media.rooms.room import Room

LINGER = 0.2
"""Seconds for which a voice counts as audible after a sound. Pauses within speech, before a "t" or
between two syllables, are shorter. About as much audio waits at a provider."""


class RoomEvents:
    """Used by the engine's thread only."""

    def __init__(self, clock: Clock, rooms: MixedRooms) -> None:
        self._clock = clock
        self._rooms = rooms

    def handle(self, leg: Leg, room: Room, event: Event, at: float) -> None:
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
        """Make the others drop the audio of a leg that they have not played yet.

        ``mixed`` is the number of its frames mixed so far. A provider keeps all voices in one
        buffer, which is not dropped while it contains another voice.
        """
        if mixed == leg.taken_back:
            return  # None of its audio was mixed since the last time.
        leg.taken_back = mixed
        others = [other for other in room.legs if other is not leg]
        audible = [other for other in others if self._rooms.audible_at(other) >= at - LINGER]
        for other in others:
            if all(voice is other for voice in audible):
                other.flush()
