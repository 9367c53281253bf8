"""Patchbay's custom WebSocket for Pipecat: a serializer and its transport.

Needs ``pipecat-ai[websocket]`` 1.14 or newer. See docs/pipecat.md.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import (
    AudioRawFrame,
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.websocket.client import (
    WebsocketClientOutputTransport,
    WebsocketClientParams,
    WebsocketClientTransport,
)

RATE = 8000

KEYS = "DTMF_EVENT"
"""The topic of the keys that callers press."""


class PatchbaySerializer(FrameSerializer):
    """Serializer of audio at the rates of the pipeline, and of keys as ``InputDTMFFrame``.

    ``meeting-left`` ends the pipeline. Other messages from Patchbay (joins, departures, texts,
    marks) become an ``InputTransportMessageFrame``, and an ``OutputTransportMessageFrame`` is sent
    unchanged.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rate = RATE
        self._in, self._out = create_stream_resampler(), create_stream_resampler()

    async def setup(self, setup: FrameProcessorSetup) -> None:
        self._rate = setup.audio_in_sample_rate

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, InterruptionFrame):
            return json.dumps({"event": "clear"})
        if isinstance(frame, AudioRawFrame):
            audio = await self._out.resample(frame.audio, frame.sample_rate, RATE)
            payload = base64.b64encode(audio).decode()
            return json.dumps({"event": "media", "payload": payload}) if payload else None
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            return None if self.should_ignore_frame(frame) else json.dumps(frame.message)
        return None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        message = json.loads(data)
        match message["event"]:
            case "media":
                audio = base64.b64decode(message["payload"])
                audio = await self._in.resample(audio, RATE, self._rate)
                return InputAudioRawFrame(audio, self._rate, 1) if audio else None
            case "message" if message["topic"] == KEYS:
                key = str(message["data"]["payload"]["number"])
                # Pipecat knows no keys A to D.
                return InputDTMFFrame(KeypadEntry(key)) if key in list(KeypadEntry) else None
            case "meeting-left":
                # Not an EndFrame: the worker would not know that it is to end.
                return EndWorkerFrame(reason=message["message"])
            case _:
                return InputTransportMessageFrame(message)


class PatchbayTransport(WebsocketClientTransport):
    """Pipecat's WebSocket client, which joins the room and forwards interruptions."""

    def __init__(self, ws_url: str, **params: Any) -> None:
        defaults = {"audio_in_enabled": True, "audio_out_enabled": True}
        # A WAV header in front of every chunk would be heard as a click.
        fixed = {"serializer": PatchbaySerializer(), "add_wav_header": False}
        super().__init__(ws_url, WebsocketClientParams(**defaults | params | fixed))

    def output(self) -> WebsocketClientOutputTransport:
        if self._output is None:
            self._output = _Output(self, self._session, self._params)
        return self._output

    async def _on_connected(self, websocket: Any) -> None:
        for message in ({"event": "start"}, {"event": "subscribe", "topic": KEYS}):
            await websocket.send(json.dumps(message))
        await super()._on_connected(websocket)


class _Output(WebsocketClientOutputTransport):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            # Pipecat's WebSocket servers do this too; its client does not.
            await self._write_frame(frame)
