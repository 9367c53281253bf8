"""Telnyx: TeXML instruction fetch, TeXML and media streaming.

https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming,
https://developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/stream
"""

from __future__ import annotations

import secrets
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import ClassVar

from service.clock import Clock, iso
from service.errors import RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers import dialect, markup
from service.simulator.providers.dialect import Message, ServerCommand

ACCOUNT = "6a9a7976-012e-45d2-9258-6f5dc68d861e"
CONNECTION = "1494404757140276705"
ENCODINGS = {Codec.MULAW: "PCMU", Codec.ALAW: "PCMA"}
CODECS = {name: codec for codec, name in ENCODINGS.items()}
LONGEST_PAYLOAD = 30 * 8000
MALFORMED_FRAME = 100003, "malformed_frame"
INVALID_MEDIA = 100004, "invalid_media"


def _connect(element: ET.Element) -> markup.Verb:
    stream = markup.only_stream(element)
    if stream is None:
        return markup.Unknown(element.tag)
    if stream.get("bidirectionalMode") != "rtp":
        raise RemoteError('Without bidirectionalMode="rtp" Telnyx expects MP3, not frames.')
    if stream.get("enableReconnect") != "false":
        raise RemoteError('Without enableReconnect="false" Telnyx redials a closed socket.')
    if stream.get("track", "inbound_track") != "inbound_track":
        raise RemoteError("The simulator only sends the inbound_track.")
    if stream.get("bidirectionalSamplingRate", "8000") != "8000":
        raise RemoteError("The simulator only speaks bidirectionalSamplingRate 8000.")
    wanted = stream.get("codec", "default")
    answer = stream.get("bidirectionalCodec", "PCMU")
    if wanted not in (*CODECS, "default") or answer not in CODECS:
        raise RemoteError("The simulator only speaks the codecs PCMU and PCMA.")
    return markup.Stream(
        markup.stream_url(stream.get("url", "")),
        markup.parameters(stream),
        # "default" is the codec of the phone line; in the United States that is PCMU.
        inbound=CODECS.get(wanted, Codec.MULAW),
        outbound=CODECS[answer],
        status_url=stream.get("statusCallback"),
    )


def _gather(element: ET.Element) -> markup.Verb:
    if element.get("method") is not None:
        raise RemoteError("Telnyx's <Gather> has no method: the application's is used.")
    # The case without a key is not documented. The other verbs behave like Twilio's.
    return markup.gather(element, markup.SPOKEN)


class TelnyxDialect(dialect.Dialect):
    name = "telnyx"
    account = ACCOUNT
    readers: ClassVar[Mapping[str, markup.Reader]] = {
        "Connect": _connect,
        "Dial": markup.dial(r"\+[0-9]{7,15}", shortest=60),
        "Gather": _gather,
        "Hangup": markup.hangup,
        "Redirect": markup.redirect,
        "Reject": markup.reject,
        **markup.SPOKEN,
    }
    codecs = (Codec.MULAW, Codec.ALAW)

    def __init__(self, caller: str, callee: str, clock: Clock) -> None:
        super().__init__(caller, callee, clock)
        self.session_id = str(uuid.uuid4())

    def webhook(self) -> dict[str, str]:
        # Telnyx answers the call before it fetches the instructions, so CallStatus is the same on
        # the first request and after a redirect.
        return {
            "AccountSid": self.account,
            "CallSid": self.call_id,
            "CallSidLegacy": self.call_id,
            "CallStatus": "in-progress",
            "CallerId": self.caller,
            "CallingPartyType": "pstn",
            "ConnectionId": CONNECTION,
            "From": self.caller,
            "FromSipUri": f"{self.caller}@sip.telnyx.com",
            "To": self.callee,
            "ToSipUri": f"{self.callee}@sip.telnyx.com",
        }

    def redirected(self) -> dict[str, str]:
        return self.webhook()

    def dial_ended(self, status: str, *, over: bool) -> dict[str, str]:
        fields = self.webhook() | {"DialCallStatus": status}
        return fields | {"CallStatus": "completed"} if over else fields

    def stream_status(self, event: str, error: str | None = None) -> dict[str, str]:
        fields = {
            "AccountSid": self.account,
            "CallSid": self.call_id,
            "CallSidLegacy": self.call_id,
            "StreamEvent": f"stream-{event}",
            "StreamName": "",
            "StreamSid": self.stream_id,
            "Timestamp": iso(self.clock.now()),
        }
        return fields if error is None else {**fields, "StreamError": "connection_failed"}

    def call_status(self, status: str) -> dict[str, str]:
        self.statuses_sent += 1
        return self.webhook() | {
            "CallStatus": "in-progress" if status == "answered" else status,
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self.statuses_sent - 1),
        }

    def new_call_id(self) -> str:
        return "v3:" + secrets.token_urlsafe(40)

    def new_stream_id(self) -> str:
        return str(uuid.uuid4())

    def opening(self, stream: markup.Stream, inbound: Codec) -> list[Message]:
        start = {
            "user_id": self.account,
            "call_control_id": self.call_id,
            "call_session_id": self.session_id,
            "from": self.caller,
            "to": self.callee,
            "tags": [],
            "custom_parameters": dict(stream.parameters),
            "media_format": {"encoding": ENCODINGS[inbound], "sample_rate": 8000, "channels": 1},
        }
        return [{"event": "connected", "version": "1.0.0"}, self._message("start", start=start)]

    def voice(self, payload: str) -> Message:
        media = {
            "track": "inbound",
            "chunk": str(self.chunk),
            "timestamp": str((self.chunk - 1) * 20),
            "payload": payload,
        }
        return self._message("media", media=media)

    def digit(self, digit: str) -> Message:
        occurred = iso(self.clock.now())
        return self._message("dtmf", occurred_at=occurred, dtmf={"digit": digit})

    def played(self, name: str) -> Message:
        return self._message("mark", mark={"name": name})

    def stop(self) -> Message:
        return self._message(
            "stop", stop={"user_id": self.account, "call_control_id": self.call_id}
        )

    def error_message(self, error: RemoteError) -> Message:
        code, title = MALFORMED_FRAME
        if isinstance(error, dialect.InvalidMedia):
            code, title = INVALID_MEDIA
        payload = {"code": code, "title": title, "detail": error.message}
        return {"event": "error", "stream_id": self.stream_id, "payload": payload}

    def _message(self, event: str, **body: object) -> Message:
        numbered = {"event": event, "sequence_number": str(self.next_sequence())}
        return {**numbered, "stream_id": self.stream_id, **body}

    def parse(self, message: Message) -> ServerCommand:
        match message.get("event"):
            case "media":
                heard = dialect.audio(dialect.member(message, "media"))
                if not 160 <= len(heard.payload) <= LONGEST_PAYLOAD:
                    raise dialect.InvalidMedia("An audio payload must last from 20 ms to 30 s.")
                return heard
            case "mark":
                return dialect.Mark(dialect.string(dialect.member(message, "mark"), "name"))
            case "clear":
                return dialect.Clear()
            case _:
                raise dialect.unknown("Telnyx", message)
