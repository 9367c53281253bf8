"""The messages of each provider, compared with its documentation."""

import base64
import re

import pytest

from service.clock import iso
from service.errors import Invalid, RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers import dialect as dialects
from service.simulator.providers import registry
from service.simulator.providers.markup import Stream
from service.simulator.providers.registry import DIALECTS
from tests.support.clocks import FakeClock

STREAM = Stream("wss://h.example/x/REF", {"ref": "REF"})
VOICE = bytes(range(160))
PAYLOAD = base64.b64encode(VOICE).decode()
CALLER, CALLEE = "+14155550100", "+14155550199"


def opened(provider, codec=Codec.MULAW):
    """Return a dialect on an open socket, and its opening messages."""
    dialect = DIALECTS[provider](CALLER, CALLEE, FakeClock())
    return dialect, dialect.open(STREAM, codec)


def test_twilio_messages_match_its_documentation():
    twilio, opening = opened("twilio")
    call, stream = twilio.call_id, twilio.stream_id
    account = "AC00000000000000000000000000000001"
    assert re.fullmatch("CA[0-9a-f]{32}", call)
    assert re.fullmatch("MZ[0-9a-f]{32}", stream)
    messages = [*opening, twilio.media(VOICE), twilio.media(VOICE)]
    messages += [twilio.digit("1"), twilio.played("m1"), twilio.stop()]
    assert messages == [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": stream,
            "start": {
                "accountSid": account,
                "streamSid": stream,
                "callSid": call,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"ref": "REF"},
            },
        },
        {
            "event": "media",
            "sequenceNumber": "2",
            "streamSid": stream,
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": PAYLOAD},
        },
        {
            "event": "media",
            "sequenceNumber": "3",
            "streamSid": stream,
            "media": {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": PAYLOAD},
        },
        {
            "event": "dtmf",
            "sequenceNumber": "4",
            "streamSid": stream,
            "dtmf": {"track": "inbound_track", "digit": "1"},
        },
        {"event": "mark", "sequenceNumber": "5", "streamSid": stream, "mark": {"name": "m1"}},
        {
            "event": "stop",
            "sequenceNumber": "6",
            "streamSid": stream,
            "stop": {"accountSid": account, "callSid": call},
        },
    ]
    assert twilio.cleared() is None


@pytest.mark.parametrize(
    ("codec", "kind"), [(Codec.MULAW, "audio/x-mulaw"), (Codec.L16, "audio/x-l16")]
)
def test_plivo_messages_match_its_documentation(codec, kind):
    plivo, opening = opened("plivo", codec)
    stream, now = plivo.stream_id, str(plivo.clock.now())
    messages = [*opening, plivo.media(VOICE), plivo.digit("5"), plivo.played("c"), plivo.cleared()]
    assert messages == [
        {
            "event": "start",
            "sequenceNumber": 1,
            "start": {
                "callId": plivo.call_id,
                "streamId": stream,
                "accountId": "MAXXXXXXXXXXXXXXXXXX",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": kind, "sampleRate": 8000},
            },
            "extra_headers": "{X-PH-ref: REF}",
        },
        {
            "event": "media",
            "sequenceNumber": 2,
            "streamId": stream,
            "media": {"track": "inbound", "timestamp": now, "chunk": 1, "payload": PAYLOAD},
            "extra_headers": "{X-PH-ref: REF}",
        },
        {
            "event": "dtmf",
            "sequenceNumber": 3,
            "streamId": stream,
            "dtmf": {"track": "inbound", "digit": "5", "timestamp": now},
            "extra_headers": "{X-PH-ref: REF}",
        },
        {"event": "playedStream", "sequenceNumber": 4, "streamId": stream, "name": "c"},
        {"event": "clearedAudio", "sequenceNumber": 5, "streamId": stream},
    ]
    assert plivo.stop() is None


