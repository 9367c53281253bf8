"""Who is told what, and in which order, when somebody comes, goes or says something."""

from __future__ import annotations

import re

import pytest

from service.errors import RemoteError
from service.media.rooms.leg import MAX_TOPICS, Leg
from service.media.rooms.room import DTMF_TOPIC, Room
from tests.support.callers import Caller, agent, twilio
from tests.support.lines import ListLine

AT = 1_782_052_245_123
ISO = "2026-06-21T14:30:45.123Z"


class Member(Leg):
    """A leg whose line is a list."""

    def __init__(self, caller: Caller) -> None:
        self.ear = ListLine()
        super().__init__(caller.spec, self.ear)

    def told(self) -> list[tuple[str, str]]:
        """Events since the last call, each with whom or what it is about."""
        return [
            (news["event"], news["participant"]["id"] if "participant" in news else "")
            for news in self.ear.news()
        ]


@pytest.fixture
def room() -> Room:
    return Room("abcd-efgh-ijkl", "61fa")


def joined(room: Room, *names: str) -> list[Member]:
    """Agents who are in the room and have read what they were told."""
    members = [Member(agent(name)) for name in names]
    for member in members:
        room.join(member)
    for member in members:
        member.told()
    return members


def test_a_newcomer_is_welcomed_before_hearing_of_the_others(room: Room) -> None:
    joined(room, "ann", "bob")
    cid = Member(agent("cid"))
    room.join(cid)
    assert cid.told() == [
        ("meeting-joined", ""),
        ("participant-joined", "ann"),
        ("participant-joined", "bob"),
    ]


def test_the_welcome_names_the_room_and_its_session(room: Room) -> None:
    ann = Member(agent("ann"))
    room.join(ann)
    assert ann.ear.news() == [
        {"event": "meeting-joined", "roomId": "abcd-efgh-ijkl", "sessionId": "61fa"}
    ]


def test_the_others_hear_of_a_newcomer_once(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    room.join(Member(agent("cid")))
    assert ann.told() == bob.told() == [("participant-joined", "cid")]


def test_a_participant_is_told_with_its_name_and_metadata(room: Room) -> None:
    [ann] = joined(room, "ann")
    room.join(Member(twilio("bob")))
    assert ann.ear.news() == [
        {
            "event": "participant-joined",
            "participant": {"id": "bob", "name": "Bob", "metadata": {"from": "test"}},
        }
    ]


def test_a_phone_has_no_word_for_any_of_it(room: Room) -> None:
    bob = Member(twilio("bob"))
    room.join(bob)
    joined(room, "ann")
    room.digit(bob, "5", AT)
    assert bob.told() == []


def test_those_who_stay_are_told_who_left(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    room.leave(bob)
    assert ann.told() == cid.told() == [("participant-left", "bob")]
    assert bob.told() == []
    assert room.legs == [ann, cid]


def test_a_replaced_socket_is_welcomed_and_nobody_else_notices(room: Room) -> None:
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


def test_text_goes_to_all_subscribers_its_sender_included(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    ann.subscribe("CHAT")
    bob.subscribe("CHAT")
    cid.subscribe("OTHER")
    room.publish(ann, "CHAT", "hello", AT)
    heard = ann.ear.news()
    assert heard == bob.ear.news()
    assert cid.ear.news() == []
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


def test_text_reaches_those_who_subscribe_although_the_sender_does_not(room: Room) -> None:
    ann, bob = joined(room, "ann", "bob")
    bob.subscribe("CHAT")
    room.publish(ann, "CHAT", "hello", AT)
    assert ann.told() == []
    assert bob.told() == [("message", "")]


def test_each_message_has_an_id_of_its_own(room: Room) -> None:
    [ann] = joined(room, "ann")
    ann.subscribe("CHAT")
    for _ in range(50):
        room.publish(ann, "CHAT", "hello", AT)
    assert len({news["data"]["id"] for news in ann.ear.news()}) == 50


@pytest.mark.parametrize(
    ("digit", "number"),
    [
        *[(str(number), number) for number in range(1, 10)],
        *[(key, key) for key in ("0", "*", "#", "A", "D")],
    ],
)
def test_a_digit_is_told_as_agents_read_it(room: Room, digit: str, number: int | str) -> None:
    """A falsy number is dropped by VideoSDK's agents, so that 0 must be a string."""
    [ann] = joined(room, "ann")
    bob = Member(twilio("bob"))
    room.join(bob)
    ann.told()
    ann.subscribe(DTMF_TOPIC)
    room.digit(bob, digit, AT)
    [message] = ann.ear.news()
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


def test_a_digit_goes_to_its_subscribers_only_and_never_back(room: Room) -> None:
    ann, bob, cid = joined(room, "ann", "bob", "cid")
    ann.subscribe(DTMF_TOPIC)
    bob.subscribe(DTMF_TOPIC)
    room.digit(ann, "1", AT)
    assert (ann.told(), bob.told(), cid.told()) == ([], [("message", "")], [])


def test_topics_without_end_are_refused() -> None:
    ann = Member(agent("ann"))
    for number in range(MAX_TOPICS):
        ann.subscribe(f"topic {number}")
    with pytest.raises(RemoteError) as refused:
        ann.subscribe("one more")
    assert refused.value.close_code == 1008


def test_a_topic_that_is_already_subscribed_to_is_no_further_one() -> None:
    ann = Member(agent("ann"))
    for number in range(MAX_TOPICS):
        ann.subscribe(f"topic {number}")
    ann.subscribe("topic 0")
    assert len(ann.topics) == MAX_TOPICS
