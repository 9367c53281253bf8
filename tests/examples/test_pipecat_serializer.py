"""The serializer for Pipecat, with the real package if it is installed: ``.[pipecat]``."""

from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import Samples
from tests.support.spectrum import level

pytest.importorskip("pipecat", reason="pipecat-ai is not installed: pip install '.[pipecat]'")

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    StartFrame,
)

from examples.pipecat_serializer import PatchbaySerializer

WORD = sound.tone(700, 0.5)


def serializer(rate: int = 8000) -> PatchbaySerializer:
    made = PatchbaySerializer()
    asyncio.run(made.setup(SimpleNamespace(audio_in_sample_rate=rate)))
    return made


def said(frame: Frame) -> Any:
    """Return the message for a frame."""
    message = asyncio.run(serializer().serialize(frame))
    return None if message is None else json.loads(message)


def heard(**message: object) -> Frame | None:
    """Return the frame for a message."""
    return asyncio.run(serializer().deserialize(json.dumps(message)))


def payload(samples: Samples) -> str:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def test_outgoing_audio_is_unchanged() -> None:
    frame = OutputAudioRawFrame(WORD.tobytes(), 8000, 1)
    assert said(frame) == {"event": "media", "payload": payload(WORD)}


def test_incoming_audio_is_unchanged() -> None:
    frame = heard(event="media", payload=payload(WORD))
    assert isinstance(frame, InputAudioRawFrame)
    assert (frame.sample_rate, frame.num_channels) == (8000, 1)
    assert frame.audio == WORD.tobytes()


def test_audio_of_a_pipeline_at_another_rate_is_resampled_both_ways() -> None:
    wide = serializer(16_000)

    async def there_and_back() -> bytes:
        back = b""
        for start in range(0, len(WORD), 160):
            message = {"event": "media", "payload": payload(WORD[start : start + 160])}
            frame = await wide.deserialize(json.dumps(message))
            if frame is None:
                continue
            assert isinstance(frame, InputAudioRawFrame)
            assert frame.sample_rate == 16_000
            text = await wide.serialize(OutputAudioRawFrame(frame.audio, 16_000, 1))
            back += b"" if text is None else base64.b64decode(json.loads(text)["payload"])
        return back

    samples = np.frombuffer(asyncio.run(there_and_back()), "<i2")
    # The resamplers keep the last samples for the next frame.
    assert level(samples[1_000:2_500], 700) == pytest.approx(-12, abs=0.5)


def test_an_interruption_clears_queued_audio() -> None:
    assert said(InterruptionFrame()) == {"event": "clear"}


@pytest.mark.parametrize(
    ("number", "key"),
    [
        (1, KeypadEntry.ONE),
        (9, KeypadEntry.NINE),
        ("0", KeypadEntry.ZERO),
        ("*", KeypadEntry.STAR),
        ("#", KeypadEntry.POUND),
    ],
)
def test_a_caller_s_key_becomes_a_dtmf_frame(number: object, key: KeypadEntry) -> None:
    frame = heard(event="message", topic="DTMF_EVENT", data={"payload": {"number": number}})
    assert isinstance(frame, InputDTMFFrame)
    assert key.value in str(frame)


def test_keys_unknown_to_pipecat_are_ignored() -> None:
    data = {"payload": {"number": "A"}}
    assert heard(event="message", topic="DTMF_EVENT", data=data) is None


@pytest.mark.parametrize(
    "message",
    [
        {"event": "meeting-joined", "roomId": "abcd-efgh-ijkl", "sessionId": "5e55"},
        {"event": "participant-joined", "participant": {"id": "p", "name": "P", "metadata": {}}},
        {"event": "participant-left", "participant": {"id": "p", "name": "P", "metadata": {}}},
        {"event": "message", "topic": "CHAT", "data": {"message": "hello"}},
        {"event": "mark", "name": "said"},
    ],
)
def test_other_messages_are_passed_to_the_pipeline(message: dict[str, Any]) -> None:
    frame = heard(**message)
    assert isinstance(frame, InputTransportMessageFrame)
    assert frame.message == message


def test_the_end_of_the_session_ends_the_pipeline() -> None:
    frame = heard(event="meeting-left", message="Meeting Ended.")
    assert isinstance(frame, EndWorkerFrame)
    assert frame.reason == "Meeting Ended."


@pytest.mark.parametrize("kind", [OutputTransportMessageFrame, OutputTransportMessageUrgentFrame])
def test_messages_of_the_pipeline_are_sent_except_for_pipecat_clients(
    kind: type[Frame],
) -> None:
    message = {"event": "message", "topic": "CHAT", "data": "hello"}
    assert said(kind(message)) == message
    assert said(kind({"label": "rtvi-ai", "type": "bot-ready"})) is None


def test_other_frames_are_not_sent() -> None:
    assert said(StartFrame()) is None
