"""Plivo: answer URL, XML and audio streams.

https://plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference,
https://plivo.com/docs/voice/xml/audio-streaming, https://docs.plivo.com/docs/voice/xml/request
"""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from service.clock import Clock, iso
from service.errors import RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers import dialect, markup
from service.simulator.providers.dialect import Message, ServerCommand

ACCOUNT = "MAXXXXXXXXXXXXXXXXXX"
CONTENT_TYPES = {Codec.MULAW: "audio/x-mulaw", Codec.L16: "audio/x-l16"}


def _stream(element: ET.Element) -> markup.Verb:
    if element.get("bidirectional") != "true":
        raise RemoteError('Without bidirectional="true" in <Stream> the caller hears nothing.')
    if element.get("keepCallAlive") != "true":
        raise RemoteError('Without keepCallAlive="true" Plivo does not wait for the <Stream>.')
    if element.get("audioTrack", "inbound") != "inbound":
        raise RemoteError("Plivo's two-way streams only carry the inbound audioTrack.")
    kind, _, rate = element.get("contentType", "").partition(";rate=")
    codecs = [codec for codec, name in CONTENT_TYPES.items() if name == kind and rate == "8000"]
    if not codecs:
        # Plivo's pages disagree about the default, so the attribute is required here.
        raise RemoteError("<Stream> needs the contentType audio/x-mulaw;rate=8000 (or x-l16).")
    return markup.Stream(
        markup.stream_url(markup.text(element)),
        _headers(element.get("extraHeaders", "")),
        inbound=codecs[0],
        outbound=codecs[0],
        status_url=element.get("statusCallbackUrl"),
    )


def _hangup(element: ET.Element) -> markup.Verb:
    # Plivo rejects a call with a <Hangup> that has a reason and is the first element.
    return markup.Hangup() if element.get("reason") is None else markup.reject(element)


def _headers(text: str) -> dict[str, str]:
    if len(text) > 512:
        raise RemoteError("extraHeaders is longer than 512 bytes.")
    found = {}
    for pair in re.split("[,;]", text) if text else ():
        match = re.fullmatch("([A-Za-z0-9]+)=([A-Za-z0-9]+)", pair.strip())
        if match is None:
            raise RemoteError("extraHeaders must be name=value pairs of letters and digits alone.")
        found[match[1]] = match[2]
    return found


def _digits(element: ET.Element) -> markup.Verb:
    if element.get("redirect", "true") != "true":
        raise RemoteError('With redirect="false" Plivo does not read what the action answers.')
    if not element.get("action", "").startswith(("http://", "https://")):
        raise RemoteError("<GetDigits> needs an absolute action: Plivo does not resolve others.")
    gathered = markup.gather(element, SPOKEN)
    # Without a key, the prompt is repeated and the timeout starts again.
    retries = markup.whole(element, "retries", 1)
    return replace(gathered, seconds=gathered.seconds * retries, prompt=gathered.prompt * retries)


SPOKEN: Mapping[str, markup.Reader] = {
    "Play": markup.play,
    "Speak": markup.say,
    "Wait": markup.pause,
}


