"""Plivo: XML and Audio Streaming.

https://plivo.com/docs/voice/xml/audio-streaming
https://plivo.com/docs/voice/xml/input
https://plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference
https://plivo.com/docs/voice/concepts/signature-validation
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from service.clock import Millis
from service.domain.calls import Refusal
from service.domain.wire import SAMPLE_RATE, Complaint, Encoding, Event, Flushed, Started
from service.errors import BadSignature
from service.providers.base.json_fields import Document, Fields
from service.providers.base.provider import KEY_SECONDS, Markup, Provider, Webhook
from service.providers.base.signatures import (
    Credential,
    Secrets,
    Use,
    hmac_base64,
    matches,
    with_scheme,
)
from service.providers.base.stream import PhoneWire, encoding, played, require_one, sent_ref

MULAW = "audio/x-mulaw"

# L16 is network order in RTP, but Plivo's own client reads and writes it little endian:
# https://github.com/plivo-labs/agent-transport, src/audio_stream/protocol.rs.
ENCODINGS: Mapping[Encoding, str] = {Encoding.MULAW: MULAW, Encoding.LINEAR: "audio/x-l16"}

STREAM_SECONDS = 86_400
"""Longest stream that Plivo allows. The limit of a call's duration is applied elsewhere."""


V2, V3 = "X-Plivo-Signature-V2", "X-Plivo-Signature-V3"


class Plivo(Provider):
    name = "plivo"
    credentials = (
        Credential(
            "authId",
            secret=False,
            uses=frozenset((Use.API,)),
            shape=re.compile("[MS]A[A-Z0-9]{18}"),
            expected="must be MA or SA and 18 capital letters or digits",
        ),
        Credential("authToken", secret=True, uses=frozenset((Use.SIGNATURES, Use.API))),
    )
    call_id_field = "CallUUID"
    cause_field = "HangupCause"
    speak_verb = "Speak"
    wait_verb = "Wait"
    writes_plus = False
    over_statuses = frozenset(("completed", "busy", "no-answer", "failed", "timeout", "cancel"))

    def __init__(self, *, accepts_v2: bool = False) -> None:
        """``accepts_v2``: accept V2 signatures without V3.

        A captured V2 signature is valid for every form for ever.
        """
        self._accepts_v2 = accepts_v2

    def verify(self, hook: Webhook, secrets: Secrets, now: Millis) -> None:
        tokens = secrets.get("authToken")
        if not tokens:
            return
        version = V2 if self._accepts_v2 and not _signatures(hook, V3) else V3
        sent, nonce = _signatures(hook, version), hook.header(f"{version}-Nonce")
        if not (sent and nonce):
            raise BadSignature(f"{V3} or its nonce is missing.")
        texts = _signed_by_v3(hook, nonce) if version == V3 else _signed_by_v2(hook, nonce)
        expected = [hmac_base64(token, text, "sha256") for token in tokens for text in texts]
        if not matches(sent, expected):
            raise BadSignature(f"{version} was made with another authToken or for another URL.")

    def is_over(self, hook: Webhook) -> bool:
        # Without a hangup_url Plivo posts the hang-up to the answer URL; a stream in the answer
        # would be opened after the call: https://plivo.com/docs/voice/xml/request.
        return hook.get("Event") == "Hangup" or super().is_over(hook)

    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        # keepCallAlive makes Plivo wait for the end of the stream before it reads on, and
        # contentType has a different default on different pages of its documentation. The
        # reference is in the path and repeated here; it comes back as "{X-PH-ref: …}".
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

    def gather(self, digits: int, action: str) -> Element:
        # Without log="false" Plivo would write the keys into its own logs, and its pause between
        # two keys would default to 2 seconds.
        return Element(
            "GetDigits",
            action=action,
            method="POST",
            numDigits=str(digits),
            timeout=str(KEY_SECONDS),
            digitTimeout=str(KEY_SECONDS),
            finishOnKey="#",
            retries="1",
            redirect="true",
            log="false",
        )

    def refuse(self, reason: Refusal) -> Markup:
        # Plivo has no Reject verb. A Hangup with a reason as first verb does not answer the call.
        return Markup.of(Element("Hangup", reason=reason))

    def wire(self) -> PlivoWire:
        return PlivoWire()


def _signatures(hook: Webhook, version: str) -> list[str]:
    """Return the signatures of the number's account and of the main account, one per token."""
    names = (version, version.replace("-V", "-Ma-V"))
    values = [value for name in names for value in hook.header(name).split(",")]
    return [value.strip() for value in values if value.strip()]


def _signed_by_v2(hook: Webhook, nonce: str) -> list[str]:
    return [url.partition("?")[0] + nonce for url in _urls(hook)]


def _signed_by_v3(hook: Webhook, nonce: str) -> list[str]:
    """Return the signed text: the URL with its query decoded and sorted. A form follows after a
    dot, or without a query, after a question mark.
    """
    query = "&".join(f"{name}={value}" for name, value in sorted(hook.query))
    form = "".join(name + value for name, value in sorted(hook.form))
    asked = f"?{query}" if query or hook.form else ""
    said = "." + form if query and hook.form else form
    return [f"{url.partition('?')[0]}{asked}{said}.{nonce}" for url in _urls(hook)]


def _urls(hook: Webhook) -> list[str]:
    """Return the URLs that Plivo may have signed: on live calls an upgrade has http instead of ws,
    which is not documented."""
    if not hook.is_upgrade:
        return [hook.url]
    return [hook.url, *(with_scheme(hook.url, scheme) for scheme in ("http", "https"))]


class PlivoWire(PhoneWire):
    """Audio Streaming. Audio is sent in the encoding in which it is received.

    Plivo documents no ``stop`` message: the end of a call is a closed socket.
    """

    close_ends_call = True

    def __init__(self) -> None:
        super().__init__()
        self._stream_id: str | None = None
        self._content_type = MULAW

    def _start(self, message: Fields) -> Started:
        start = message.section("start")
        require_one(start, message, "streamId", "callId")
        self._content_type, spoken = encoding(start.section("mediaFormat"), "sampleRate", ENCODINGS)
        self._stream_id = start.symbol("streamId") or message.symbol("streamId")
        call_id = start.text("callId")
        return Started(spoken, spoken, call_id, sent_ref(message, start))

    def _event(self, name: str, document: Document) -> list[Event]:
        match name:
            # Older pages name the acknowledgement "played".
            case "playedStream" | "played":
                self._require_start(name)
                return [played(Fields(document))]
            case "clearedAudio":
                self._require_start(name)
                return [Flushed()]
            case "error" | "playFailed":
                return [Complaint(code=name, detail=Fields(document).text("reason") or "")]
            case _:
                return super()._event(name, document)

    def _play(self) -> Document:
        # The content type is sent without the ";rate=" of the markup.
        media = {"contentType": self._content_type, "sampleRate": SAMPLE_RATE, "payload": ""}
        return self._message("playAudio", media=media)

    def _flush(self) -> Document:
        return self._message("clearAudio")

    def _fence(self, name: str) -> Document:
        return self._message("checkpoint", name=name)

    def _message(self, event: str, **more: object) -> Document:
        """Return a message of the stream. Plivo does not need the stream's id to play it."""
        stream = {} if self._stream_id is None else {"streamId": self._stream_id}
        return {"event": event, **stream, **more}


PROVIDER = Plivo()
