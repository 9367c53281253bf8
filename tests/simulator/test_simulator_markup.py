"""Markup as each provider parses it."""

import pytest

from service.errors import RemoteError
from service.simulator.audio.codec import Codec
from service.simulator.providers import markup
from service.simulator.providers.registry import DIALECTS

TWILIO_STREAM = (
    '<Connect><Stream url="wss://h.example/twilio/REF?ref=REF#x" name="n">'
    '<Parameter name="ref" value="REF"/></Stream></Connect>'
)
PLIVO_STREAM = (
    '<Stream bidirectional="true" keepCallAlive="true" contentType="{kind}" '
    'extraHeaders="ref=REF,b=2;c=3"> wss://h.example/plivo/REF?a=1&amp;b=2 </Stream>'
)
TELNYX_STREAM = (
    '<Connect><Stream url="wss://h.example/telnyx/REF?a=1" codec="{codec}" '
    'bidirectionalMode="rtp" enableReconnect="false" bidirectionalCodec="{answer}">'
    '<Parameter name="ref" value="REF"/></Stream></Connect>'
)
REF = {"ref": "REF"}


def parse(provider, inner):
    return markup.parse(f"<Response>{inner}</Response>".encode(), DIALECTS[provider].readers)


@pytest.mark.parametrize(
    ("provider", "inner", "verb"),
    [
        # Twilio drops query strings from stream URLs; the others keep them.
        ("twilio", TWILIO_STREAM, markup.Stream("wss://h.example/twilio/REF", REF)),
        (
            "plivo",
            PLIVO_STREAM.format(kind="audio/x-mulaw;rate=8000"),
            markup.Stream("wss://h.example/plivo/REF?a=1&b=2", {"ref": "REF", "b": "2", "c": "3"}),
        ),
        (
            "plivo",
            PLIVO_STREAM.format(kind="audio/x-l16;rate=8000"),
            markup.Stream(
                "wss://h.example/plivo/REF?a=1&b=2",
                {"ref": "REF", "b": "2", "c": "3"},
                inbound=Codec.L16,
                outbound=Codec.L16,
            ),
        ),
        (
            "telnyx",
            TELNYX_STREAM.format(codec="PCMU", answer="PCMU"),
            markup.Stream("wss://h.example/telnyx/REF?a=1", REF),
        ),
        (
            "telnyx",
            TELNYX_STREAM.format(codec="PCMA", answer="PCMU"),
            markup.Stream("wss://h.example/telnyx/REF?a=1", REF, inbound=Codec.ALAW),
        ),
        (
            "telnyx",
            TELNYX_STREAM.format(codec="default", answer="PCMA"),
            markup.Stream("wss://h.example/telnyx/REF?a=1", REF, outbound=Codec.ALAW),
        ),
        ("twilio", "<Hangup/>", markup.Hangup()),
        ("twilio", "<Reject/>", markup.Reject("rejected")),
        ("telnyx", '<Reject reason="busy"/>', markup.Reject("busy")),
        ("plivo", "<Hangup/>", markup.Hangup()),
        ("plivo", '<Hangup reason="busy"/>', markup.Reject("busy")),
        ("plivo", '<Hangup reason="rejected"/>', markup.Reject("rejected")),
        ("twilio", "<Say> Sorry &amp; goodbye. </Say>", markup.Say("Sorry & goodbye.")),
        ("plivo", "<Speak>Sorry.</Speak>", markup.Say("Sorry.")),
        ("telnyx", "<Pause/>", markup.Pause(1.0)),
        ("twilio", '<Pause length="3"/>', markup.Pause(3.0)),
        ("plivo", '<Wait length="2"/>', markup.Pause(2.0)),
        ("twilio", "<Play>https://h.example/a.wav</Play>", markup.Play("https://h.example/a.wav")),
        ("twilio", "<Redirect>/next</Redirect>", markup.Redirect("/next")),
        ("plivo", '<Redirect method="GET">/next</Redirect>', markup.Redirect("/next", "GET")),
        # Names are case-sensitive, and verbs of other providers are unknown.
        ("twilio", "<hangup/>", markup.Unknown("hangup")),
        ("twilio", "<Speak>no</Speak>", markup.Unknown("Speak")),
        ("twilio", "<Connect><Conversation/></Connect>", markup.Unknown("Connect")),
        ("plivo", "<Reject/>", markup.Unknown("Reject")),
        ("telnyx", "<Connect/>", markup.Unknown("Connect")),
    ],
)
def test_verb_is_parsed_as_its_provider_does(provider, inner, verb):
    assert parse(provider, inner) == (verb,)