class PlivoDialect(dialect.Dialect):
    name = "plivo"
    account = ACCOUNT
    readers: ClassVar[Mapping[str, markup.Reader]] = {
        "Dial": markup.dial("[0-9]{7,15}"),
        "GetDigits": _digits,
        "Hangup": _hangup,
        "Redirect": markup.redirect,
        "Stream": _stream,
        **SPOKEN,
    }
    codecs = (Codec.MULAW, Codec.L16)
    # "Plivo retries twice, then drops the stream."
    handshakes = 3
    # An unknown element is "Invalid Answer XML", hangup code 8011.
    skips_unknown_verbs = False
    marks_outlive_clear = False
    buffer_seconds = 60.0

    def __init__(self, caller: str, callee: str, clock: Clock) -> None:
        super().__init__(caller, callee, clock)
        self.codec = Codec.MULAW
        self.extra_headers = ""

    def webhook(self) -> dict[str, str]:
        return self._fields("StartApp", "in-progress" if self.is_outbound else "ringing")

    def redirected(self) -> dict[str, str]:
        return self._fields("Redirect", "in-progress")

    def hung_up(self) -> dict[str, str]:
        # An application without a hangup_url sends the hangup to its answer URL.
        return self._fields("Hangup", "completed") | {
            "HangupCause": "NORMAL_CLEARING",
            "HangupCauseName": "Normal Hangup",
            "HangupCauseCode": "4000",
            "HangupSource": "Caller",
        }

    def dial_ended(self, status: str, *, over: bool) -> dict[str, str]:
        fields = self._fields("Redirect", "completed" if over else "in-progress")
        return fields | {
            "DialStatus": status,
            "DialRingStatus": "true",
            "DialHangupCause": "NORMAL_CLEARING",
            "DialALegUUID": self.call_id,
            "DialBLegUUID": self.new_call_id() if status == "completed" else "",
        }

    def stream_status(self, event: str, error: str | None = None) -> dict[str, str]:
        names = {"started": "StartStream", "stopped": "StopStream", "failed": "DroppedStream"}
        fields = {
            "CallUUID": self.call_id,
            "StreamID": self.stream_id or self.new_stream_id(),
            "Event": names[event],
            "Timestamp": iso(self.clock.now()),
        }
        return fields if error is None else {**fields, "StatusReason": "connection_failed"}

    def call_status(self, status: str) -> dict[str, str] | None:
        if status == "ringing":
            return self._fields("Ring", "ringing")
        if status in ("initiated", "answered"):
            return None
        return self.hung_up() | {"CallStatus": status}

    def _fields(self, event: str, status: str) -> dict[str, str]:
        return {
            "ALegUUID": self.call_id,
            "BillRate": "0.0055",
            "CallStatus": status,
            "CallUUID": self.call_id,
            "CallerName": self.caller,
            "Direction": "outbound" if self.is_outbound else "inbound",
            "Event": event,
            # Plivo sends numbers without their plus sign.
            "From": self.caller.removeprefix("+"),
            "To": self.callee.removeprefix("+"),
        }

    def new_call_id(self) -> str:
        return str(uuid.uuid4())

    def new_stream_id(self) -> str:
        return str(uuid.uuid4())

    def opening(self, stream: markup.Stream, inbound: Codec) -> list[Message]:
        self.codec = inbound
        # Real calls use neither of the documented spellings, and no JSON:
        # https://github.com/plivo-labs/agent-transport, crates/agent-transport/src/audio_stream.
        headers = (f"X-PH-{name}: {value}" for name, value in stream.parameters.items())
        self.extra_headers = f"{{{', '.join(headers)}}}"
        start = {
            "callId": self.call_id,
            "streamId": self.stream_id,
            "accountId": self.account,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": CONTENT_TYPES[inbound], "sampleRate": 8000},
        }
        sequence = self.next_sequence()
        return [
            {
                "event": "start",
                "sequenceNumber": sequence,
                "start": start,
                "extra_headers": self.extra_headers,
            }
        ]

    def answer_codec(self, stream: markup.Stream, inbound: Codec) -> Codec:
        # playAudio must repeat the format of the start message.
        return inbound

    def voice(self, payload: str) -> Message:
        media = {
            "track": "inbound",
            "timestamp": str(self.clock.now()),
            "chunk": self.chunk,
            "payload": payload,
        }
        return self._message("media", media=media, extra_headers=self.extra_headers)

    def digit(self, digit: str) -> Message:
        dtmf = {"track": "inbound", "digit": digit, "timestamp": str(self.clock.now())}
        return self._message("dtmf", dtmf=dtmf, extra_headers=self.extra_headers)

    def played(self, name: str) -> Message:
        return self._message("playedStream", name=name)

    def cleared(self) -> Message:
        return self._message("clearedAudio")

    def _message(self, event: str, **body: object) -> Message:
        numbered = {"event": event, "sequenceNumber": self.next_sequence()}
        return {**numbered, "streamId": self.stream_id, **body}

    def parse(self, message: Message) -> ServerCommand:
        match message.get("event"):
            case "playAudio":
                return self._play(dialect.member(message, "media"))
            case "checkpoint":
                self._require_own_stream(message)
                return dialect.Mark(dialect.string(message, "name"))
            case "clearAudio":
                self._require_own_stream(message)
                return dialect.Clear()
            case "sendDTMF":
                return dialect.Digits(dialect.string(message, "dtmf"))
            case _:
                raise dialect.unknown("Plivo", message)

    def _play(self, media: Message) -> ServerCommand:
        expected = CONTENT_TYPES[self.codec]
        if media.get("contentType") != expected or str(media.get("sampleRate")) != "8000":
            raise RemoteError(f"playAudio must name contentType {expected} and sampleRate 8000.")
        return dialect.audio(media)

    def _require_own_stream(self, message: Message) -> None:
        if message.get("streamId") != self.stream_id:
            raise RemoteError(
                f"The server's {dialect.event(message)} message has another streamId."
            )
