"""Whole calls against a small real server on loopback."""

import base64
import json
import threading

import numpy as np
import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import FRAME, RATE, Codec
from service.simulator.audio.playback import PLAYOUT
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support import counterpart
from tests.support.counterpart import echo, incoming, keep, spoken
from tests.support.ports import free_port

STREAMS = {
    "twilio": (
        '<Connect><Stream url="{media}/twilio/REF?ref=REF">'
        '<Parameter name="ref" value="REF"/></Stream></Connect>'
    ),
    "plivo": (
        '<Stream bidirectional="true" keepCallAlive="true" extraHeaders="ref=REF" '
        'contentType="audio/x-mulaw;rate=8000">{media}/plivo/REF</Stream>'
    ),
    "telnyx": (
        '<Connect><Stream url="{media}/telnyx/REF" codec="PCMU" bidirectionalMode="rtp" '
        'enableReconnect="false"><Parameter name="ref" value="REF"/></Stream></Connect>'
    ),
}
PROVIDERS = tuple(STREAMS)
WAIT = 10.0


@pytest.fixture
def server():
    with counterpart.running() as running:
        yield running


def response(*verbs):
    return "<Response>" + "".join(verbs) + "</Response>"


def streaming(provider, *after):
    return response(STREAMS[provider], *(after or ("<Hangup/>",)))


def call(server, provider="twilio", **options):
    options = {"sample": sound.tone(440, 0.4), "tail": 0.2} | options
    return Phone(Scenario(webhook_url=server.url(provider), **options)).start()


def finish(phone):
    phone.join(WAIT)
    return phone.report


def loudest(samples):
    """Return the strongest frequency of ``samples`` in hertz."""
    window = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return int(window.argmax()) * RATE / samples.size


def payloads(messages):
    return [message["media"]["payload"] for message in messages if message["event"] == "media"]


def names(phone):
    return [event.name for event in phone.events]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_caller_hears_the_servers_audio(server, provider):
    server.answers, server.talks = [streaming(provider)], [echo]
    phone = call(server, provider)
    report = finish(phone)
    assert report.trouble is None
    assert report.ended is Ending.CALLER_HUNG_UP
    assert report.frames_sent == 30
    # The last frames may still be in transit when the caller hangs up.
    assert 20 <= report.frames_heard <= 30
    assert report.level_dbfs is not None
    assert loudest(phone.heard) == pytest.approx(440, abs=10)
    assert phone.heard.size == phone.sent.size == phone.streamed >= 30 * FRAME
    assert loudest(phone.sent) == pytest.approx(440, abs=10)
    steps = ["webhook", "markup", "connecting", "connected", "start", "first-audio", "closed"]
    assert [name for name in names(phone) if name != "notice"] == [*steps, "end"]
    assert report.answered_ms <= report.connected_ms <= report.first_audio_ms
    assert report.rtt_min_ms is not None
    assert report.problems == ()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_stream_has_the_call_id_of_the_webhook(server, provider):
    server.answers = [streaming(provider)]
    phone = call(server, provider)
    finish(phone)
    messages = server.messages()
    start = next(message for message in messages if message["event"] == "start")
    ids = {"twilio": "callSid", "plivo": "callId", "telnyx": "call_control_id"}
    form = server.requests[0]
    assert start["start"][ids[provider]] == phone.call_id
    assert phone.call_id in (form.get("CallSid"), form.get("CallUUID"))
    chunks = [int(message["media"]["chunk"]) for message in messages if message["event"] == "media"]
    assert chunks == list(range(1, 31))
    assert messages[-1]["event"] == ("media" if provider == "plivo" else "stop")
    assert server.paths == [f"/{provider}/REF"]