def test_verbs_keep_their_order():
    verbs = parse("twilio", TWILIO_STREAM + "<Say>Back.</Say><Redirect>/a</Redirect>")
    assert [type(verb) for verb in verbs] == [markup.Stream, markup.Say, markup.Redirect]


@pytest.mark.parametrize(
    ("provider", "inner", "sentence"),
    [
        ("twilio", TWILIO_STREAM.replace("wss:", "ws:"), "ws://h.example is not on this machine"),
        ("twilio", TWILIO_STREAM.replace("wss:", "https:"), "must be absolute and begin with wss"),
        ("twilio", '<Connect><Stream url="/twilio/REF"/></Connect>', "must be absolute"),
        ("twilio", '<Connect><Stream url="wss://[::"/></Connect>', "must be absolute"),
        ("twilio", TWILIO_STREAM.replace('value="REF"', ""), "<Parameter> with a name and a value"),
        ("twilio", TWILIO_STREAM.replace("name=", 'track="both_tracks" name=', 1), "inbound_track"),
        ("plivo", PLIVO_STREAM.format(kind=""), "needs the contentType"),
        ("plivo", PLIVO_STREAM.format(kind="audio/x-mulaw"), "needs the contentType"),
        ("plivo", PLIVO_STREAM.format(kind="audio/x-l16;rate=16000"), "needs the contentType"),
        ("plivo", PLIVO_STREAM.replace("bidirectional", "b"), "the caller hears nothing"),
        ("plivo", PLIVO_STREAM.replace("keepCallAlive", "k"), "does not wait"),
        ("plivo", PLIVO_STREAM.replace("<Stream", '<Stream audioTrack="both"'), "audioTrack"),
        (
            "plivo",
            PLIVO_STREAM.format(kind="audio/x-mulaw;rate=8000").replace("ref=REF", "ref=R_F"),
            "letters and digits",
        ),
        (
            "plivo",
            PLIVO_STREAM.format(kind="audio/x-mulaw;rate=8000").replace("REF,", "R" * 512 + ","),
            "longer than 512 bytes",
        ),
        ("telnyx", TELNYX_STREAM.replace("rtp", "mp3"), "expects MP3"),
        ("telnyx", TELNYX_STREAM.replace("enableReconnect", "e"), "redials a closed socket"),
        ("telnyx", TELNYX_STREAM.format(codec="G722", answer="PCMU"), "PCMU and PCMA"),
        ("telnyx", TELNYX_STREAM.format(codec="PCMU", answer="OPUS"), "PCMU and PCMA"),
        ("telnyx", TELNYX_STREAM.replace(" codec", ' track="both_tracks" codec'), "inbound_track"),
        (
            "telnyx",
            TELNYX_STREAM.replace(" codec", ' bidirectionalSamplingRate="16000" codec'),
            "bidirectionalSamplingRate 8000",
        ),
        ("twilio", '<Reject reason="tired"/>', "'tired', not rejected or busy"),
        ("plivo", '<Hangup reason="tired"/>', "'tired', not rejected or busy"),
        ("twilio", '<Pause length="1.5"/>', "'1.5', not whole seconds"),
        ("twilio", '<Pause length="99999999"/>', "not whole seconds"),
        ("twilio", "<Redirect/>", "names no URL"),
        ("twilio", '<Redirect method="post">/a</Redirect>', "'post', not GET or POST"),
        ("twilio", "<Hangup>", "not well-formed XML"),
        ("twilio", "<Say>&nbsp;</Say>", "not well-formed XML"),
        ("twilio", "<Say>" + "a" * markup.MAX_BYTES + "</Say>", "longer than 100000 bytes"),
    ],
)
def test_markup_that_a_provider_would_reject_is_an_error(provider, inner, sentence):
    with pytest.raises(RemoteError, match=sentence):
        parse(provider, inner)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not well-formed XML"),
        (b'{"message": "hello"}', "not well-formed XML"),
        (b"<response/>", "root must be <Response>, not <response>"),
        (b'<!DOCTYPE r [<!ENTITY a "b">]><Response><Say>&a;</Say></Response>', "document type"),
    ],
)
def test_body_that_is_not_markup_is_rejected(body, sentence):
    with pytest.raises(RemoteError, match=sentence):
        markup.parse(body, DIALECTS["twilio"].readers)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_an_unencrypted_stream_is_allowed_on_this_machine(host):
    assert markup.stream_url(f"ws://{host}/twilio/REF") == f"ws://{host}/twilio/REF"