@pytest.mark.parametrize(("codec", "encoding"), [(Codec.MULAW, "PCMU"), (Codec.ALAW, "PCMA")])
def test_telnyx_messages_match_its_documentation(codec, encoding):
    telnyx, opening = opened("telnyx", codec)
    stream, user = telnyx.stream_id, "6a9a7976-012e-45d2-9258-6f5dc68d861e"
    assert telnyx.call_id.startswith("v3:")
    messages = [*opening, telnyx.media(VOICE), telnyx.digit("1"), telnyx.played("m1")]
    messages += [telnyx.stop(), telnyx.error_message(dialects.InvalidMedia("Not base64."))]
    assert messages == [
        {"event": "connected", "version": "1.0.0"},
        {
            "event": "start",
            "sequence_number": "1",
            "stream_id": stream,
            "start": {
                "user_id": user,
                "call_control_id": telnyx.call_id,
                "call_session_id": telnyx.session_id,
                "from": CALLER,
                "to": CALLEE,
                "tags": [],
                "custom_parameters": {"ref": "REF"},
                "media_format": {"encoding": encoding, "sample_rate": 8000, "channels": 1},
            },
        },
        {
            "event": "media",
            "sequence_number": "2",
            "stream_id": stream,
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": PAYLOAD},
        },
        {
            "event": "dtmf",
            "sequence_number": "3",
            "stream_id": stream,
            "occurred_at": iso(telnyx.clock.now()),
            "dtmf": {"digit": "1"},
        },
        {"event": "mark", "sequence_number": "4", "stream_id": stream, "mark": {"name": "m1"}},
        {
            "event": "stop",
            "sequence_number": "5",
            "stream_id": stream,
            "stop": {"user_id": user, "call_control_id": telnyx.call_id},
        },
        {
            "event": "error",
            "stream_id": stream,
            "payload": {"code": 100004, "title": "invalid_media", "detail": "Not base64."},
        },
    ]
    malformed = telnyx.error_message(RemoteError("No."))
    assert malformed["payload"]["code"] == 100003


@pytest.mark.parametrize("provider", DIALECTS)
def test_second_socket_restarts_counters_with_a_new_stream_id(provider):
    dialect, first = opened(provider)
    stream, call = dialect.stream_id, dialect.call_id
    dialect.media(VOICE)
    second = dialect.open(STREAM, Codec.MULAW)
    assert dialect.stream_id != stream
    assert dialect.call_id == call
    number = "sequence_number" if provider == "telnyx" else "sequenceNumber"
    assert second[-1][number] == first[-1][number]
    assert str(dialect.media(VOICE)["media"]["chunk"]) == "1"


@pytest.mark.parametrize(
    ("provider", "expected", "again"),
    [
        (
            "twilio",
            {
                "AccountSid": "AC00000000000000000000000000000001",
                "ApiVersion": "2010-04-01",
                "CallStatus": "ringing",
                "Direction": "inbound",
                "From": CALLER,
                "To": CALLEE,
                "FromCountry": "US",
            },
            {"CallStatus": "in-progress"},
        ),
        (
            "plivo",
            {
                "CallStatus": "ringing",
                "Direction": "inbound",
                "Event": "StartApp",
                "From": "14155550100",
                "To": "14155550199",
            },
            {"CallStatus": "in-progress", "Event": "Redirect"},
        ),
        (
            "telnyx",
            {
                "AccountSid": "6a9a7976-012e-45d2-9258-6f5dc68d861e",
                "CallStatus": "in-progress",
                "CallerId": CALLER,
                "CallingPartyType": "pstn",
                "From": CALLER,
                "To": CALLEE,
            },
            {"CallStatus": "in-progress"},
        ),
    ],
)
def test_webhook_has_the_documented_fields(provider, expected, again):
    dialect, _ = opened(provider)
    name = "CallUUID" if provider == "plivo" else "CallSid"
    fields = dialect.webhook()
    assert fields | expected | {name: dialect.call_id} == fields
    assert dialect.redirected() == fields | again


def test_only_plivo_sends_the_end_to_the_webhook():
    plivo, _ = opened("plivo")
    notice = plivo.hung_up()
    assert (notice["Event"], notice["CallStatus"]) == ("Hangup", "completed")
    assert notice["CallUUID"] == plivo.call_id
    assert [opened(name)[0].hung_up() for name in ("twilio", "telnyx")] == [None, None]


