"""Twilio's contract, and its markup compared with the official builder."""

from __future__ import annotations

from typing import ClassVar
from xml.etree import ElementTree

import pytest
from twilio.twiml.voice_response import Connect, Gather, VoiceResponse

from service.domain.calls import Refusal
from service.domain.wire import (
    Audio,
    Digit,
    Encoding,
    Fence,
    Flush,
    Ignored,
    Play,
    Played,
    Started,
    Stopped,
    Unknown,
)
from service.errors import RefusedStart
from service.providers.base.provider import Arrival, Notice, Webhook
from service.providers.base.signatures import Secrets
from service.providers.twilio import PROVIDER
from tests.support import signers
from tests.support.provider_contract import ProviderContract
from tests.support.signers import posted
from tests.support.wire_contract import FRAME, compact

CALL = "CA00000000000000000000000000000001"
STREAM = "MZ00000000000000000000000000000001"
ACCOUNT = "AC00000000000000000000000000000001"
VOICE = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "CallSid": CALL,
    "CallStatus": "ringing",
    "CallerName": "",
    "Direction": "inbound",
    "From": "+14155550100",
    "To": "+14155550199",
}
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "accountSid": ACCOUNT,
        "streamSid": STREAM,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"ref": "REF"},
    },
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "4",
    "streamSid": STREAM,
    "media": {"track": "inbound", "chunk": "2", "timestamp": "25", "payload": "//8="},
}


class TestTwilio(ProviderContract):
    provider = PROVIDER
    secrets: ClassVar[Secrets] = {"accountSid": (ACCOUNT,), "authToken": ("12345",)}
    other_secrets: ClassVar[Secrets] = {"accountSid": (ACCOUNT,), "authToken": ("54321",)}
    signed_parts = frozenset(("url", "form"))
    signature_headers = frozenset(("X-Twilio-Signature",))
    good_values = (
        ("accountSid", ACCOUNT),
        ("authToken", "0123456789abcdef" * 2),
        ("authToken", "a-shared-key_secret.of+another/shape="),
    )
    bad_values = (
        ("accountSid", ""),
        ("accountSid", "AC123"),
        ("accountSid", "SK" + "0" * 32),
        ("authToken", ""),
        ("authToken", "two words"),
        ("authToken", "x" * 257),
    )

    def signed_hook(self, url: str, form: tuple[tuple[str, str], ...]) -> Webhook:
        return posted(url, form, signers.twilio("12345", url, form))

    def upgrade(self, url: str) -> Webhook:
        return Webhook(url=url, method="GET", headers=signers.twilio("12345", url))

    arrival = (VOICE, Arrival(CALL, "+14155550100", "+14155550199", False))
    redirected = (
        {**VOICE, "CallStatus": "in-progress"},
        Arrival(CALL, "+14155550100", "+14155550199", True),
    )
    notices = (
        *(
            ({**VOICE, "CallStatus": status}, Notice(CALL, True, status))
            for status in ("completed", "busy", "no-answer", "failed", "canceled")
        ),
        (
            {**VOICE, "CallStatus": "ringing", "CallbackSource": "call-progress-events"},
            Notice(CALL, False, "ringing"),
        ),
        ({"CallSid": CALL, "CallStatus": "completed"}, Notice(CALL, True, "completed")),
    )
    parameters = "start.customParameters"
    media_format, rate = "start.mediaFormat", "sampleRate"
    needed = frozenset(
        ("start.mediaFormat.encoding", "start.mediaFormat.sampleRate", "start.mediaFormat.channels")
    )
    start = START
    started = Started(Encoding.MULAW, Encoding.MULAW, CALL, "REF")
    media = MEDIA
    payload_path = ("media", "payload")
    decoded = (
        ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, []),
        (MEDIA, [Audio(b"\xff\xff")]),
        ({**MEDIA, "media": {**MEDIA["media"], "track": "outbound"}}, [Ignored("track")]),
        (
            {
                "event": "dtmf",
                "streamSid": STREAM,
                "sequenceNumber": "5",
                "dtmf": {"track": "inbound_track", "digit": "1"},
            },
            [Digit("1")],
        ),
        ({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": 0}}, [Digit("0")]),
        ({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "w"}}, [Unknown("dtmf")]),
        (
            {"event": "mark", "sequenceNumber": "6", "streamSid": STREAM, "mark": {"name": "m1"}},
            [Played("m1")],
        ),
        (
            {
                "event": "stop",
                "sequenceNumber": "7",
                "streamSid": STREAM,
                "stop": {"accountSid": ACCOUNT, "callSid": CALL},
            },
            [Stopped()],
        ),
    )
    encoded = (
        (Play(b"\xff\xff"), {"event": "media", "streamSid": STREAM, "media": {"payload": "//8="}}),
        (Fence("m1"), {"event": "mark", "streamSid": STREAM, "mark": {"name": "m1"}}),
        (Flush(), {"event": "clear", "streamSid": STREAM}),
    )
    early = frozenset(("media", "dtmf", "mark"))


