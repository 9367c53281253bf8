"""Dial markup and status callbacks, compared with the official builders and documentation."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from plivo import plivoxml
from twilio.twiml.voice_response import Connect, VoiceResponse
from twilio.twiml.voice_response import Dial as TwilioDial

from service.errors import RemoteError
from service.providers import controls, load
from service.providers.base.call_control import Dial, News, Outcome
from service.providers.base.provider import Webhook

ACTION = "https://voice.example.com/v2/hooks/x/whk_K/dial?a=1&b=<2>"
STATUS = "https://voice.example.com/v2/hooks/x/whk_K/status"
DIAL = Dial("+442071838750", "+14155550199", ACTION, ring_seconds=30, max_seconds=600)


def canonical(xml: str) -> str:
    return ElementTree.canonicalize(xml, strip_text=True)


def news(name: str, **fields: str) -> News:
    field = controls()[name].provider.call_id_field
    return controls()[name].news(Webhook((*{field: "c1", **fields}.items(),)))


def test_twilio_dial_markup_equals_the_official_builder_s() -> None:
    official = VoiceResponse()
    dial = TwilioDial(
        action=ACTION, method="POST", caller_id=DIAL.caller, timeout=30, time_limit=600
    )
    dial.number(DIAL.number)
    official.append(dial)
    assert canonical(controls()["twilio"].dial(DIAL).text) == canonical(str(official))


def test_plivo_dial_markup_equals_the_official_builder_s() -> None:
    official = plivoxml.ResponseElement()
    dial = plivoxml.DialElement(
        action=ACTION, method="POST", caller_id="14155550199", timeout=30, time_limit=600
    )
    official.add(dial.add(plivoxml.NumberElement("442071838750")))
    assert canonical(controls()["plivo"].dial(DIAL).text) == canonical(official.to_string())


def test_telnyx_dial_markup_is_within_its_documented_limits() -> None:
    for seconds, limit in ((600, "600"), (1, "60"), (90_000, "14400")):
        dial = Dial(DIAL.number, None, ACTION, 30, seconds)
        [verb] = ElementTree.fromstring(controls()["telnyx"].dial(dial).text)
        assert verb.attrib == {
            "action": ACTION,
            "method": "POST",
            "timeout": "30",
            "timeLimit": limit,
        }
        assert [(child.tag, child.text) for child in verb] == [("Number", DIAL.number)]


def test_streams_contain_the_status_callback_as_in_the_official_builders() -> None:
    twilio = VoiceResponse()
    connect = Connect()
    connect.stream(url="wss://h/twilio/R", status_callback=STATUS).parameter(name="ref", value="R")
    twilio.append(connect)
    twilio.hangup()
    markup = load()["twilio"].answer("wss://h/twilio/R", "R", None, STATUS)
    assert canonical(markup.text) == canonical(str(twilio))

    plivo = plivoxml.ResponseElement()
    plivo.add(
        plivoxml.StreamElement(
            "wss://h/plivo/R",
            bidirectional=True,
            keepCallAlive=True,
            audioTrack="inbound",
            contentType="audio/x-mulaw;rate=8000",
            streamTimeout=86400,
            extraHeaders="ref=R",
            statusCallbackUrl=STATUS,
        )
    )
    plivo.add(plivoxml.HangupElement())
    markup = load()["plivo"].answer("wss://h/plivo/R", "R", None, STATUS)
    assert canonical(markup.text) == canonical(plivo.to_string())

    markup = load()["telnyx"].answer("wss://h/telnyx/R", "R", None, STATUS)
    [stream] = ElementTree.fromstring(markup.text).iter("Stream")
    assert stream.get("statusCallback") == STATUS


@pytest.mark.parametrize(
    ("name", "field", "said", "outcome"),
    [
        ("twilio", "DialCallStatus", "completed", Outcome.COMPLETED),
        ("twilio", "DialCallStatus", "answered", Outcome.COMPLETED),
        ("twilio", "DialCallStatus", "busy", Outcome.BUSY),
        ("twilio", "DialCallStatus", "no-answer", Outcome.NO_ANSWER),
        ("twilio", "DialCallStatus", "canceled", Outcome.CANCELED),
        ("twilio", "DialCallStatus", "failed", Outcome.FAILED),
        ("twilio", "DialCallStatus", "something new", Outcome.FAILED),
        ("plivo", "DialStatus", "completed", Outcome.COMPLETED),
        ("plivo", "DialStatus", "timeout", Outcome.NO_ANSWER),
        ("plivo", "DialStatus", "cancel", Outcome.CANCELED),
        ("telnyx", "DialCallStatus", "completed", Outcome.COMPLETED),
        ("telnyx", "DialCallStatus", "", Outcome.FAILED),
    ],
)
def test_the_end_of_a_dial_is_parsed(name: str, field: str, said: str, outcome: Outcome) -> None:
    assert controls()[name].dialled(Webhook(((field, said),))) is outcome


@pytest.mark.parametrize(
    ("name", "fields", "outcome"),
    [
        ("twilio", {"CallStatus": "completed"}, Outcome.COMPLETED),
        ("twilio", {"CallStatus": "no-answer"}, Outcome.NO_ANSWER),
        ("twilio", {"CallStatus": "in-progress"}, None),
        ("twilio", {"CallStatus": "completed", "StreamEvent": "stream-stopped"}, None),
        ("twilio", {"StreamEvent": "stream-stopped"}, None),
        ("plivo", {"Event": "Hangup", "CallStatus": "completed"}, Outcome.COMPLETED),
        ("plivo", {"Event": "Hangup", "CallStatus": "timeout"}, Outcome.NO_ANSWER),
        ("plivo", {"Event": "Hangup"}, Outcome.COMPLETED),
        ("plivo", {"Event": "Ring", "CallStatus": "ringing"}, None),
        ("plivo", {"Event": "StopStream", "StreamID": "s"}, None),
        ("plivo", {"Event": "stopped", "StreamID": "s", "StatusReason": "completed"}, None),
        ("telnyx", {"CallStatus": "busy"}, Outcome.BUSY),
        ("telnyx", {"CallStatus": "dtmf"}, None),
        ("telnyx", {"StreamEvent": "stream-failed"}, None),
    ],
)
def test_only_the_end_of_the_call_ends_it(
    name: str, fields: dict[str, str], outcome: Outcome | None
) -> None:
    assert news(name, **fields).outcome is outcome


@pytest.mark.parametrize(
    ("name", "fields", "beginning"),
    [
        (
            "twilio",
            {"StreamEvent": "stream-error", "StreamError": "31920: handshake"},
            "Twilio error 31920: the media socket was not upgraded",
        ),
        (
            "twilio",
            {"StreamEvent": "stream-error", "StreamError": "31930"},
            "Twilio error 31930: the media socket was read too slowly",
        ),
        (
            "twilio",
            {"StreamEvent": "stream-error", "StreamError": "something else"},
            "Twilio reports an error: something else",
        ),
        ("twilio", {"StreamEvent": "stream-error"}, "Twilio reports an error."),
        ("twilio", {"ErrorCode": "11205", "CallStatus": "failed"}, "Twilio error 11205: no conn"),
        ("plivo", {"StreamID": "s", "Event": "DroppedStream"}, "Plivo reports an error: Dropped"),
        (
            "plivo",
            {"StreamID": "s", "Event": "failed", "StatusReason": "connection_failed"},
            "Plivo error connection_failed: the media socket could not be opened",
        ),
        ("plivo", {"Event": "Hangup", "HangupCauseCode": "8011"}, "Plivo error 8011: the webhook"),
        ("telnyx", {"StreamEvent": "stream-failed"}, "Telnyx reports an error."),
        (
            "telnyx",
            {"StreamEvent": "stream-failed", "StreamError": "connection_failed"},
            "Telnyx error connection_failed: the media socket",
        ),
        ("telnyx", {"ErrorCode": "100003"}, "Telnyx error 100003: a message on the media socket"),
        ("telnyx", {"ErrorCode": "999", "ErrorMessage": "odd\x00"}, "Telnyx error 999: odd"),
    ],
)
def test_an_error_has_a_description(name: str, fields: dict[str, str], beginning: str) -> None:
    trouble = news(name, **fields).trouble
    assert trouble is not None
    assert trouble.startswith(beginning)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("twilio", {"StreamEvent": "stream-started"}),
        ("twilio", {"CallStatus": "completed"}),
        ("plivo", {"StreamID": "s", "Event": "StopStream"}),
        ("plivo", {"StreamID": "s", "Event": "stopped", "StatusReason": "completed"}),
        ("plivo", {"Event": "Hangup", "HangupCauseCode": "4000"}),
        ("telnyx", {"StreamEvent": "stream-stopped"}),
    ],
)
def test_a_callback_without_an_error_has_no_description(name: str, fields: dict[str, str]) -> None:
    assert news(name, **fields).trouble is None


@pytest.mark.parametrize("name", sorted(controls()))
@pytest.mark.parametrize("call_id", [None, "", "x" * 257, "a\nb"])
def test_a_callback_without_a_call_id_is_refused(name: str, call_id: str | None) -> None:
    field = controls()[name].provider.call_id_field
    with pytest.raises(RemoteError, match=field):
        controls()[name].news(Webhook(() if call_id is None else ((field, call_id),)))


def test_ringing_is_parsed() -> None:
    assert all(news(name, CallStatus="ringing").is_ringing for name in controls())
    assert not news("twilio", CallStatus="in-progress").is_ringing
