"""Answers of the engine's thread to the questions of other threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.media.engine.clock import TickClock
from service.media.engine.commands import (
    Ask,
    AskEngineStats,
    AskLegs,
    AskLevels,
    AskLoudness,
    Question,
)
from service.media.engine.stats import StatsCollector
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.transport.connection import MediaSocket


def answer(
    question: Question,
    legs: Mapping[MediaSocket, Leg],
    rooms: LiveRooms,
    stats: StatsCollector,
    ticks: TickClock,
    waiting: int,
) -> None:
    """Put the answer into the question's queue. ``waiting`` commands follow it."""
    match question:
        case Ask():
            question.reply.put(_stats(question, legs, rooms))
        case AskLegs():
            open_legs = (leg for media_socket, leg in legs.items() if media_socket.closing is None)
            question.reply.put(tuple(leg.spec for leg in open_legs))
        case AskLoudness():
            question.reply.put(rooms.loudness(question.call_id))
        case AskLevels():
            question.reply.put(rooms.live_levels())
        case AskEngineStats():
            question.reply.put(stats.collect(legs.values(), rooms, ticks, waiting))


def _stats(
    question: Ask, legs: Mapping[MediaSocket, Leg], rooms: LiveRooms
) -> Mapping[str, Mapping[str, Any]]:
    wanted = set(question.call_ids)
    found: dict[str, Mapping[str, Any]] = {}
    for leg in legs.values():
        call_id = leg.spec.call_id
        # A call may have two sockets for a moment; the one that has started counts.
        if call_id in wanted and (call_id not in found or rooms.leg(call_id) is leg):
            found[call_id] = leg.last_stats()
    return found
