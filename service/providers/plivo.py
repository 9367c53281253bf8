"""Plivo: XML and Audio Streaming.

https://plivo.com/docs/voice/xml/audio-streaming
https://plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from service.errors import RemoteError
from service.model import Refusal
from service.providers.base import Markup, Provider, Webhook
from service.providers.dialect import PhoneWire, encoding
from service.providers.messages import (
    Document,
    decode,
    optional_section,
    optional_text,
    section,
    text,
)
from service.wire import SAMPLE_RATE, Complaint, Encoding, Event, Flushed, Played, Started

MULAW = "audio/x-mulaw"

# L16 is network order in RTP, but Plivo's own client reads and writes it little endian:
# https://github.com/plivo-labs/agent-transport, src/audio_stream/protocol.rs.
ENCODINGS: Mapping[str, Encoding] = {MULAW: Encoding.MULAW, "audio/x-l16": Encoding.LINEAR}

STREAM_SECONDS = 86_400
"""The longest stream that Plivo allows; how long a call may last is decided elsewhere."""


class Plivo(Provider):
    name = "plivo"
    call_id_field = "CallUUID"
    cause_field = "HangupCause"
    over_statuses = frozenset(("completed", "busy", "no-answer", "failed", "timeout", "cancel"))

    def is_over(self, hook: Webhook) -> bool:
        # Without a hangup_url Plivo posts the hang-up to the answer URL; a stream in the answer
        # would be opened after the call: https://plivo.com/docs/voice/xml/request.
        return hook.get("Event") == "Hangup" or super().is_over(hook)

    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        # keepCallAlive makes Plivo wait for the end of the stream before it reads on, and
        # contentType has a different default on different pages of its documentation.
        stream = Element(
            "Stream",
            bidirectional="true",
            keepCallAlive="true",
            audioTrack="inbound",
            contentType=f"{MULAW};rate={SAMPLE_RATE}",
            streamTimeout=str(STREAM_SECONDS),
            extraHeaders=f"ref={ref}",
        )
        if status_url is not None:
            stream.set("statusCallbackUrl", status_url)
        stream.text = media_url
        return stream

    def refuse(self, reason: Refusal) -> Markup:
        # Plivo has no Reject verb; a Hangup with a reason, standing first, does not answer.
        return Markup.of(Element("Hangup", reason=reason))

    def wire(self) -> PlivoWire:
        return PlivoWire()


class PlivoWire(PhoneWire):
    """Audio Streaming. Audio goes back in the encoding in which it comes.

    Plivo documents no ``stop`` message: the end of a call is a closed socket.
    """

    close_ends_call = True

    def __init__(self) -> None:
        super().__init__()
        self._stream_id = ""
        self._content_type = MULAW

    def _start(self, document: Document) -> Started:
        start = section(document, "start")
        media_format = optional_section(start, "mediaFormat")
        self._content_type, spoken = encoding(media_format, "sampleRate", ENCODINGS, MULAW)
        self._stream_id = text(start, "streamId")
        return Started(
            inbound=spoken,
            outbound=spoken,
            call_id=text(start, "callId"),
            ref=_ref(document),
        )

    def _event(self, name: str, document: Document) -> list[Event]:
        match name:
            # Older pages name the acknowledgement "played".
            case "playedStream" | "played":
                self._require_start(name)
                return [Played(text(document, "name"))]
            case "clearedAudio":
                self._require_start(name)
                return [Flushed()]
            case "error" | "playFailed":
                return [Complaint(code=name, detail=optional_text(document, "reason") or "")]
            case _:
                return super()._event(name, document)

    def _play(self) -> Document:
        # The content type goes back without the ";rate=" that the markup has.
        return {
            "event": "playAudio",
            "streamId": self._stream_id,
            "media": {
                "contentType": self._content_type,
                "sampleRate": SAMPLE_RATE,
                "payload": "",
            },
        }

    def _flush(self) -> Document:
        return {"event": "clearAudio", "streamId": self._stream_id}

    def _fence(self, name: str) -> Document:
        return {"event": "checkpoint", "streamId": self._stream_id, "name": name}


def _ref(document: Document) -> str | None:
    """The reference in ``extra_headers``, of which Plivo's documents and code show four spellings.

    ``k=v;k=v``, ``k=v,k=v``, an object written as a string, and an object.
    """
    headers = document.get("extra_headers")
    if isinstance(headers, str) and headers.lstrip().startswith("{"):
        headers = decode(headers.encode(), "extra_headers")
    if headers is None or isinstance(headers, dict):
        return optional_text(headers or {}, "ref")
    if not isinstance(headers, str):
        raise RemoteError("extra_headers must be a string or an object.")
    for pair in re.split("[;,]", headers):
        key, _, value = pair.partition("=")
        if key.strip() == "ref":
            return value.strip()
    return None


PROVIDER = Plivo()
