"""Plivo's contract, its spellings of extra headers, and its markup compared with its builder."""

from __future__ import annotations

from base64 import b64encode
from typing import ClassVar
from xml.etree import ElementTree

import pytest
from plivo import plivoxml

from service.domain.calls import Refusal
from service.domain.wire import (
    Audio,
    Complaint,
    Digit,
    Encoding,
    Fence,
    Flush,
    Flushed,
    Ignored,
    Play,
    Played,
    Started,
    Stopped,
)
from service.errors import RemoteError
from service.providers.base.provider import Arrival, Notice, Webhook
from service.providers.base.signatures import Secrets
from service.providers.plivo import PROVIDER
from tests.support import signers
from tests.support.provider_contract import ProviderContract
from tests.support.signers import posted
from tests.support.wire_contract import compact

CALL = "11111111-2222-3333-4444-555555555555"
STREAM = "87654321-4321-4321-4321-cba987654321"
VOICE = {
    "BillRate": "0.002",
    "CallStatus": "ringing",
    "CallUUID": CALL,
    "Direction": "inbound",
    "Event": "StartApp",
    "From": "14155550100",
    "To": "14155550199",
}
HANG_UP = {
    **VOICE,
    "Event": "Hangup",
    "CallStatus": "completed",
    "HangupCause": "NORMAL_CLEARING",
    "HangupSource": "Caller",
    "Duration": "12",
}
START = {
    "event": "start",
    "sequenceNumber": 1,
    "start": {
        "callId": CALL,
        "streamId": STREAM,
        "accountId": "MAXXXXXXXXXXXXXXXXXX",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
    },
    "extra_headers": "{X-PH-ref: REF}",
}
MEDIA = {
    "event": "media",
    "sequenceNumber": 42,
    "streamId": STREAM,
    "media": {"track": "inbound", "timestamp": "1705312200000", "chunk": 41, "payload": "//8="},
    "extra_headers": "{X-PH-ref: REF}",
}


class TestPlivo(ProviderContract):
    provider = PROVIDER
    secrets: ClassVar[Secrets] = {"authToken": ("MDFkYWIwNGQ4OTQ3ZGVjNGQ4",)}
    other_secrets: ClassVar[Secrets] = {"authToken": ("NGQ4ZGVjOTQ3YjA0ZGFkYjAx",)}
    signed_parts = frozenset(("url", "form"))
    signature_headers = frozenset(("X-Plivo-Signature-V3", "X-Plivo-Signature-V3-Nonce"))
    good_values = (
        ("authId", "MAXXXXXXXXXXXXXXXXXX"),
        ("authId", "SA0123456789ABCDEFGH"),
        ("authToken", "MDFkYWIwNGQ4OTQ3ZGVjNGQ4"),
    )
    bad_values = (
        ("authId", ""),
        ("authId", "AC" + "0" * 32),
        ("authId", "MAXXX"),
        ("authToken", ""),
        ("authToken", "tab\t"),
    )

    def signed_hook(self, url: str, form: tuple[tuple[str, str], ...]) -> Webhook:
        [token] = self.secrets["authToken"]
        return posted(url, form, signers.plivo_v3(token, "POST", url, form))

    def upgrade(self, url: str) -> Webhook:
        [token] = self.secrets["authToken"]
        dialled = "http" + url.removeprefix("wss")
        return Webhook(url=url, method="GET", headers=signers.plivo_v3(token, "GET", dialled))

    arrival = (VOICE, Arrival(CALL, "+14155550100", "+14155550199", False))
    redirected = (
        {**VOICE, "Event": "Redirect", "CallStatus": "in-progress"},
        Arrival(CALL, "+14155550100", "+14155550199", True),
    )
    notices = (
        (HANG_UP, Notice(CALL, True, "NORMAL_CLEARING")),
        ({"Event": "Hangup", "CallUUID": CALL}, Notice(CALL, True, None)),
        ({**VOICE, "Event": "Hangup", "CallStatus": "in-progress"}, Notice(CALL, True, None)),
        *(
            ({**VOICE, "CallStatus": status}, Notice(CALL, True, None))
            for status in ("completed", "busy", "no-answer", "failed", "timeout", "cancel")
        ),
    )
    parameters, ids = "extra_headers", "start"
    media_format, rate = "start.mediaFormat", "sampleRate"
    start = START
    started = Started(Encoding.MULAW, Encoding.MULAW, CALL, "REF")
    media = MEDIA
    payload_path = ("media", "payload")
    decoded = (
        (MEDIA, [Audio(b"\xff\xff")]),
        ({**MEDIA, "extra_headers": '{"ref":"REF"}'}, [Audio(b"\xff\xff")]),
        ({**MEDIA, "extra_headers": "{X-PH-ref: REF}"}, [Audio(b"\xff\xff")]),
        ({**MEDIA, "media": {**MEDIA["media"], "track": "outbound"}}, [Ignored("track")]),
        (
            {
                "event": "dtmf",
                "sequenceNumber": 50,
                "streamId": STREAM,
                "dtmf": {"track": "inbound", "digit": "5", "timestamp": "1705312250000"},
                "extra_headers": "ref=REF",
            },
            [Digit("5")],
        ),
        ({"event": "dtmf", "dtmf": {"digit": "#"}}, [Digit("#")]),
        (
            {"event": "playedStream", "sequenceNumber": 75, "streamId": STREAM, "name": "cp1"},
            [Played("cp1")],
        ),
        ({"event": "played", "streamId": STREAM, "name": "cp1"}, [Played("cp1")]),
        ({"event": "clearedAudio", "sequenceNumber": 80, "streamId": STREAM}, [Flushed()]),
        ({"event": "error", "reason": "buffer_overflow"}, [Complaint("error", "buffer_overflow")]),
        ({"event": "playFailed"}, [Complaint("playFailed", "")]),
        ({"event": "stop", "streamId": STREAM}, [Stopped()]),
    )
    encoded = (
        (
            Play(b"\xff\xff"),
            {
                "event": "playAudio",
                "streamId": STREAM,
                "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": "//8="},
            },
        ),
        (Fence("cp1"), {"event": "checkpoint", "streamId": STREAM, "name": "cp1"}),
        (Flush(), {"event": "clearAudio", "streamId": STREAM}),
    )
    early = frozenset(("media", "dtmf", "playedStream", "played", "clearedAudio"))


