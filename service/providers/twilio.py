"""Twilio: TwiML and Media Streams.

https://www.twilio.com/docs/voice/twiml/stream
https://www.twilio.com/docs/voice/twiml/gather
https://www.twilio.com/docs/voice/media-streams/websocket-messages
https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element, SubElement

from service.clock import Millis
from service.domain.calls import Refusal
from service.domain.wire import Encoding, Event, Started
from service.errors import BadSignature, RefusedStart
from service.providers.base.json_fields import Document, Fields
from service.providers.base.provider import KEY_SECONDS, Markup, Provider, Webhook
from service.providers.base.signatures import (
    Credential,
    Secrets,
    Use,
    hmac_base64,
    matches,
    sha256,
    with_and_without_port,
    with_scheme,
)
from service.providers.base.stream import PhoneWire, encoding, played, sent_ref

ENCODINGS: Mapping[Encoding, str] = {Encoding.MULAW: "audio/x-mulaw"}


SIGNATURE = "X-Twilio-Signature"

# Header in which Twilio names the second algorithm when a SharedKey replaces the auth token.
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
ALGORITHMS: Mapping[str, str] = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


class Twilio(Provider):
    name = "twilio"
    credentials = (
        Credential(
            "accountSid",
            secret=False,
            uses=frozenset((Use.API,)),
            shape=re.compile("AC[0-9a-fA-F]{32}"),
            expected="must be AC and 32 hexadecimal digits",
        ),
        Credential("authToken", secret=True, uses=frozenset((Use.SIGNATURES, Use.API))),
    )

    def verify(self, hook: Webhook, secrets: Secrets, now: Millis) -> None:
        accounts = secrets.get("accountSid")
        if accounts and not hook.is_upgrade and hook.get("AccountSid") not in accounts:
            raise BadSignature("AccountSid is not the accountSid of the connector.")
        tokens = secrets.get("authToken")
        if not tokens:
            return
        sent = hook.header(SIGNATURE)
        if not sent:
            raise BadSignature(f"{SIGNATURE} is missing.")
        algorithm = ALGORITHMS.get(_algorithm(hook.header(SETTINGS)))
        if algorithm is None:
            raise BadSignature(f"{SETTINGS} names an algorithm that is not known.")
        fields = _signed_fields(hook)
        expected = [
            hmac_base64(token, url + fields, algorithm) for token in tokens for url in _urls(hook)
        ]
        if not matches([sent], expected):
            raise BadSignature(f"{SIGNATURE} was made with another authToken or for another URL.")

    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        # The reference is in the path and repeated here, because Twilio drops query strings.
        connect = Element("Connect")
        stream = SubElement(connect, "Stream", url=media_url)
        if status_url is not None:
            stream.set("statusCallback", status_url)
        SubElement(stream, "Parameter", name="ref", value=ref)
        return connect

    def gather(self, digits: int, action: str) -> Element:
        return Element(
            "Gather",
            input="dtmf",
            action=action,
            method="POST",
            numDigits=str(digits),
            timeout=str(KEY_SECONDS),
            finishOnKey="#",
        )

    def refuse(self, reason: Refusal) -> Markup:
        return Markup.of(Element("Reject", reason=reason))

    def wire(self) -> TwilioWire:
        return TwilioWire()


def _urls(hook: Webhook) -> Iterator[str]:
    """Return the URLs that Twilio may have signed: with and without the port; for an upgrade also
    in both schemes, with and without a slash at the end. All of them prove the secret.
    """
    urls = [hook.url]
    if hook.is_upgrade:
        urls.append(with_scheme(hook.url, "https" if hook.url.startswith("wss") else "http"))
        urls += [f"{url}/" for url in urls]
    for url in urls:
        yield from with_and_without_port(url)


def _signed_fields(hook: Webhook) -> str:
    """Return the signed text after the URL: the form. A hash in the URL covers any other body."""
    if hook.form and "json" not in hook.header("Content-Type").lower():
        return "".join(name + value for name, value in sorted(set(hook.form)))
    digest = next((value for name, value in hook.query if name == "bodySHA256"), None)
    if digest is None and hook.body:
        raise BadSignature("The body is not covered: the URL holds no bodySHA256.")
    if digest is not None and not matches([digest], [sha256(hook.body)]):
        raise BadSignature("bodySHA256 is the hash of another body.")
    return ""


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


class TwilioWire(PhoneWire):
    """Media Streams. Every message sent names the stream; audio is mu-law both ways."""

    def __init__(self) -> None:
        super().__init__()
        self._stream_sid = ""

    def _start(self, message: Fields) -> Started:
        start = message.section("start")
        _, spoken = encoding(start.section("mediaFormat"), "sampleRate", ENCODINGS)
        stream_sid = start.symbol("streamSid") or message.symbol("streamSid")
        if stream_sid is None:
            # No message can be sent without it.
            raise RefusedStart("streamSid must be a string that is not empty.")
        self._stream_sid = stream_sid
        return Started(spoken, spoken, start.text("callSid"), sent_ref(message, start))

    def _event(self, name: str, document: Document) -> list[Event]:
        match name:
            case "connected":
                return []
            case "mark":
                self._require_start(name)
                return [played(Fields(document).section("mark"))]
            case _:
                return super()._event(name, document)

    def _play(self) -> Document:
        return {"event": "media", "streamSid": self._stream_sid, "media": {"payload": ""}}

    def _flush(self) -> Document:
        return {"event": "clear", "streamSid": self._stream_sid}

    def _fence(self, name: str) -> Document:
        return {"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}}


PROVIDER = Twilio()