def test_stream_does_not_show_the_secret_in_its_url():
    stream = markup.Stream("wss://h.example:8443/twilio/REF", {"ref": "REF"})
    assert stream.origin == "wss://h.example:8443"
    assert "REF" not in repr(stream)


SAID = "<Say>PIN?</Say><Pause/><Play>https://h.example/pin.mp3</Play>"
PROMPT = (markup.Say("PIN?"), markup.Pause(1.0), markup.Play("https://h.example/pin.mp3"))
ACTION = "https://h.example/pin"


@pytest.mark.parametrize(
    ("provider", "inner", "verb"),
    [
        (
            "twilio",
            f'<Gather action="/pin" method="GET" numDigits="4" timeout="8">{SAID}</Gather>',
            markup.Gather("/pin", "GET", 4, "#", 8, PROMPT),
        ),
        (
            "twilio",
            '<Gather action="/pin" actionOnEmptyResult="true" finishOnKey="*"/>',
            markup.Gather("/pin", "POST", 99, "*", 5, (), answers_silence=True),
        ),
        (
            "telnyx",
            f'<Gather action="{ACTION}" numDigits="4" input="dtmf">{SAID}</Gather>',
            markup.Gather(ACTION, "POST", 4, "#", 5, PROMPT),
        ),
        (
            "plivo",
            f'<GetDigits action="{ACTION}" retries="2" timeout="6"><Speak>PIN?</Speak></GetDigits>',
            markup.Gather(ACTION, "POST", 99, "#", 12, (markup.Say("PIN?"),) * 2),
        ),
    ],
)
def test_gather_is_parsed_as_its_provider_does(provider, inner, verb):
    assert parse(provider, inner) == (verb,)


@pytest.mark.parametrize(
    ("provider", "inner", "complaint"),
    [
        ("twilio", "<Gather/>", "without an action"),
        ("twilio", '<Gather action="/a" method="PUT"/>', "not GET or POST"),
        ("twilio", '<Gather action="/a" input="speech"/>', "needs the input dtmf"),
        ("twilio", '<Gather action="/a" numDigits="0"/>', "not a number from 1"),
        ("twilio", '<Gather action="/a" timeout="soon"/>', "not a number from 1"),
        ("twilio", '<Gather action="/a"><Dial>1</Dial></Gather>', "may not hold <Dial>"),
        ("twilio", '<Gather action="/a"><Hangup/></Gather>', "may not hold <Hangup>"),
        ("telnyx", '<Gather action="/a" method="POST"/>', "has no method"),
        ("telnyx", '<Gather action="/a" input="dtmf speech"/>', "needs the input dtmf"),
        ("plivo", '<GetDigits action="/a"/>', "absolute action"),
        ("plivo", "<GetDigits/>", "absolute action"),
        ("plivo", f'<GetDigits action="{ACTION}" redirect="false"/>', "does not read"),
        ("plivo", f'<GetDigits action="{ACTION}" retries="none"/>', "not a number from 1"),
        ("plivo", f'<GetDigits action="{ACTION}"><Say>PIN?</Say></GetDigits>', "may not hold"),
    ],
)
def test_gather_that_a_provider_would_reject_is_an_error(provider, inner, complaint):
    with pytest.raises(RemoteError, match=complaint):
        parse(provider, inner)


@pytest.mark.parametrize(
    ("keys", "collected"),
    [("1234", "1234"), ("12345", "1234"), ("12", "12"), ("12#34", "12"), ("#", ""), ("", "")],
)
def test_keys_are_collected_up_to_the_maximum_or_the_finishing_key(keys, collected):
    assert markup.Gather(ACTION, "POST", 4, "#", 5, ()).collect(keys) == collected
