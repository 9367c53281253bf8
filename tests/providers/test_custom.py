"""The custom WebSocket protocol: the wire contract, and messages that only this dialect has."""

from __future__ import annotations

import json

import pytest

from service.domain.calls import Participant
from service.domain.wire import (
    Audio,
    Clear,
    Encoding,
    Fence,
    Flush,
    Mark,
    Marked,
    MeetingJoined,
    MeetingLeft,
    Message,
    ParticipantJoined,
    ParticipantLeft,
    Play,
    Publish,
    Started,
    Stopped,
    Subscribe,
    Unsubscribe,
)
from service.errors import RemoteError
from service.providers.custom import WebSocketWire
from tests.support.wire_contract import WireContract, compact

START = {"event": "start"}
MEDIA = {"event": "media", "payload": "AQACAA=="}
ANN = Participant("iqpq5uen", "Ann", {"role": {"a": [1]}})
ANN_SAID = {"id": "iqpq5uen", "name": "Ann", "metadata": {"role": {"a": [1]}}}


class TestWebSocket(WireContract):
    start = START
    started = Started(Encoding.LINEAR, Encoding.LINEAR)
    media = MEDIA
    payload_path = ("payload",)
    decoded = (
        (MEDIA, [Audio(b"\x01\x00\x02\x00")]),
        ({"event": "media", "payload": ""}, [Audio(b"")]),
        ({"event": "stop"}, [Stopped()]),
        ({"event": "subscribe", "topic": "CHAT"}, [Subscribe("CHAT")]),
        ({"event": "unsubscribe", "topic": "CHAT"}, [Unsubscribe("CHAT")]),
        ({"event": "message", "topic": "CHAT", "data": "hello"}, [Publish("CHAT", "hello")]),
        ({"event": "message", "topic": "CHAT", "data": ""}, [Publish("CHAT", "")]),
        ({"event": "clear"}, [Clear()]),
        ({"event": "mark", "name": "m1"}, [Mark("m1")]),
        ({"event": "mark", "mark": {"name": "m1"}}, [Mark("m1")]),
    )
    encoded = (
        (Play(b"\x01\x00\x02\x00"), {"event": "media", "payload": "AQACAA=="}),
        (
            Message("CHAT", {"message": "hello", "senderId": "iqpq5uen", "senderName": "Ann"}),
            {
                "event": "message",
                "topic": "CHAT",
                "data": {"message": "hello", "senderId": "iqpq5uen", "senderName": "Ann"},
            },
        ),
        (ParticipantJoined(ANN), {"event": "participant-joined", "participant": ANN_SAID}),
        (ParticipantLeft(ANN), {"event": "participant-left", "participant": ANN_SAID}),
        (
            MeetingJoined("abcd-efgh-ijkl", "61fa"),
            {"event": "meeting-joined", "roomId": "abcd-efgh-ijkl", "sessionId": "61fa"},
        ),
        (
            MeetingLeft("The meeting has been closed"),
            {"event": "meeting-left", "message": "The meeting has been closed"},
        ),
        (
            MeetingLeft("elsewhere", "abcd-efgh-ijkl"),
            {"event": "meeting-left", "message": "elsewhere", "roomId": "abcd-efgh-ijkl"},
        ),
        (Marked("m1"), {"event": "mark", "name": "m1"}),
    )
    early = frozenset(("media", "subscribe", "unsubscribe", "message", "clear", "mark"))

    def new_wire(self) -> WebSocketWire:
        return WebSocketWire()


@pytest.fixture
def wire() -> WebSocketWire:
    wire = WebSocketWire()
    wire.receive(b'{"event":"start"}')
    return wire


def test_half_a_sample_is_refused(wire: WebSocketWire) -> None:
    message = b'{"event":"media","payload":"AQAC"}'
    assert wire.audio(message) is None
    with pytest.raises(RemoteError, match="whole samples"):
        wire.receive(message)


@pytest.mark.parametrize("data", [None, 7, {"message": "hello"}, ["hello"], True, "x" * 16_385])
def test_only_a_short_string_can_be_published(wire: WebSocketWire, data: object) -> None:
    with pytest.raises(RemoteError, match=r"^data must be a string"):
        wire.receive(compact({"event": "message", "topic": "CHAT", "data": data}))


def test_the_limit_of_a_text_counts_bytes(wire: WebSocketWire) -> None:
    def publish(text: str) -> list[object]:
        return list(wire.receive(compact({"event": "message", "topic": "CHAT", "data": text})))

    assert publish("ü" * 8192) == [Publish("CHAT", "ü" * 8192)]
    with pytest.raises(RemoteError, match="16384 bytes"):
        publish("ü" * 8193)


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe", "message"])
def test_a_topic_has_1_to_128_characters(wire: WebSocketWire, event: str) -> None:
    assert wire.receive(compact({"event": event, "topic": "t" * 128, "data": ""}))
    for topic in ("", "t" * 129, None, 7):
        with pytest.raises(RemoteError, match=r"^topic must be"):
            wire.receive(compact({"event": event, "topic": topic, "data": ""}))


def test_a_mark_has_a_short_name(wire: WebSocketWire) -> None:
    for mark in ({"name": "n" * 129}, {"mark": {"name": ""}}, {"mark": "m1"}, {}):
        with pytest.raises(RemoteError, match=r"^(name|mark) must be"):
            wire.receive(compact({"event": "mark", **mark}))


def test_commands_without_a_message_in_the_dialect_send_nothing(wire: WebSocketWire) -> None:
    assert wire.send(Flush()) == []
    assert wire.send(Fence("m1")) == []


def test_a_client_is_told_of_the_end_of_the_meeting_before_its_start() -> None:
    [message] = WebSocketWire().send(MeetingLeft("full"))
    assert json.loads(message) == {"event": "meeting-left", "message": "full"}


def test_a_client_may_send_faster_than_real_time_and_leaves_by_closing(wire: WebSocketWire) -> None:
    assert (wire.names_call, wire.close_ends_call, wire.paces_itself) == (False, True, False)
