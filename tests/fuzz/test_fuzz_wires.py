"""Fuzz test of the four wires: any message gives valid events or RemoteError, in bounded memory."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.wire import (
    Audio,
    Digit,
    Encoding,
    Event,
    Fence,
    Flush,
    Mark,
    Play,
    Played,
    Publish,
    Started,
    Subscribe,
    Unknown,
    Unsubscribe,
    Wire,
)
from service.errors import RemoteError
from service.media.transport.websocket_frames import MAX_MESSAGE
from service.providers import load
from service.providers.base.fast_path import MAX_AROUND
from service.providers.custom import MAX_NAME, MAX_TEXT, WebSocketWire
from tests.support.fuzzing import PART, corrupted, held, json_values, like, texts, wholes

Outline = dict[str, Any]

WIRES: dict[str, Callable[[], Wire]] = {
    **{name: provider.wire for name, provider in load().items()},
    "websocket": WebSocketWire,
}

payloads = st.binary(max_size=8).map(lambda audio: b64encode(audio).decode()) | st.sampled_from(
    ["AAA=", "AAAA", "AA==", "A", "====", "AA=A", "AAAA\n", "_-_-", "é", "A" * 216]
)
numbers = st.floats() | st.integers(-9, 99) | st.integers(0, 99).map(str) | wholes | wholes.map(str)
names = texts | st.sampled_from(["m1", "x" * 128, "x" * 129])
encodings = st.sampled_from(
    [*("audio/x-mulaw", "audio/x-l16", "AUDIO/X-MULAW;rate=8000", "PCMU", "PCMA", "opus", "")]
)
digits = st.sampled_from([*"0159*#aD", "w", "", "12", "ß", "\u0661"]) | st.integers()
tracks = st.sampled_from(["inbound", "inbound", "outbound", "inbound_track", "OUTBOUND", 7, []])
rates = st.sampled_from([8000, "8000", 8000.0, "8000.0", 16_000, "16000.0", 1e300, None, [8000]])
refs = st.one_of(
    st.sampled_from(["ref=REF", "a=1;ref=REF", "a=1,ref=", '{"ref":"REF"}', '{"ref":', "{" * 2000]),
    st.sampled_from(["{X-PH-ref: REF}", "{X-PH-a: 1, X-PH-ref: REF}", '["ref=REF"]', 7, True, []]),
    st.just([{"name": "ref", "value": "REF"}]),
    st.builds(dict, ref=texts),
    texts,
)

OUTLINES: dict[str, list[Outline]] = {
    "twilio": [
        {
            "event": "start",
            "sequenceNumber": numbers,
            "streamSid": texts,
            "start": {
                "streamSid": texts,
                "callSid": texts,
                "customParameters": refs,
                "mediaFormat": {"encoding": encodings, "sampleRate": rates, "channels": 1},
            },
        },
        {
            "event": "media",
            "sequenceNumber": numbers,
            "media": {"track": tracks, "chunk": numbers, "timestamp": "5", "payload": payloads},
            "streamSid": "MZ1",
        },
        {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digits}},
        {"event": "mark", "mark": {"name": names}},
    ],
    "plivo": [
        {
            "event": "start",
            "sequenceNumber": numbers,
            "start": {
                "callId": texts,
                "streamId": texts,
                "mediaFormat": {"encoding": encodings, "sampleRate": rates},
            },
            "extra_headers": refs,
        },
        {
            "event": "media",
            "media": {"track": tracks, "timestamp": numbers, "chunk": numbers, "payload": payloads},
            "extra_headers": "ref=REF",
        },
        {"event": "dtmf", "dtmf": {"digit": digits}},
        {"event": st.sampled_from(["played", "playedStream"]), "name": names},
        {"event": st.sampled_from(["clearedAudio", "error", "playFailed"]), "reason": texts},
    ],
    "telnyx": [
        {
            "event": "start",
            "stream_id": texts,
            "start": {
                "call_control_id": texts,
                "custom_parameters": refs,
                "media_format": {"encoding": encodings, "sample_rate": rates, "channels": 1},
            },
        },
        {
            "event": "media",
            "sequence_number": numbers,
            "media": {"track": tracks, "chunk": numbers, "timestamp": "5", "payload": payloads},
        },
        {"event": "dtmf", "dtmf": {"digit": digits}},
        {"event": "mark", "mark": {"name": names}},
        {"event": "error", "payload": {"code": digits, "title": texts, "detail": texts}},
        {"error": {"code": digits, "title": texts}},
    ],
    "websocket": [
        {"event": "start"},
        {"event": "media", "payload": payloads, "chunk": numbers},
        {"event": st.sampled_from(["subscribe", "unsubscribe"]), "topic": names},
        {"event": "message", "topic": names, "data": texts | st.just("é" * 9000)},
        {"event": "mark", "name": names},
        {"event": "mark", "mark": {"name": names}},
        {"event": st.sampled_from(["clear", "stop"]) | texts},
    ],
}

GOOD_STARTS: dict[str, Outline] = {
    "twilio": {"event": "start", "streamSid": "MZ1", "start": {"callSid": "CA1"}},
    "plivo": {
        "event": "start",
        "start": {"callId": "1", "streamId": "2", "mediaFormat": {"encoding": "audio/x-l16"}},
    },
    "telnyx": {"event": "start", "stream_id": "1", "start": {"call_control_id": "v3:1"}},
    "websocket": {"event": "start"},
}

MOST = 16 * MAX_AROUND + 50 * PART
"""Maximum bytes that a wire keeps: its pattern, whose bytes may be escaped, and its own state."""


def written(document: object, spaces: tuple[str, str] = (",", ":")) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=spaces).encode(
        errors="surrogatepass"
    )


@st.composite
def conversations(draw: st.DrawFn, name: str) -> list[bytes]:
    """A sequence of messages: often a valid start, then arbitrary ones, many of them twice."""
    spaces = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    sent = [written(GOOD_STARTS[name])] if draw(st.integers(0, 4)) else []
    for outline in draw(st.lists(st.sampled_from(OUTLINES[name]), max_size=6)):
        message = written(draw(like(outline)), spaces)
        sent += [message, draw(st.just(message) | corrupted(message))]
    sent += draw(st.lists(st.binary(max_size=60) | json_values.map(written), max_size=2))
    return sent


def received(wire: Wire, message: bytes) -> list[Event] | None:
    """Return the events of a message; None if it is refused with one sentence and a close code."""
    try:
        return wire.receive(message)
    except RemoteError as error:
        sentence, code = error.message, error.close_code
    assert code in (1002, 1003)
    assert sentence.endswith(".")
    assert len(sentence) < 200
    return None


def check_event(event: Event, sample_bytes: int) -> None:
    """Assert that an event is within the ranges that ``service.domain.wire`` documents."""
    match event:
        case Started(inbound, outbound, call_id, ref):
            assert isinstance(inbound, Encoding)
            assert isinstance(outbound, Encoding)
            assert call_id is None or (isinstance(call_id, str) and call_id)
            assert ref is None or isinstance(ref, str)
        case Audio(payload, order):
            assert len(payload) % sample_bytes == 0
            assert len(payload) <= MAX_MESSAGE
            assert order is None or (type(order) is int and 0 <= order < 2**64)
        case Digit(digit):
            assert len(digit) == 1
            assert digit in "0123456789*#ABCD"
        case Mark(name) | Subscribe(name) | Unsubscribe(name):
            assert 1 <= len(name) <= MAX_NAME
        case Publish(topic, text):
            assert 1 <= len(topic) <= MAX_NAME
            assert len(text.encode()) <= MAX_TEXT
        case Played(name):
            assert isinstance(name, str)
            assert name
        case Unknown(name):
            assert len(name) <= MAX_NAME
    assert str(event).encode()


def check_conversation(wire: Wire, messages: list[bytes]) -> None:
    """Receive all messages, then send every kind of message if the stream has started."""
    sample_bytes, started = 1, False
    longest = max(map(len, messages), default=0)
    for message in messages:
        audio = wire.audio(message)
        template = wire.template(message)
        events = received(wire, message)
        assert audio is None or events == [Audio(*audio)]
        if template is not None:
            assert template.sample == message
            for start, stop in (template.payload, *template.digits, *template.texts):
                assert 0 <= start <= stop <= len(message)
        for event in events or ():
            if isinstance(event, Started):
                sample_bytes, started = event.inbound.bytes_per_sample, True
            check_event(event, sample_bytes)
        assert wire.kind() >= 0
        # In addition to the pattern, the stream's name: as received, and as sent.
        assert held(wire) <= MOST + 2 * longest
    if started:
        prefix, suffix = wire.envelope()
        assert wire.send(Play(b"\0" * 160)) == [prefix + b64encode(b"\0" * 160) + suffix]
        for command in (Play(b""), Flush(), Fence("f1")):
            for sent in wire.send(command):
                assert isinstance(json.loads(sent), dict)


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", WIRES)
def test_any_messages_give_events_or_remote_errors(name: str) -> None:
    @given(conversations(name))
    def check(messages: list[bytes]) -> None:
        check_conversation(WIRES[name](), messages)

    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", WIRES)
def test_the_fast_path_takes_no_audio_that_the_general_path_refuses(name: str) -> None:
    def media_message(payload: str) -> bytes:
        media = {"chunk": 1, "payload": payload}
        return written({"event": "media", **(media if name == "websocket" else {"media": media})})

    @given(payloads, payloads)
    @example("AAA=", "AAAA")
    @example("AAA=", "AA==")
    def check(learned: str, payload: str) -> None:
        check_conversation(
            WIRES[name](),
            [written(GOOD_STARTS[name]), media_message(learned), media_message(payload)],
        )

    check()