@pytest.mark.parametrize(
    ("provider", "codec", "named"),
    [
        ("telnyx", Codec.ALAW, ("media_format", "PCMA")),
        ("plivo", Codec.L16, ("mediaFormat", "audio/x-l16")),
    ],
)
def test_other_codec_is_announced_and_sent(server, provider, codec, named):
    server.answers = [streaming(provider)]
    phone = call(server, provider, codec=codec)
    assert finish(phone).problems == ()
    messages = server.messages()
    start = next(message for message in messages if message["event"] == "start")["start"]
    assert start[named[0]]["encoding"] == named[1]
    size = len(codec.pack(phone.sent[:FRAME]))
    assert {len(payload) for payload in payloads(messages)} == {-(-size // 3) * 4}
    heard = np.concatenate([codec.unpack(base64.b64decode(each)) for each in payloads(messages)])
    assert loudest(heard) == pytest.approx(440, abs=10)


def test_plivo_uses_one_codec_in_both_directions(server):
    server.answers, server.talks = [streaming("plivo")], [echo]
    phone = call(server, "plivo", codec=Codec.L16)
    assert finish(phone).trouble is None
    sent, heard = phone.sent[: 20 * FRAME], phone.heard[np.flatnonzero(phone.heard)[0] :]
    assert sound.level(heard[: 20 * FRAME]) == pytest.approx(sound.level(sent), abs=0.5)


def test_keys_are_pressed_during_the_call(server):
    server.answers = [streaming("twilio")]
    phone = call(server, loop=True, digits="1#")
    phone.wait_for("digit", count=2)
    phone.press("5")
    phone.wait_for("digit", count=3)
    phone.hang_up()
    assert finish(phone).digits_sent == "1#5"
    assert [message["dtmf"]["digit"] for message in server.of("dtmf")] == ["1", "#", "5"]


def test_mark_returns_after_the_audio_before_it(server):
    def talk(connection):
        for message in incoming(connection):
            if message["event"] == "start":
                voice = Codec.MULAW.pack(sound.tone(700, 0.2))
                connection.send(json.dumps(spoken(message, base64.b64encode(voice).decode())))
                mark = {"event": "mark", "mark": {"name": "said"}}
                connection.send(json.dumps(mark | {"streamSid": message["streamSid"]}))

    server.answers, server.talks = [streaming("twilio")], [talk]
    phone = call(server, loop=True)
    phone.wait_for("mark")
    assert phone.streamed >= PLAYOUT + 0.2 * RATE
    phone.hang_up()
    report = finish(phone)
    (mark,) = server.of("mark")
    assert mark["mark"] == {"name": "said"}
    assert report.marks_returned == 1
    assert loudest(phone.heard) == pytest.approx(700, abs=10)


@pytest.mark.parametrize(
    ("provider", "events"),
    [("twilio", ["mark"]), ("plivo", ["clearedAudio"]), ("telnyx", ["mark"])],
)
def test_clear_stops_the_audio_and_sends_the_providers_reply(server, provider, events):
    cleared = threading.Event()

    def talk(connection):
        ids = {}
        for message in incoming(connection):
            if message["event"] == "start":
                voice = Codec.MULAW.pack(sound.tone(700, 5.0))
                connection.send(json.dumps(spoken(message, base64.b64encode(voice).decode())))
                ids = {
                    "twilio": {"streamSid": message.get("streamSid")},
                    "plivo": {"streamId": message["start"].get("streamId")},
                    "telnyx": {},
                }[provider]
                mark = {"event": "mark", "mark": {"name": "m"}}
                if provider == "plivo":
                    mark = {"event": "checkpoint", "name": "m"}
                connection.send(json.dumps(mark | ids))
            elif message["event"] == "media" and int(message["media"]["chunk"]) == 10:
                name = "clearAudio" if provider == "plivo" else "clear"
                connection.send(json.dumps({"event": name} | ids))
            elif message["event"] in ("mark", "clearedAudio", "playedStream"):
                cleared.set()

    server.answers, server.talks = [streaming(provider)], [talk]
    phone = call(server, provider, loop=True)
    assert cleared.wait(WAIT)
    phone.hang_up()
    report = finish(phone)
    told = [m["event"] for m in server.messages() if m["event"] not in ("media", "stop")]
    assert [name for name in told if name not in ("connected", "start")] == events
    assert report.clears == 1
    heard = np.flatnonzero(phone.heard)
    assert 0 < heard.size < RATE


def test_next_verb_runs_after_the_server_closes_the_socket(server):
    def once(connection):
        for message in incoming(connection):
            if message["event"] == "media" and message["media"]["chunk"] == "5":
                return

    server.answers = [streaming("twilio", "<Redirect>?again=1</Redirect>"), response("<Hangup/>")]
    server.talks = [once]
    phone = call(server, loop=True)
    report = finish(phone)
    assert report.ended is Ending.SERVER_HUNG_UP
    assert report.redirects == 1
    assert [form["CallStatus"] for form in server.requests] == ["ringing", "in-progress"]
    assert server.requests[1]["CallSid"] == server.requests[0]["CallSid"]
    assert server.of("stop") == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_call_continues_after_its_socket_is_cut(server, provider):
    server.answers = [streaming(provider, f"<Redirect>{server.url(provider)}</Redirect>")]
    server.talks = [echo]
    phone = call(server, provider, loop=True)
    phone.wait_for("first-audio")
    phone.drop()
    phone.wait_for("start", count=2)
    position = phone.streamed
    phone.hang_up()
    report = finish(phone)
    assert report.ended is Ending.CALLER_HUNG_UP
    assert report.redirects == 1
    assert "cut" in names(phone)
    assert server.of("stop", turn=0) == []
    assert server.legs[0].close_code == 1006
    assert len(server.of("start", turn=1)) == 1
    # The caller's timeline continues across both sockets.
    assert phone.heard.size >= position > 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_redirect_of_the_rest_api_ends_the_stream_and_fetches_markup(server, provider):
    server.answers = [streaming(provider), streaming(provider)]
    server.talks = [echo, echo]
    phone = call(server, provider, loop=True)
    phone.wait_for("first-audio")
    phone.redirect(server.url(provider))
    phone.wait_for("start", count=2)
    phone.hang_up()
    report = finish(phone)
    assert report.ended is Ending.CALLER_HUNG_UP
    assert server.legs[0].close_code == 1000
    assert names(phone).index("closed") < names(phone).index("redirected")
    assert len(server.of("start", turn=1)) == 1


def test_redirect_during_a_pause_replaces_the_rest_of_the_markup(server):
    server.answers = [
        response('<Pause length="1"/>', "<Redirect>http://127.0.0.1:9/</Redirect>"),
        streaming("twilio"),
    ]
    phone = call(server)
    phone.wait_for("markup")
    phone.redirect(server.url("twilio"))
    report = finish(phone)
    assert (report.ended, report.redirects) == (Ending.CALLER_HUNG_UP, 0)


def test_plivo_sends_the_end_to_the_answer_url(server):
    server.answers = [streaming("plivo"), (200, "text/plain", "")]
    report = finish(call(server, "plivo"))
    assert [form["Event"] for form in server.requests] == ["StartApp", "Hangup"]
    assert report.problems == ()


def test_endless_redirects_fail_the_call(server):
    server.answers = [response("<Redirect>/v2/hooks/twilio/again</Redirect>")]
    report = finish(call(server, max_redirects=3))
    assert report.ended is Ending.FAILED
    assert report.failure == "The markup redirected more than 3 times."
    assert len(server.requests) == 4


def test_redirect_is_retried_until_the_server_is_back(server):
    port = free_port()
    server.answers = [response(f"<Redirect>http://127.0.0.1:{port}/v2/hooks/twilio/k</Redirect>")]
    phone = call(server, retry_seconds=WAIT)
    phone.wait_for("redirect")
    with counterpart.running(response("<Say>Welcome back.</Say>"), port=port):
        assert finish(phone).said == ("Welcome back.",)


def test_caller_can_hang_up_during_the_retries(server):
    port = free_port()
    server.answers = [response(f"<Redirect>http://127.0.0.1:{port}/v2/hooks/twilio/k</Redirect>")]
    phone = call(server, retry_seconds=600)
    phone.wait_for("redirect")
    phone.hang_up()
    assert finish(phone).ended is Ending.CALLER_HUNG_UP


def test_redirect_to_a_closed_port_fails_the_call(server):
    port = free_port()
    server.answers = [response(f"<Redirect>http://127.0.0.1:{port}/v2/hooks/twilio/k</Redirect>")]
    assert "connection refused" in finish(call(server)).failure


def test_redirect_may_use_get(server):
    server.answers = [response('<Redirect method="GET">/next?a=1</Redirect>'), response()]
    finish(call(server))
    assert server.methods == ["POST", "GET"]
    assert server.requests[1]["a"] == "1"
    assert server.requests[1]["CallStatus"] == "in-progress"


@pytest.mark.parametrize("ending", [Ending.BUSY, Ending.REJECTED])
def test_rejection_is_reported(server, ending):
    server.answers = [response(f'<Reject reason="{ending}"/>')]
    report = finish(call(server))
    assert report.ended is ending
    assert report.trouble == f"The call was turned away ({ending})."
    assert server.legs == []


def test_spoken_text_is_in_the_report(server):
    server.answers = [response("<Say>We are full.</Say>", '<Pause length="0"/>', "<Hangup/>")]
    report = finish(call(server))
    assert report.said == ("We are full.",)
    assert report.ended is Ending.SERVER_HUNG_UP
    assert report.trouble == "The call ended before a media socket was opened."


def test_caller_can_hang_up_during_a_pause(server):
    server.answers = [response("<Say>Wait.</Say>", '<Pause length="600"/>')]
    phone = call(server)
    phone.wait_for("say")
    phone.hang_up()
    assert finish(phone).ended is Ending.CALLER_HUNG_UP


def test_end_of_the_markup_ends_the_call(server):
    server.answers = [response()]
    assert finish(call(server)).ended is Ending.SERVER_HUNG_UP


def test_twilio_skips_and_reports_an_unknown_verb(server):
    server.answers = [response("<Speak>no</Speak>", "<Say>yes</Say>")]
    report = finish(call(server))
    assert report.problems == ("twilio does not know <Speak> here.",)
    assert report.said == ("yes",)


def test_plivo_ends_the_call_at_an_unknown_element(server):
    server.answers = [response("<Reject/>", "<Speak>no</Speak>")]
    report = finish(call(server, "plivo"))
    assert report.failure == "plivo does not know <Reject> here."
    assert report.said == ()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("<Response><Hangup>", "The markup is not well-formed XML"),
        ((200, "application/json", "{}"), "content type application/json, not text/xml"),
        ((404, "text/plain", "no"), "answered the webhook with 404; is the webhook key right?"),
        ((503, "text/plain", "no"), "answered the webhook with 503."),
    ],
)
def test_invalid_response_fails_the_call_without_showing_the_key(server, answer, sentence):
    server.answers = [answer]
    phone = call(server)
    report = finish(phone)
    assert report.ended is Ending.FAILED
    assert sentence in report.failure
    assert server.key not in report.json() + report.text() + str(phone.events)


