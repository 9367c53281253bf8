"""Telnyx: TeXML and media streaming.

https://developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/stream
https://developers.telnyx.com/docs/voice/programmable-voice/texml-verbs/gather
https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.clock import Millis
from service.domain.calls import Refusal
from service.domain.wire import SAMPLE_RATE, Complaint, Encoding, Event, Started
from service.errors import BadSignature
from service.providers.base.json_fields import Document, Fields
from service.providers.base.provider import KEY_SECONDS, Markup, Provider, Webhook
from service.providers.base.signatures import Credential, Secrets, Use
from service.providers.base.stream import PhoneWire, encoding, played, require_one, sent_ref

ENCODINGS: Mapping[Encoding, str] = {Encoding.MULAW: "PCMU", Encoding.ALAW: "PCMA"}


SIGNATURE, TIMESTAMP = "telnyx-signature-ed25519", "telnyx-timestamp"

TOLERANCE_SECONDS = 300
"""Tolerated difference between a signature's time and ours, as in Telnyx's own libraries."""


class Telnyx(Provider):
    name = "telnyx"
    credentials = (
        Credential(
            "publicKey",
            secret=False,
            uses=frozenset((Use.SIGNATURES,)),
            shape=re.compile("[A-Za-z0-9+/]{43}="),
            expected="must be 32 bytes in base64, as the portal shows the public key",
        ),
        Credential("apiKey", secret=True, uses=frozenset((Use.API,))),
        # The account and the TeXML application that place calls.
        Credential("accountSid", secret=False, uses=frozenset((Use.API,))),
        Credential("applicationId", secret=False, uses=frozenset((Use.API,))),
    )
    signs_upgrades = False

    # The documented first request says in-progress, although the call can still be rejected.
    tells_progress = False

    def verify(self, hook: Webhook, secrets: Secrets, now: Millis) -> None:
        keys = secrets.get("publicKey")
        if not keys or hook.is_upgrade:
            return
        sent, timestamp = hook.header(SIGNATURE), hook.header(TIMESTAMP)
        if not (sent and timestamp):
            raise BadSignature(f"{SIGNATURE} or {TIMESTAMP} is missing.")
        if not re.fullmatch("[0-9]{1,12}", timestamp):
            raise BadSignature(f"{TIMESTAMP} is not a number of seconds.")
        if abs(now - int(timestamp) * 1000) > TOLERANCE_SECONDS * 1000:
            raise BadSignature(f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s from our clock.")
        # The signature covers the body but not the URL, so a query proves nothing.
        if hook.query and not hook.form:
            raise BadSignature(
                "Its parameters are in the URL, which Telnyx does not sign: use POST."
            )
        text = timestamp.encode() + b"|" + hook.body
        if not any(_is_signed(text, sent, key) for key in keys):
            raise BadSignature(f"{SIGNATURE} was made with another key or for another body.")

    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        # Connect, because Start would continue at once, and Pause holds a call for 180 s only. In
        # the default mode, mp3, our frames would not be audio. If Telnyx redialled a stream by
        # itself, the reference would be used up; it requests the webhook instead.
        connect = Element("Connect")
        stream = SubElement(
            connect,
            "Stream",
            url=media_url,
            track="inbound_track",
            codec="PCMU",
            bidirectionalMode="rtp",
            bidirectionalCodec="PCMU",
            bidirectionalSamplingRate=str(SAMPLE_RATE),
            enableReconnect="false",
        )
        if status_url is not None:
            stream.set("statusCallback", status_url)
        SubElement(stream, "Parameter", name="ref", value=ref)
        return connect

    def gather(self, digits: int, action: str) -> Element:
        # No method: the action is requested with the method of the application.
        return Element(
            "Gather",
            input="dtmf",
            action=action,
            numDigits=str(digits),
            timeout=str(KEY_SECONDS),
            finishOnKey="#",
        )

    def refuse(self, reason: Refusal) -> Markup:
        return Markup.of(Element("Reject", reason=reason))

    def wire(self) -> TelnyxWire:
        return TelnyxWire()


def _is_signed(text: bytes, signature: str, key: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(b64decode(key)).verify(
            b64decode(signature, validate=True), text
        )
    except (InvalidSignature, ValueError):
        return False
    return True


class TelnyxWire(PhoneWire):
    """Media streaming in rtp mode. Messages sent do not name the stream.

    The directions are independent. The markup cannot choose the codec of the caller's audio: it is
    that of the telephone line, PCMA in most of the world. Audio sent is PCMU, by the markup's
    ``bidirectionalCodec``.
    """

    # Sources disagree whether call_control_id is the CallSid of the webhook, so a start that names
    # another call proves nothing. The reference in the stream's URL does.
    names_call = False

    # Media messages may arrive out of order; the chunk number sorts them.
    order_field = b"chunk"

    def _start(self, message: Fields) -> Started:
        start = message.section("start")
        require_one(start, message, "stream_id", "call_control_id")
        _, inbound = encoding(start.section("media_format"), "sample_rate", ENCODINGS)
        call_id = start.text("call_control_id")
        return Started(inbound, Encoding.MULAW, call_id, sent_ref(message, start))

    def _name(self, document: Document) -> str:
        # Older streams report an error in a message without an event.
        if "event" not in document and "error" in document:
            return "error"
        return super()._name(document)

    def _event(self, name: str, document: Document) -> list[Event]:
        match name:
            case "connected":
                return []
            case "mark":
                self._require_start(name)
                return [played(Fields(document).section("mark"))]
            case "error":
                return [_complaint(document)]
            case _:
                return super()._event(name, document)

    def _play(self) -> Document:
        return {"event": "media", "media": {"payload": ""}}

    def _flush(self) -> Document:
        return {"event": "clear"}

    def _fence(self, name: str) -> Document:
        return {"event": "mark", "mark": {"name": name}}


def _complaint(document: Document) -> Complaint:
    """Return an error, which is an object under one of two names, or only a text."""
    said = document.get("error") or document.get("payload")
    if isinstance(said, str):
        return Complaint("error", said)
    error = Fields(said if isinstance(said, dict) else {})
    detail = error.text("detail") or error.text("title") or ""
    return Complaint(error.symbol("code") or "error", detail)


PROVIDER = Telnyx()
