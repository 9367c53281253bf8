"""Twilio: TwiML and Media Streams.

https://www.twilio.com/docs/voice/twiml/stream
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from service.model import Refusal
from service.providers.base import Markup, Provider
from service.providers.dialect import PhoneWire, encoding
from service.providers.messages import Document, optional_section, optional_text, section, text
from service.wire import Encoding, Event, Played, Started

MULAW = "audio/x-mulaw"
ENCODINGS: Mapping[str, Encoding] = {MULAW: Encoding.MULAW}


class Twilio(Provider):
    name = "twilio"

    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        # The reference is in the path and repeated here, because Twilio drops query strings.
        connect = Element("Connect")
        stream = SubElement(connect, "Stream", url=media_url)
        if status_url is not None:
            stream.set("statusCallback", status_url)
        SubElement(stream, "Parameter", name="ref", value=ref)
        return connect

    def refuse(self, reason: Refusal) -> Markup:
        return Markup.of(Element("Reject", reason=reason))

    def wire(self) -> TwilioWire:
        return TwilioWire()


class TwilioWire(PhoneWire):
    """Media Streams. All that is sent names the stream; audio is mu-law both ways."""

    def __init__(self) -> None:
        super().__init__()
        self._stream_sid = ""

    def _start(self, document: Document) -> Started:
        start = section(document, "start")
        media_format = optional_section(start, "mediaFormat")
        _, spoken = encoding(media_format, "sampleRate", ENCODINGS, MULAW)
        self._stream_sid = optional_text(start, "streamSid") or text(document, "streamSid")
        return Started(
            inbound=spoken,
            outbound=spoken,
            call_id=text(start, "callSid"),
            ref=optional_text(optional_section(start, "customParameters"), "ref"),
        )

    def _event(self, name: str, document: Document) -> list[Event]:
        match name:
            case "connected":
                return []
            case "mark":
                self._require_start(name)
                return [Played(text(section(document, "mark"), "name"))]
            case _:
                return super()._event(name, document)

    def _play(self) -> Document:
        return {"event": "media", "streamSid": self._stream_sid, "media": {"payload": ""}}

    def _flush(self) -> Document:
        return {"event": "clear", "streamSid": self._stream_sid}

    def _fence(self, name: str) -> Document:
        return {"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}}


PROVIDER = Twilio()