def with_format(encoding: object, rate: object) -> bytes:
    media_format = {"encoding": encoding, "sampleRate": rate}
    return compact({**START, "start": {**START["start"], "mediaFormat": media_format}})


def test_linear_audio_goes_both_ways_if_the_stream_declares_it() -> None:
    wire = PROVIDER.wire()
    [started] = wire.receive(with_format("audio/x-l16", 8000))
    assert started == Started(Encoding.LINEAR, Encoding.LINEAR, CALL, "REF")
    assert b'"contentType":"audio/x-l16","sampleRate":8000' in wire.send(Play(b"\x01\x00"))[0]
    assert wire.receive(sound(b"\x01\x00")) == [Audio(b"\x01\x00")]
    assert wire.audio(sound(b"\x02\x00")) == Audio(b"\x02\x00")


def test_half_a_sample_is_refused() -> None:
    wire = PROVIDER.wire()
    wire.receive(with_format("audio/x-l16", 8000))
    assert wire.audio(sound(b"\x01\x00\x02")) is None
    with pytest.raises(RemoteError, match="whole samples"):
        wire.receive(sound(b"\x01\x00\x02"))


def test_the_content_type_is_echoed_without_its_rate() -> None:
    wire = PROVIDER.wire()
    wire.receive(with_format("audio/x-mulaw;rate=8000", 8000))
    assert b'"contentType":"audio/x-mulaw",' in wire.envelope()[0]


def test_audio_is_sent_to_a_stream_without_an_id() -> None:
    wire = PROVIDER.wire()
    start = {key: value for key, value in START["start"].items() if key != "streamId"}
    wire.receive(compact({**START, "start": start}))
    assert b"streamId" not in wire.send(Play(b"\xff"))[0]
    assert wire.send(Flush()) == [compact({"event": "clearAudio"})]


def test_a_closed_socket_ends_the_call() -> None:
    wire = PROVIDER.wire()
    assert (wire.names_call, wire.close_ends_call, wire.paces_itself) == (True, True, True)


@pytest.mark.parametrize("again", ["https://voice.example.com/hook?a=1&b=<2>", None])
def test_the_answer_equals_the_official_builder_s(again: str | None) -> None:
    url = 'wss://voice.example.com/plivo/REF?a=1&b="<2>"'
    official = plivoxml.ResponseElement()
    official.add(
        plivoxml.StreamElement(
            url,
            bidirectional=True,
            keepCallAlive=True,
            audioTrack="inbound",
            contentType="audio/x-mulaw;rate=8000",
            streamTimeout=86400,
            extraHeaders="ref=REF",
        )
    )
    if again is None:
        official.add(plivoxml.HangupElement())
    else:
        official.add(plivoxml.RedirectElement(again, method="POST"))
    assert canonical(PROVIDER.answer(url, "REF", again).text) == canonical(official.to_string())


def test_a_question_equals_the_official_builder_s() -> None:
    action = "https://voice.example.com/gather?try=1&b=<2>"
    official = plivoxml.ResponseElement()
    gather = plivoxml.GetDigitsElement(
        action=action,
        method="POST",
        num_digits=6,
        timeout=10,
        digit_timeout=10,
        finish_on_key="#",
        retries=1,
        redirect=True,
        log=False,
    )
    official.add(gather.add_speak("Your PIN, please."))
    official.add(plivoxml.RedirectElement(action, method="POST"))
    markup = PROVIDER.ask("Your PIN, please.", 6, action)
    assert canonical(markup.text) == canonical(official.to_string())


def test_a_dismissal_equals_the_official_builder_s() -> None:
    official = plivoxml.ResponseElement()
    official.add(plivoxml.SpeakElement("Goodbye & thanks."))
    official.add(plivoxml.HangupElement())
    markup = PROVIDER.dismiss("Goodbye & thanks.")
    assert canonical(markup.text) == canonical(official.to_string())


@pytest.mark.parametrize("reason", list(Refusal))
def test_a_refusal_equals_the_official_builder_s(reason: Refusal) -> None:
    official = plivoxml.ResponseElement()
    official.add(plivoxml.HangupElement(reason=reason.value))
    assert canonical(PROVIDER.refuse(reason).text) == canonical(official.to_string())


def sound(payload: bytes) -> bytes:
    return compact({"event": "media", "media": {"payload": b64encode(payload).decode()}})


def canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml, strip_text=True)
