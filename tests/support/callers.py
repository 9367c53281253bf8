"""Participants of the media plane: a leg's spec, its real wire, and its messages."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from service.domain.calls import Participant
from service.domain.wire import Encoding, Wire
from service.media.rooms.leg import LegSpec
from service.providers.custom import WebSocketWire
from service.providers.plivo import PlivoWire
from service.providers.telnyx import TelnyxWire
from service.providers.twilio import TwilioWire

ROOM = "abcd-efgh-ijkl"


@dataclass(frozen=True, slots=True)
class Caller:
    """``inbound`` is the encoding that the caller sends, ``outbound`` the one it receives."""

    spec: LegSpec
    start: bytes
    inbound: Encoding
    outbound: Encoding

    def media(self, payload: bytes, chunk: int | None = None) -> bytes:
        """Return an audio message, numbered with ``chunk`` as in Telnyx."""
        encoded = b64encode(payload).decode()
        if isinstance(self.spec.wire, WebSocketWire):
            return compact({"event": "media", "payload": encoded})
        media = {"track": "inbound", "payload": encoded}
        return compact(
            {"event": "media", "media": media if chunk is None else {**media, "chunk": str(chunk)}}
        )


def compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def spec(
    name: str,
    wire: Wire,
    *,
    room: str = ROOM,
    leg: str = "leg-1",
    call: str | None = None,
    session: str | None = None,
) -> LegSpec:
    """Return a spec whose call id, reference and participant id derive from ``name``."""
    return LegSpec(
        leg_id=f"{name}-{leg}",
        call_id=call or f"call-{name}",
        room_id=room,
        participant=Participant(name, name.title(), {"from": "test"}),
        wire=wire,
        session_id=session,
        provider_call_id=None if isinstance(wire, WebSocketWire) else f"provider-{name}",
        ref=None if isinstance(wire, WebSocketWire) else f"ref-{name}",
    )


def twilio(
    name: str, *, call_id: str | None = None, ref: str | None = None, **changes: Any
) -> Caller:
    """Return a Twilio phone: mu-law both ways. ``call_id`` and ``ref`` are for its start."""
    start = {
        "streamSid": f"MZ-{name}",
        "callSid": call_id or f"provider-{name}",
        "customParameters": {"ref": ref or f"ref-{name}"},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    return Caller(
        spec(name, TwilioWire(), **changes),
        compact({"event": "start", "start": start}),
        Encoding.MULAW,
        Encoding.MULAW,
    )


def plivo(name: str, **changes: Any) -> Caller:
    """Return a Plivo phone, whose counters are numbers: mu-law both ways."""
    start = {
        "callId": f"provider-{name}",
        "streamId": f"stream-{name}",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
    }
    return Caller(
        spec(name, PlivoWire(), **changes),
        compact({"event": "start", "start": start, "extra_headers": f"{{X-PH-ref: ref-{name}}}"}),
        Encoding.MULAW,
        Encoding.MULAW,
    )


def telnyx(
    name: str,
    *,
    call_id: str | None = None,
    ref: str | None = None,
    encoding: str = "PCMA",
    **changes: Any,
) -> Caller:
    """Return a Telnyx phone outside North America: it sends A-law and receives mu-law."""
    start = {
        "call_control_id": call_id or f"provider-{name}",
        "media_format": {"encoding": encoding, "sample_rate": 8000, "channels": 1},
        "custom_parameters": {"ref": ref or f"ref-{name}"},
    }
    return Caller(
        spec(name, TelnyxWire(), **changes),
        compact({"event": "start", "stream_id": f"stream-{name}", "start": start}),
        Encoding.ALAW,
        Encoding.MULAW,
    )


def agent(name: str, *, wire: WebSocketWire | None = None, **changes: Any) -> Caller:
    """Return an agent on the custom WebSocket: linear PCM both ways, without pacing."""
    return Caller(
        spec(name, wire or WebSocketWire(), **changes),
        compact({"event": "start"}),
        Encoding.LINEAR,
        Encoding.LINEAR,
    )
