"""Twilio: voice webhook, TwiML and Media Streams.

https://www.twilio.com/docs/voice/media-streams/websocket-messages,
https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from service.clock import iso
from service.errors import RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers import dialect, markup
from service.simulator.providers.dialect import Message, ServerCommand

ACCOUNT = "AC00000000000000000000000000000001"


def _connect(element: ET.Element) -> markup.Verb:
    stream = markup.only_stream(element)
    if stream is None:
        return markup.Unknown(element.tag)
    if stream.get("track", "inbound_track") != "inbound_track":
        raise RemoteError("Twilio's two-way streams only carry the inbound_track.")
    url = markup.stream_url(stream.get("url", ""))
    # Twilio silently drops the query ("does not support query string parameters").
    url = urlsplit(url)._replace(query="", fragment="").geturl()
    return markup.Stream(url, markup.parameters(stream), status_url=stream.get("statusCallback"))


def _gather(element: ET.Element) -> markup.Verb:
    answers_silence = element.get("actionOnEmptyResult") == "true"
    return markup.gather(element, markup.SPOKEN, answers_silence=answers_silence)


class TwilioDialect(dialect.Dialect):
    name = "twilio"
    account = ACCOUNT
    readers: ClassVar[Mapping[str, markup.Reader]] = {
        "Connect": _connect,
        "Dial": markup.dial(r"\+[0-9]{7,15}"),
        "Gather": _gather,
        "Hangup": markup.hangup,
        "Redirect": markup.redirect,
        "Reject": markup.reject,
        **markup.SPOKEN,
    }

    def new_call_id(self) -> str:
        return "CA" + secrets.token_hex(16)

    def webhook(self) -> dict[str, str]:
        return self._fields("in-progress" if self.is_outbound else "ringing")

    def redirected(self) -> dict[str, str]:
        return self._fields("in-progress")

    def dial_ended(self, status: str, *, over: bool) -> dict[str, str]:
        fields = self._fields("completed" if over else "in-progress") | {"DialCallStatus": status}
        if status == "completed":
            fields |= {"DialCallSid": self.new_call_id(), "DialCallDuration": "7"}
        return fields

    def stream_status(self, event: str, error: str | None = None) -> dict[str, str]:
        name = "stream-error" if event == "failed" else f"stream-{event}"
        fields = {
            "AccountSid": self.account,
            "CallSid": self.call_id,
            "StreamSid": self.stream_id or self.new_stream_id(),
            "StreamName": "",
            "StreamEvent": name,
            "Timestamp": iso(self.clock.now()),
        }
        return fields if error is None else {**fields, "StreamError": f"31920: {error}"}

    def call_status(self, status: str) -> dict[str, str]:
        self.statuses_sent += 1
        word = "in-progress" if status == "answered" else status
        return self._fields(word) | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self.statuses_sent - 1),
        }

    def _fields(self, status: str) -> dict[str, str]:
        place = {"City": "SAN FRANCISCO", "State": "CA", "Zip": "94105", "Country": "US"}
        fields = {
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
            "CallSid": self.call_id,
            "CallStatus": status,
            "CallerName": "",
            "Direction": "outbound-api" if self.is_outbound else "inbound",
            "From": self.caller,
            "To": self.callee,
            "Caller": self.caller,
            "Called": self.callee,
        }
        # The geographical fields come twice, under current names and those of earlier versions.
        for side in ("From", "To", "Caller", "Called"):
            fields |= {side + part: value for part, value in place.items()}
        return fields

    def new_stream_id(self) -> str:
        return "MZ" + secrets.token_hex(16)

    def opening(self, stream: markup.Stream, inbound: Codec) -> list[Message]:
        start = {
            "accountSid": self.account,
            "streamSid": self.stream_id,
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(stream.parameters),
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [connected, self._message("start", start=start)]

    def voice(self, payload: str) -> Message:
        return self._message(
            "media",
            media={
                "track": "inbound",
                "chunk": str(self.chunk),
                "timestamp": str((self.chunk - 1) * 20),
                "payload": payload,
            },
        )

    def digit(self, digit: str) -> Message:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def played(self, name: str) -> Message:
        return self._message("mark", mark={"name": name})

    def stop(self) -> Message:
        return self._message("stop", stop={"accountSid": self.account, "callSid": self.call_id})

    def _message(self, event: str, **body: Message) -> Message:
        numbered = {"event": event, "sequenceNumber": str(self.next_sequence())}
        return {**numbered, "streamSid": self.stream_id, **body}

    def parse(self, message: Message) -> ServerCommand:
        if message.get("event") not in ("media", "mark", "clear"):
            raise dialect.unknown("Twilio", message)
        if message.get("streamSid") != self.stream_id:
            raise RemoteError(
                f"The server's {dialect.event(message)} message has another streamSid."
            )
        match message["event"]:
            case "media":
                return dialect.audio(dialect.member(message, "media"))
            case "mark":
                return dialect.Mark(dialect.string(dialect.member(message, "mark"), "name"))
            case _:
                return dialect.Clear()
