"""Dials, placed calls and status callbacks of the simulator."""

import pytest

from service.errors import Invalid, RemoteError
from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.providers import markup
from service.simulator.providers.registry import DIALECTS
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support import counterpart
from tests.support.clocks import FakeClock

PROVIDERS = ("twilio", "plivo", "telnyx")
PLUS = {"twilio": "+", "plivo": "", "telnyx": "+"}
CALL_ID = {"twilio": "CallSid", "plivo": "CallUUID", "telnyx": "CallSid"}
WAIT = 10.0


@pytest.fixture
def server():
    with counterpart.running() as running:
        yield running


@pytest.fixture
def other():
    with counterpart.running("<Response><Hangup/></Response>") as running:
        yield running


def dial(provider, action, **attributes):
    extra = "".join(f' {name}="{value}"' for name, value in attributes.items())
    number = f"{PLUS[provider]}442071838750"
    return f'<Dial action="{action}" method="POST"{extra}><Number>{number}</Number></Dial>'


def stream(provider, status_url):
    if provider == "plivo":
        return (
            '<Stream bidirectional="true" keepCallAlive="true" '
            f'contentType="audio/x-mulaw;rate=8000" statusCallbackUrl="{status_url}">'
            "{media}/plivo/REF</Stream>"
        )
    extra = 'bidirectionalMode="rtp" enableReconnect="false"' if provider == "telnyx" else ""
    return (
        f'<Connect><Stream url="{{media}}/{provider}/REF" statusCallback="{status_url}" {extra}/>'
        "</Connect>"
    )


def phone(server, provider, **options):
    options = {"sample": sound.tone(440, 0.2), "tail": 0.1} | options
    return Phone(Scenario(webhook_url=server.url(provider), **options)).start()


@pytest.mark.parametrize("outcome", ["completed", "busy", "no-answer", "failed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_dial_fetches_markup_from_its_action(server, other, provider, outcome):
    server.answers[:] = [f"<Response>{dial(provider, other.url(provider))}</Response>"]
    call = phone(server, provider, dialled=outcome, dial_seconds=0)
    call.join(WAIT)
    assert call.report.ended is Ending.SERVER_HUNG_UP
    [asked] = other.requests
    assert asked[CALL_ID[provider]] == call.call_id
    assert asked["CallStatus"] == "in-progress"
    field = "DialStatus" if provider == "plivo" else "DialCallStatus"
    assert asked[field] == outcome
    names = [event.name for event in call.events]
    assert names.index("dial") < names.index("dialled")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_hangup_during_a_dial_is_reported_to_the_action(server, other, provider):
    server.answers[:] = [f"<Response>{dial(provider, other.url(provider))}</Response>"]
    call = phone(server, provider, dial_seconds=3600)
    call.wait_for("dial")
    call.hang_up()
    call.join(WAIT)
    assert other.requests[0]["CallStatus"] == "completed"
    assert call.report.ended is Ending.CALLER_HUNG_UP


@pytest.mark.parametrize(
    ("provider", "inner", "sentence"),
    [
        ("twilio", "<Dial>+442071838750</Dial>", "only dials one <Number>"),
        ("twilio", "<Dial><Number>442071838750</Number></Dial>", "cannot dial"),
        ("plivo", "<Dial><Number>+442071838750</Number></Dial>", "cannot dial"),
        ("twilio", dial("twilio", "/relative"), "needs an absolute action"),
        ("twilio", dial("twilio", "https://h/", callerId="Ann"), "cannot dial"),
        ("twilio", dial("twilio", "https://h/", timeout="4"), "timeout that is not from 5"),
        ("telnyx", dial("telnyx", "https://h/", timeLimit="59"), "timeLimit that is not from 60"),
        ("plivo", dial("plivo", "https://h/", timeLimit="1h"), "timeLimit that is not from 1"),
    ],
)
def test_dial_that_the_provider_would_reject_is_an_error(provider, inner, sentence):
    with pytest.raises(RemoteError, match=sentence):
        markup.parse(f"<Response>{inner}</Response>".encode(), DIALECTS[provider].readers)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_stream_reports_start_and_stop_to_its_status_url(server, other, provider):
    server.answers[:] = [f"<Response>{stream(provider, other.url(provider))}</Response>"]
    call = phone(server, provider)
    call.join(WAIT)
    field = "Event" if provider == "plivo" else "StreamEvent"
    said = [request[field].lower().replace("stream", "").strip("-") for request in other.requests]
    assert said == (["start", "stop"] if provider == "plivo" else ["started", "stopped"])
    assert {request[CALL_ID[provider]] for request in other.requests} == {call.call_id}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_stream_reports_failure_to_its_status_url(other, provider):
    markup_text = f"<Response>{stream(provider, other.url(provider))}</Response>"
    with counterpart.running(markup_text, refuse=404) as refusing:
        call = phone(refusing, provider)
        call.join(WAIT)
    [told] = other.requests
    failed = {"twilio": "stream-error", "plivo": "DroppedStream", "telnyx": "stream-failed"}
    assert told["Event" if provider == "plivo" else "StreamEvent"] == failed[provider]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_placed_call_is_answered_and_reports_its_statuses(server, other, provider):
    call = phone(server, provider, is_outbound=True, status_url=other.url(provider))
    call.join(WAIT)
    [asked] = server.requests
    assert asked["CallStatus"] == "in-progress"
    if provider != "telnyx":
        assert asked["Direction"].startswith("outbound")
    told = [request["CallStatus"] for request in other.requests]
    progress = ["initiated", "ringing", "in-progress", "completed"]
    assert told == (["ringing", "completed"] if provider == "plivo" else progress)


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_unanswered_call_fetches_no_markup(server, other, provider, outcome):
    call = phone(
        server, provider, is_outbound=True, status_url=other.url(provider), outcome=outcome
    )
    call.join(WAIT)
    assert call.report.ended is Ending.NOT_ANSWERED
    assert server.requests == []
    assert other.requests[-1]["CallStatus"] == outcome


def test_undeliverable_status_is_a_problem(server):
    server.answers[:] = [f"<Response>{stream('twilio', 'http://127.0.0.1:1/x')}</Response>"]
    call = phone(server, "twilio")
    call.join(WAIT)
    assert "Nothing listens" in call.report.problems[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dialled": "maybe"}, "dialled must be one of completed, busy"),
        ({"outcome": "completed"}, "outcome must be one of answered, busy"),
        ({"dial_seconds": -1}, "dial_seconds must lie"),
    ],
)
def test_invalid_outcome_is_rejected(options, sentence):
    with pytest.raises(Invalid, match=sentence):
        Scenario(webhook_url="http://h/v2/hooks/twilio/whk", **options)


def test_status_callbacks_are_numbered():
    twilio = DIALECTS["twilio"]("+1", "+2", FakeClock())
    assert [twilio.call_status(each)["SequenceNumber"] for each in ("ringing", "busy")] == [
        "0",
        "1",
    ]