def test_webhook_at_a_closed_port_fails_the_call():
    url = f"http://127.0.0.1:{free_port()}/v2/hooks/twilio/whk_secret"
    report = finish(Phone(Scenario(webhook_url=url)).start())
    assert "connection refused" in report.failure
    assert "whk_secret" not in report.failure


def test_failing_webhook_does_not_show_the_password_in_its_url():
    url = f"http://user:secret@127.0.0.1:{free_port()}/v2/hooks/twilio/whk_x"
    report = finish(Phone(Scenario(webhook_url=url)).start())
    assert report.ended is Ending.FAILED
    assert "secret" not in report.failure


def test_proxy_is_not_used_for_this_machine(server, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.answers, server.talks = [streaming("twilio")], [echo]
    assert finish(call(server)).trouble is None


def test_webhook_timeout_fails_the_call():
    # A listening socket without accept takes the request and never answers.
    with counterpart.silent_port() as port:
        url = f"http://127.0.0.1:{port}/v2/hooks/twilio/whk_secret"
        report = finish(Phone(Scenario(webhook_url=url, webhook_timeout=0.05)).start())
    assert "did not answer within 0.05 seconds" in report.failure


@pytest.mark.parametrize(("provider", "attempts"), [("twilio", 1), ("plivo", 3), ("telnyx", 1)])
def test_markup_continues_after_a_refused_media_socket(provider, attempts):
    with counterpart.running(refuse=410) as server:
        say = "<Speak>Sorry.</Speak>" if provider == "plivo" else "<Say>Sorry.</Say>"
        server.answers = [streaming(provider, say)]
        report = finish(call(server, provider))
    assert report.problems == ("The media socket was refused with 410.",)
    assert report.said == ("Sorry.",)
    assert server.paths == [f"/{provider}/REF"] * attempts


def test_unreachable_media_socket_is_reported_without_its_secret(server):
    server.media = f"ws://127.0.0.1:{free_port()}"
    server.answers = [streaming("twilio")]
    report = finish(call(server))
    assert "could not be opened (Connection refused)" in report.problems[0]
    assert "REF" not in report.json()


def test_media_url_without_websocket_is_reported(server):
    server.media = f"ws://127.0.0.1:{server.port}"
    server.answers = [streaming("twilio")]
    assert "does not speak WebSocket" in finish(call(server)).trouble


@pytest.mark.parametrize("provider", PROVIDERS)
def test_message_that_the_provider_would_reject_is_a_problem(server, provider):
    def babble(connection):
        for message in incoming(connection):
            if message["event"] == "start":
                connection.send("{}")
                connection.send(b"\x00")
                connection.send("[")

    server.answers, server.talks = [streaming(provider)], [babble]
    report = finish(call(server, provider))
    assert len(report.problems) == 3
    assert report.trouble == report.problems[0]
    complaints = server.of("error")
    assert len(complaints) == (3 if provider == "telnyx" else 0)


def test_server_without_audio_is_reported(server):
    server.answers, server.talks = [streaming("twilio")], [keep]
    phone = call(server)
    report = finish(phone)
    assert report.trouble == "The call was connected, but no audio came back."
    assert report.level_dbfs is None
    assert phone.heard.max() == 0


def test_pause_in_the_servers_audio_is_a_gap(server):
    def stutter(connection):
        start = {}
        for message in incoming(connection):
            if message["event"] == "start":
                start = message
            elif message["event"] == "media" and not 5 <= int(message["media"]["chunk"]) < 15:
                connection.send(json.dumps(spoken(start, message["media"]["payload"])))

    server.answers, server.talks = [streaming("twilio")], [stutter]
    report = finish(call(server))
    assert report.gaps >= 1
    assert report.longest_gap_ms > 40
    assert report.frames_missing >= 5


def test_dropped_frames_leave_gaps_in_the_chunk_numbers(server):
    server.answers = [streaming("twilio")]
    report = finish(call(server, drop_percent=50, seed=3))
    chunks = [int(message["media"]["chunk"]) for message in server.of("media")]
    assert chunks == sorted(chunks)
    assert len(chunks) == report.frames_sent
    assert 5 <= len(chunks) <= 25


def test_shuffled_frames_overtake_each_other(server):
    server.answers = [streaming("telnyx")]
    finish(call(server, "telnyx", shuffle=True, seed=3))
    chunks = [int(message["media"]["chunk"]) for message in server.of("media")]
    assert chunks != sorted(chunks)
    assert sorted(chunks) == list(range(1, 31))


def test_jitter_keeps_every_frame_in_order(server):
    server.answers, server.talks = [streaming("twilio")], [echo]
    report = finish(call(server, jitter_ms=200, seed=3))
    assert report.gaps >= 1
    chunks = [int(message["media"]["chunk"]) for message in server.of("media")]
    assert chunks == list(range(1, 31))


def test_timeout_of_a_wait_lists_the_events(server):
    phone = call(server)
    finish(phone)
    with pytest.raises(TimeoutError, match="No digit within 0 seconds; there was: webhook, markup"):
        phone.wait_for("digit", timeout=0)


def test_wait_for_the_end_of_a_call_times_out(server):
    server.answers = [streaming("twilio")]
    phone = call(server, loop=True)
    phone.wait_for("start")
    with pytest.raises(TimeoutError, match="The call is not over"):
        phone.join(0)
    phone.hang_up()
    finish(phone)


QUESTIONS = {
    "twilio": '<Gather action="{url}?try=1" method="POST" numDigits="4"><Say>PIN?</Say></Gather>',
    "plivo": '<GetDigits action="{url}?try=1" numDigits="4"><Speak>PIN?</Speak></GetDigits>',
    "telnyx": '<Gather action="{url}?try=1" numDigits="4"><Say>PIN?</Say></Gather>',
}


def asking(server, provider, *after):
    return response(QUESTIONS[provider].format(url=server.url(provider)), *after)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_keys_go_to_the_action_and_its_markup_is_followed(server, provider):
    server.answers = [asking(server, provider), asking(server, provider), response("<Hangup/>")]
    phone = call(server, provider, pins=("11#", "43210"))
    report = finish(phone)
    assert [form.get("Digits") for form in server.requests[:3]] == [None, "11", "4321"]
    field = "CallUUID" if provider == "plivo" else "CallSid"
    assert {form[field] for form in server.requests} == {phone.call_id}
    assert (report.questions, report.redirects, report.failure) == (2, 0, None)
    assert report.said == ("PIN?", "PIN?")
    assert report.ended is Ending.SERVER_HUNG_UP
    assert [event.detail for event in phone.events if event.name == "gather"] == [
        "2 keys",
        "4 keys",
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_markup_continues_without_keys_and_without_waiting(server, provider):
    server.answers = [
        asking(server, provider, f"<Redirect>{server.url(provider)}</Redirect>"),
        response("<Hangup/>"),
    ]
    phone = call(server, provider)
    report = finish(phone)
    assert "Digits" not in server.requests[1]
    assert (report.questions, report.redirects) == (1, 1)
    assert [event.detail for event in phone.events if event.name == "gather"] == [
        "no key within 5 s"
    ]


def test_silence_is_sent_if_the_markup_requests_it(server):
    question = f'<Gather action="{server.url("twilio")}" actionOnEmptyResult="true"/>'
    server.answers = [response(question, "<Reject/>"), response("<Hangup/>")]
    report = finish(call(server))
    assert server.requests[1]["Digits"] == ""
    assert report.ended is Ending.SERVER_HUNG_UP


def test_endless_prompts_fail_the_call(server):
    server.answers = [asking(server, "twilio")]
    report = finish(call(server, pins=("1",), max_redirects=3))
    assert report.failure == "The markup redirected more than 3 times."
    assert report.questions == 4
