"""Messages between workers as bytes: what is sent arrives, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cluster.codec import Malformed
from service.cluster.messages import (
    Accepted,
    AdoptSocket,
    CallHeld,
    ChangeHint,
    GetLevels,
    GetLoudness,
    GetProcess,
    GetSimulatedCalls,
    GetStats,
    GetTroubles,
    HangUpCall,
    HangUpSimulatedCall,
    Message,
    MoveCall,
    Rejected,
    ReleaseCall,
    ReleaseCalls,
    decode,
    decode_answer,
    encode,
)
from service.cluster.spec_codec import SpecMessage
from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.rooms.leg_state import LegState

ANN = Participant("ann", "Ann", {"from": "test", "nested": {"a": [1, None]}})
SPEC = SpecMessage("leg", "call", "room", ANN, "twilio", None, "CA1", "ref", True)
STATE = LegState(
    start=b'{"event":"start"}',
    unread=b"\x81\xfe",
    unsent=b"",
    audio=((None, b"\x00\xff", 1.5), (7, b"", 2.0)),
    marks=((320, "end"),),
    topics=("CHAT",),
    spoke=True,
    heard=False,
    answers_pings=True,
    counters={"framesIn": 3},
    loudness=Loudness("leg", 12, b"\x01", b"\x02"),
)
MESSAGES: tuple[Message, ...] = (
    AdoptSocket(SPEC, None),
    AdoptSocket(SPEC, STATE),
    HangUpCall("call", EndReason.ALONE, "text"),
    ReleaseCall("call", "text"),
    ReleaseCalls(("one", "two"), "text"),
    CallHeld("call"),
    MoveCall("call", "room", ANN, "session", "node"),
    GetStats(("one", "two")),
    GetLoudness("call"),
    GetProcess(),
    GetTroubles(),
    GetSimulatedCalls(),
    HangUpSimulatedCall("simulated"),
    GetLevels(),
    ChangeHint(("outbox",), ("call",)),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("answer", [Accepted(), Accepted({"a": [1.5, None]}), Rejected("no")])
def test_an_answer_is_read_as_it_was_sent(answer: Accepted | Rejected) -> None:
    assert decode_answer(encode(answer)) == answer


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"call_id": 7}, "call_id must be of type str"),
        ({"call_id": None}, "call_id must be of type str"),
        ({"reason": "boredom"}, "reason must be one of caller-hung-up"),
        ({"reason": ["alone"]}, "reason must be of type EndReason"),
        ({"more": 1}, "other fields than expected: more"),
    ],
)
def test_a_malformed_field_is_named(change: dict[str, Any], sentence: str) -> None:
    good = {"call_id": "call", "reason": "alone", "text": ""}
    with pytest.raises(Malformed, match=sentence):
        decode(json.dumps(["HangUpCall", good | change]).encode())


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("start", "no base64!", "start must be base64"),
        ("audio", [[1, "AA=="]], r"audio\[0\] must have 3 values"),
        ("audio", [["1", "AA==", 1.0]], r"audio\[0\]\[0\] must be of type int"),
        ("topics", "CHAT", "topics must be a list"),
        ("spoke", 1, "spoke must be of type bool"),
        ("counters", {"framesIn": True}, "counters.framesIn must be of type int"),
        ("counters", [], "counters must be an object"),
        ("loudness", "loud", "loudness must be an object"),
    ],
)
def test_a_malformed_field_of_a_leg_is_named(field: str, value: Any, sentence: str) -> None:
    name, content = json.loads(encode(AdoptSocket(SPEC, STATE)))
    content["state"][field] = value
    with pytest.raises(Malformed, match=sentence):
        decode(json.dumps([name, content]).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'["HangUpCall"]',
        b'["HangUpCall",{}]',
        b'["HangUpCall",{},{}]',
        b'[{},"HangUpCall"]',
        b'["Accepted",{"value":null}]',
        b'["LegState",{}]',
    ],
)
def test_other_bytes_are_no_message(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@given(st.data())
def test_a_changed_message_is_another_one_or_malformed(data: st.DataObject) -> None:
    sent = bytearray(encode(data.draw(st.sampled_from(MESSAGES))))
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert type(decode(bytes(sent))) in {type(message) for message in MESSAGES}
    except Malformed as error:
        assert str(error).endswith((".", ")"))  # noqa: PT017 - either outcome is right
