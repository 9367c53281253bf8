"""The benchmark's frames, checked by the service's wires and the websockets library."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from bench.load import test_signal
from bench.load.dialects import (
    FIRST_CHUNK,
    Agent,
    Participant,
    Phone,
    audio_of,
    numbered,
    opening,
    repeated,
)
from bench.load.frames import masked, split
from service.domain.wire import Audio, Play, Started, Wire
from service.providers import load
from service.providers.custom import WebSocketWire

CASES: list[tuple[Participant, Wire]] = [
    *((Phone(name), load()[name].wire()) for name in ("twilio", "plivo", "telnyx")),
    (Agent(), WebSocketWire()),
]


def messages(data: bytes) -> list[bytes]:
    """Return the text messages that a server reads."""
    server = Protocol(Side.SERVER)
    server.receive_data(data)
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    assert server.parser_exc is None
    assert {frame.opcode for frame in frames} == {Opcode.TEXT}
    return [bytes(frame.data) for frame in frames]


@pytest.mark.parametrize(("participant", "wire"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_the_service_decodes_every_frame(participant: Participant, wire: Wire) -> None:
    events = [event for text in messages(opening(participant)) for event in wire.receive(text)]
    [started] = events
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (participant.inbound, participant.outbound)
    if participant.numbers_chunks:
        frames = [one.with_number(b"%d" % FIRST_CHUNK) for one in numbered(participant, 3)]
    else:
        frames = list(repeated(participant, 3))
    payloads = []
    for frame in frames:
        [text] = messages(frame)
        [audio] = wire.receive(text)
        assert isinstance(audio, Audio)
        payloads.append(audio.payload)
    assert payloads == [
        test_signal.encode(3, number, participant.inbound) for number in range(test_signal.NUMBERS)
    ]
    sent = wire.send(Play(payloads[7]))
    assert [audio_of(text) for text in sent] == [payloads[7]]


def test_a_numbered_frame_contains_the_given_number() -> None:
    phone = Phone("telnyx")
    wire = load()["telnyx"].wire()
    for text in messages(opening(phone)):
        wire.receive(text)
    frame = numbered(phone, 0)[5]
    for chunk in (FIRST_CHUNK, FIRST_CHUNK + 4711, 99_999_999):
        [text] = messages(frame.with_number(b"%d" % chunk))
        assert wire.receive(text) == [Audio(test_signal.encode(0, 5, phone.inbound), chunk)]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 400, 65_535])
def test_a_masked_frame_of_any_length_is_read_back(length: int) -> None:
    message = b"x" * length
    assert messages(masked(message)) == [message]
    assert masked(b"x" * 64) != masked(b"x" * 64)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_server_frames_are_split_and_an_incomplete_one_is_left(length: int) -> None:
    frame = Frame(Opcode.TEXT, b"y" * length).serialize(mask=False)
    found = list(split(frame + frame + frame[:-1] if length else frame + frame + frame[:1]))
    assert found == [(len(frame) * turn, Opcode.TEXT, b"y" * length) for turn in (1, 2)]


def test_messages_without_audio_have_none() -> None:
    assert audio_of(json.dumps({"event": "meeting-joined", "roomId": "r"}).encode()) is None
    assert audio_of(b'{"event":"mark","streamSid":"M","mark":{"name":"x"}}') is None
    payload = b64encode(b"abc").decode()
    assert audio_of(json.dumps({"event": "media", "payload": payload}).encode()) == b"abc"
