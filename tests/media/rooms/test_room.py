"""Messages of a room to its participants, and their order."""

from __future__ import annotations

import re

import pytest

from service.errors import RemoteError
from service.media.rooms.leg import MAX_TOPICS, Leg
from service.media.rooms.room import DTMF_TOPIC, Room
from tests.support.callers import Caller, agent, twilio
from tests.support.transports import RecordingTransport

AT = 1_782_052_245_123
ISO = "2026-06-21T14:30:45.123Z"


class Member(Leg):
    """A leg with a recording transport."""

    def __init__(self, caller: Caller) -> None:
        self.transport = RecordingTransport()
        super().__init__(caller.spec, self.transport)

    def told(self) -> list[tuple[str, str]]:
        """Return the events since the last call, each with its subject."""
        return [
            (news["event"], news["participant"]["id"] if "participant" in news else "")
            for news in self.transport.new_messages()
        ]


@pytest.fixture
def room() -> Room:
    return Room("abcd-efgh-ijkl", "61fa")


def joined(room: Room, *names: str) -> list[Member]:
    """Return agents in the room that have read all their messages."""
    members = [Member(agent(name)) for name in names]
    for member in members:
        room.join(member)
    for member in members:
        member.told()
    return members


def test_a_new_participant_is_welcomed_before_the_others_are_announced(room: Room) -> None:
    joined(room, "ann", "bob")
    cid = Member(agent("cid"))
    room.join(cid)
    assert cid.told() == [
        ("meeting-joined", ""),
        ("participant-joined", "ann"),
        ("participant-joined", "bob"),
    ]


def test_the_welcome_contains_the_room_and_its_session(room: Room) -> None:
    ann = Member(agent("ann"))
    room.join(ann)
    assert ann.transport.new_messages() == [
        {"event": "meeting-joined", "roomId": "abcd-efgh-ijkl", "sessionId": "61fa"}
    ]


def test_a_new_participant_is_announced_once(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    room.join(Member(agent("cid")))
    assert ann.told() == bob.told() == [("participant-joined", "cid")]


def test_a_participant_is_announced_with_name_and_metadata(room: Room) -> None:
    [ann] = joined(room, "ann")
    room.join(Member(twilio("bob")))
    assert ann.transport.new_messages() == [
        {
            "event": "participant-joined",
            "participant": {"id": "bob", "name": "Bob", "metadata": {"from": "test"}},
        }
    ]


def test_a_phone_receives_no_room_events(room: Room) -> None:
    bob = Member(twilio("bob"))
    room.join(bob)
    joined(room, "ann")
    room.digit(bob, "5", AT)
    assert bob.told() == []


def test_a_departure_is_announced_to_the_others(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    room.leave(bob)
    assert ann.told() == cid.told() == [("participant-left", "bob")]
    assert bob.told() == []
    assert room.legs == [ann, cid]


def test_a_replacing_socket_is_welcomed_and_not_announced(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    again = Member(agent("bob", leg="leg-2"))
    room.replace(bob, again)
    assert again.told() == [
        ("meeting-joined", ""),
        ("participant-joined", "ann"),
        ("participant-joined", "cid"),
    ]
    assert ann.told() == bob.told() == cid.told() == []
    assert room.legs == [ann, again, cid]


def test_text_reaches_all_subscribers_including_its_sender(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    ann.subscribe("CHAT")
    bob.subscribe("CHAT")
    cid.subscribe("OTHER")
    room.publish(ann, "CHAT", "hello", AT)
    heard = ann.transport.new_messages()
    assert heard == bob.transport.new_messages()
    assert cid.transport.new_messages() == []
    [message] = heard
    identifier = message["data"].pop("id")
    assert re.fullmatch("[a-z0-9]{11}", identifier)
    assert message == {
        "event": "message",
        "topic": "CHAT",
        "data": {
            "message": "hello",
            "senderId": "ann",
            "senderName": "Ann",
            "timestamp": ISO,
            "topic": "CHAT",
            "payload": None,
        },
    }


def test_text_reaches_subscribers_if_its_sender_has_not_subscribed(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    bob.subscribe("CHAT")
    room.publish(ann, "CHAT", "hello", AT)
    assert ann.told() == []
    assert bob.told() == [("message", "")]


def test_each_message_has_a_unique_id(room: Room) -> None:
    [ann] = joined(room, "ann")
    ann.subscribe("CHAT")
    for _ in range(50):
        room.publish(ann, "CHAT", "hello", AT)
    assert len({news["data"]["id"] for news in ann.transport.new_messages()}) == 50


@pytest.mark.parametrize(
    ("digit", "number"),
    [
        *[(str(number), number) for number in range(1, 10)],
        *[(key, key) for key in ("0", "*", "#", "A", "D")],
    ],
)
def test_a_digit_event_has_the_form_that_agents_read(
    room: Room, digit: str, number: int | str
) -> None:
    """VideoSDK's agents drop a falsy number, so 0 must be a string."""
    [ann] = joined(room, "ann")
    bob = Member(twilio("bob"))
    room.join(bob)
    ann.told()
    ann.subscribe(DTMF_TOPIC)
    room.digit(bob, digit, AT)
    [message] = ann.transport.new_messages()
    del message["data"]["id"]
    assert message == {
        "event": "message",
        "topic": "DTMF_EVENT",
        "data": {
            "message": "Dtmf event received",
            "senderId": "bob",
            "senderName": "Bob",
            "timestamp": ISO,
            "topic": "DTMF_EVENT",
            "payload": {"number": number, "timestamp": str(AT)},
        },
    }
    assert type(message["data"]["payload"]["number"]) is type(number)


def test_a_digit_reaches_its_subscribers_and_not_its_sender(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    ann.subscribe(DTMF_TOPIC)
    bob.subscribe(DTMF_TOPIC)
    room.digit(ann, "1", AT)
    assert (ann.told(), bob.told(), cid.told()) == ([], [("message", "")], [])


def test_the_number_of_topics_is_limited() -> None:
    ann = Member(agent("ann"))
    for number in range(MAX_TOPICS):
        ann.subscribe(f"topic {number}")
    with pytest.raises(RemoteError) as refused:
        ann.subscribe("one more")
    assert refused.value.close_code == 1008


def test_a_repeated_subscription_does_not_count() -> None:
    ann = Member(agent("ann"))
    for number in range(MAX_TOPICS):
        ann.subscribe(f"topic {number}")
    ann.subscribe("topic 0")
    assert len(ann.topics) == MAX_TOPICS