@pytest.mark.parametrize(
    ("provider", "message", "said"),
    [
        ("twilio", {"event": "media", "media": {"payload": PAYLOAD}}, dialects.Audio(VOICE)),
        ("twilio", {"event": "mark", "mark": {"name": "m1"}}, dialects.Mark("m1")),
        ("twilio", {"event": "clear"}, dialects.Clear()),
        (
            "plivo",
            {
                "event": "playAudio",
                "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": PAYLOAD},
            },
            dialects.Audio(VOICE),
        ),
        (
            "plivo",
            {
                "event": "playAudio",
                "media": {"contentType": "audio/x-mulaw", "sampleRate": "8000", "payload": PAYLOAD},
            },
            dialects.Audio(VOICE),
        ),
        ("plivo", {"event": "checkpoint", "name": "c"}, dialects.Mark("c")),
        ("plivo", {"event": "clearAudio"}, dialects.Clear()),
        ("plivo", {"event": "sendDTMF", "dtmf": "12#"}, dialects.Digits("12#")),
        ("telnyx", {"event": "media", "media": {"payload": PAYLOAD}}, dialects.Audio(VOICE)),
        ("telnyx", {"event": "mark", "mark": {"name": "m1"}}, dialects.Mark("m1")),
        ("telnyx", {"event": "clear"}, dialects.Clear()),
    ],
)
def test_valid_server_messages_are_parsed(provider, message, said):
    dialect, _ = opened(provider)
    ids = {"twilio": "streamSid", "plivo": "streamId"}
    if provider in ids:
        message = message | {ids[provider]: dialect.stream_id}
    assert dialect.parse(message) == said


@pytest.mark.parametrize(
    ("provider", "message", "sentence"),
    [
        ("twilio", {"event": "clear"}, "another streamSid"),
        ("twilio", {"event": "clear", "streamSid": "MZother"}, "another streamSid"),
        ("twilio", {"event": "playAudio"}, "'playAudio' is unknown to Twilio"),
        ("plivo", {"event": "clear"}, "'clear' is unknown to Plivo"),
        ("plivo", {"event": "clearAudio", "streamId": "other"}, "another streamId"),
        ("plivo", {"event": "checkpoint", "name": "c"}, "another streamId"),
        ("plivo", {"event": "playAudio", "media": {"payload": PAYLOAD}}, "must name contentType"),
        (
            "plivo",
            {
                "event": "playAudio",
                "media": {
                    "contentType": "audio/x-mulaw;rate=8000",
                    "sampleRate": 8000,
                    "payload": PAYLOAD,
                },
            },
            "must name contentType",
        ),
        ("telnyx", {"event": "clearAudio"}, "'clearAudio' is unknown to Telnyx"),
        ("telnyx", {"event": "media"}, "lacks the object 'media'"),
        ("telnyx", {"event": "media", "media": {}}, "lacks the text 'payload'"),
        ("telnyx", {"event": "media", "media": {"payload": 7}}, "lacks the text 'payload'"),
        ("telnyx", {"event": "media", "media": {"payload": "not base64!"}}, "is not base64"),
        ("telnyx", {"event": "media", "media": {"payload": "QUJD"}}, "from 20 ms to 30 s"),
        ("telnyx", {"event": "mark", "name": "m1"}, "lacks the object 'mark'"),
        ("telnyx", {}, "None is unknown to Telnyx"),
    ],
)
def test_invalid_server_messages_are_rejected(provider, message, sentence):
    dialect, _ = opened(provider)
    with pytest.raises(RemoteError, match=sentence):
        dialect.parse(message)


def test_twilio_marks_need_their_object():
    twilio, _ = opened("twilio")
    message = {"event": "mark", "streamSid": twilio.stream_id, "name": "m1"}
    with pytest.raises(RemoteError, match="lacks the object 'mark'"):
        twilio.parse(message)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{}", "binary message"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
    ],
)
def test_message_that_is_not_a_json_object_is_rejected(text, sentence):
    with pytest.raises(RemoteError, match=sentence):
        dialects.load(text)


@pytest.mark.parametrize("provider", DIALECTS)
def test_webhook_url_determines_the_provider(provider):
    assert registry.of(f"https://h.example/v2/hooks/{provider}/whk_x").name == provider


@pytest.mark.parametrize(
    "url",
    ["ftp://h/v2/hooks/twilio/k", "http:///v2/hooks/twilio/k", "http://[/twilio", "twilio", ""],
)
def test_invalid_webhook_url_is_rejected(url):
    with pytest.raises(Invalid, match="The webhook URL"):
        registry.of(url)


def test_unknown_provider_is_rejected_without_quoting_the_key():
    with pytest.raises(Invalid, match="twilio, plivo, telnyx") as refusal:
        registry.of("https://h.example/v2/hooks/vonage/whk_secret")
    assert "whk_secret" not in str(refusal.value)