@pytest.mark.parametrize("stream_sid", [None, "", [], 1.5])
def test_a_stream_without_an_id_is_refused(stream_sid: object) -> None:
    """Without a stream id no audio can be sent."""
    start = {"callSid": CALL, "streamSid": stream_sid}
    with pytest.raises(RefusedStart, match="streamSid"):
        PROVIDER.wire().receive(compact({"event": "start", "start": start}))


def test_a_stream_needs_no_call_id() -> None:
    message = compact({"event": "start", "start": {"streamSid": STREAM, "callSid": ""}})
    assert PROVIDER.wire().receive(message) == [Started(Encoding.MULAW, Encoding.MULAW)]


def test_the_stream_id_may_be_at_the_top_level_only() -> None:
    wire = PROVIDER.wire()
    wire.receive(compact({"event": "start", "streamSid": STREAM, "start": {"callSid": CALL}}))
    assert wire.send(Flush()) == [compact({"event": "clear", "streamSid": STREAM})]


def test_a_hostile_stream_id_cannot_break_the_envelope() -> None:
    wire = PROVIDER.wire()
    sid = 'MZ""}},{"payload":""'
    wire.receive(compact({"event": "start", "start": {"callSid": CALL, "streamSid": sid}}))
    assert wire.send(Play(FRAME))[0].startswith(wire.envelope()[0])
    assert wire.envelope()[1] == b'"}}'


def test_a_closed_socket_does_not_end_the_call() -> None:
    wire = PROVIDER.wire()
    assert (wire.names_call, wire.close_ends_call, wire.paces_itself) == (True, False, True)


def test_a_plus_sign_that_a_query_turned_into_a_space_is_restored() -> None:
    arrival = PROVIDER.parse(Webhook(tuple({**VOICE, "From": " 14155550100"}.items())))
    assert isinstance(arrival, Arrival)
    assert arrival.caller == "+14155550100"


@pytest.mark.parametrize("again", ["https://voice.example.com/hook?a=1&b=<2>", None])
def test_the_answer_equals_the_official_builder_s(again: str | None) -> None:
    url = 'wss://voice.example.com/twilio/REF?a=1&b="<2>"'
    official = VoiceResponse()
    connect = Connect()
    connect.stream(url=url).parameter(name="ref", value="REF")
    official.append(connect)
    if again is None:
        official.hangup()
    else:
        official.redirect(again, method="POST")
    assert canonical(PROVIDER.answer(url, "REF", again).text) == canonical(str(official))


def test_a_question_equals_the_official_builder_s() -> None:
    action = "https://voice.example.com/gather?try=1&b=<2>"
    official = VoiceResponse()
    gather = Gather(
        input="dtmf", action=action, method="POST", num_digits=6, timeout=10, finish_on_key="#"
    )
    gather.say("Your PIN, please.")
    official.append(gather)
    official.redirect(action, method="POST")
    markup = PROVIDER.ask("Your PIN, please.", 6, action)
    assert canonical(markup.text) == canonical(str(official))


def test_a_dismissal_equals_the_official_builder_s() -> None:
    official = VoiceResponse()
    official.say("Goodbye & thanks.")
    official.hangup()
    assert canonical(PROVIDER.dismiss("Goodbye & thanks.").text) == canonical(str(official))


@pytest.mark.parametrize("reason", list(Refusal))
def test_a_refusal_equals_the_official_builder_s(reason: Refusal) -> None:
    official = VoiceResponse()
    official.reject(reason=reason.value)
    assert canonical(PROVIDER.refuse(reason).text) == canonical(str(official))


def test_hang_up_and_nothing_equal_the_official_builder_s() -> None:
    official = VoiceResponse()
    assert canonical(PROVIDER.nothing().text) == canonical(str(official))
    official.hangup()
    assert canonical(PROVIDER.hang_up().text) == canonical(str(official))


def canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml)
