"""A room in use: its session, its legs, and the messages between them."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from service.clock import Millis, iso
from service.domain.wire import MeetingJoined, Message, ParticipantJoined, ParticipantLeft
from service.media.rooms.leg import Leg

DTMF_TOPIC = "DTMF_EVENT"


class Room:
    """Legs in the order in which they joined. A room without legs is discarded."""

    __slots__ = ("id", "legs", "session_id")

    def __init__(self, room_id: str, session_id: str) -> None:
        self.id = room_id
        self.session_id = session_id
        self.legs: list[Leg] = []

    def join(self, leg: Leg) -> None:
        """Send the new leg the participants in the room, and send them the new participant."""
        leg.say(MeetingJoined(self.id, self.session_id))
        for other in self.legs:
            leg.say(ParticipantJoined(other.spec.participant))
            other.say(ParticipantJoined(leg.spec.participant))
        self.legs.append(leg)

    def leave(self, leg: Leg) -> None:
        self.legs.remove(leg)
        for other in self.legs:
            other.say(ParticipantLeft(leg.spec.participant))

    def replace(self, old: Leg, new: Leg) -> None:
        """Put the same participant on another socket. The other legs are sent nothing."""
        self.legs[self.legs.index(old)] = new
        new.say(MeetingJoined(self.id, self.session_id))
        for other in self.legs:
            if other is not new:
                new.say(ParticipantJoined(other.spec.participant))

    def publish(self, sender: Leg, topic: str, text: str, at: Millis) -> None:
        """Send a text to every leg that has subscribed to the topic, its sender included."""
        message = Message(topic, _envelope(sender, topic, text, None, at))
        for leg in self.legs:
            if topic in leg.topics:
                leg.say(message)

    def digit(self, sender: Leg, digit: str, at: Millis) -> None:
        """Send a pressed key to the other legs that have subscribed to ``DTMF_EVENT``.

        VideoSDK's agents drop a falsy number, so 0 travels as a string, like ``*`` and ``#``.
        """
        number = int(digit) if digit in "123456789" else digit
        payload = {"number": number, "timestamp": str(at)}
        data = _envelope(sender, DTMF_TOPIC, "Dtmf event received", payload, at)
        message = Message(DTMF_TOPIC, data)
        for leg in self.legs:
            if leg is not sender and DTMF_TOPIC in leg.topics:
                leg.say(message)


def _envelope(
    sender: Leg, topic: str, text: str, payload: Mapping[str, Any] | None, at: Millis
) -> Mapping[str, Any]:
    """Return a message in the shape of VideoSDK's room pub/sub."""
    participant = sender.spec.participant
    return {
        "id": "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(11)),
        "message": text,
        "senderId": participant.id,
        "senderName": participant.name,
        "timestamp": iso(at),
        "topic": topic,
        "payload": payload,
    }
