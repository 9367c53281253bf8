"""``flask call`` against a small real server on loopback."""

import json
import os
import signal

import pytest
from flask import Flask

from service.cli.call import call
from service.security import access_tokens
from service.settings import Settings
from service.simulator.audio import sound
from tests.support import counterpart
from tests.support.ports import free_port

STREAM = '<Response><Connect><Stream url="{media}/twilio/REF"/></Connect><Hangup/></Response>'


@pytest.fixture
def server():
    with counterpart.running() as running:
        running.answers, running.talks = [STREAM], [counterpart.echo]
        yield running


@pytest.fixture
def run(tmp_path):
    """Run the command for a server at ``port``, and return click's result."""

    def invoke(*arguments, port=9, public_url=None):
        app = Flask("test")
        app.config["SETTINGS"] = Settings(
            api_key="key",
            api_secret="s" * 32,
            port=port,
            public_url=public_url,
            database_url=f"sqlite:///{tmp_path}/patchbay.db",
            data_dir=tmp_path,
        )
        app.cli.add_command(call)
        return app.test_cli_runner().invoke(args=["call", *arguments])

    return invoke


@pytest.fixture
def short(tmp_path):
    """Options for a call of 0.7 seconds with a tone of 440 Hz."""
    path = tmp_path / "tone.wav"
    sound.write(path, sound.tone(440, 0.2))
    return "--play", str(path)


def test_report_goes_to_stdout_and_ladder_to_stderr(server, run, short):
    result = run(server.url("twilio"), *short)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("answered ")
    assert result.stdout.endswith("ended         caller-hung-up\n")
    steps = [line.split()[2] for line in result.stderr.splitlines()]
    assert steps[:5] == ["webhook", "markup", "connecting", "connected", "start"]
    assert steps[-1] == "end"


def test_json_option_prints_the_report_as_json(server, run, short):
    result = run(server.url("twilio"), *short, "--json")
    assert json.loads(result.stdout)["ok"] is True


def test_file_without_sound_is_an_error(run, tmp_path):
    path = tmp_path / "empty.wav"
    sound.write(path, sound.tone(440, 0))
    result = run("http://127.0.0.1:9/v2/hooks/twilio/whk_x", "--play", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: empty.wav holds no sound.\n"


def test_received_audio_is_recorded(server, run, short, tmp_path):
    path = tmp_path / "heard.wav"
    assert run(server.url("twilio"), *short, "--record", str(path)).exit_code == 0
    heard = sound.read(path)
    assert heard.size >= 0.7 * 8000
    assert sound.level(heard) > -30


def test_numbers_keys_and_seconds_reach_the_server(server, run):
    options = ("--from", "+491", "--to", "+492", "--digits", "7", "--seconds", "0.6")
    result = run(server.url("twilio"), *options)
    assert result.exit_code == 0, result.stderr
    assert (server.requests[0]["From"], server.requests[0]["To"]) == ("+491", "+492")
    assert server.of("dtmf")[0]["dtmf"]["digit"] == "7"
    assert len(server.of("media")) == 30


def test_one_pin_is_entered_at_each_prompt(server, run, short):
    question = '<Response><Gather action="{media}" numDigits="4"/></Response>'
    question = question.format(media=server.url("twilio"))
    server.answers = [question, question, STREAM]
    result = run(server.url("twilio"), *short, "--pin", "1111", "--pin", "4321")
    assert result.exit_code == 0, result.stderr
    assert [form.get("Digits") for form in server.requests] == [None, "1111", "4321"]
    assert "4321" not in result.stderr + result.stdout


def test_codec_and_faults_reach_the_call(server, run):
    stream = '<Stream url="{media}/x" bidirectionalMode="rtp" enableReconnect="false"/>'
    server.answers = [f"<Response><Connect>{stream}</Connect></Response>"]
    options = ("--codec", "alaw", "--jitter", "5", "--drop", "100", "--seconds", "0.1")
    result = run(server.url("telnyx"), *options)
    assert server.of("media") == []
    assert server.of("start")[0]["start"]["media_format"]["encoding"] == "PCMA"
    assert result.exit_code == 1


@pytest.fixture
def interruptible():
    """Enable Ctrl-C, which processes started in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_hangs_up_and_still_reports(server, run):
    def interrupt(connection):
        for message in counterpart.incoming(connection):
            if message["event"] == "media":
                voice = message["media"]["payload"]
                connection.send(json.dumps(counterpart.spoken(message, voice)))
                if message["media"]["chunk"] == "10":
                    os.kill(os.getpid(), signal.SIGINT)

    server.talks = [interrupt]
    result = run(server.url("twilio"), "--seconds", "600")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("ended         caller-hung-up\n")
    assert len(server.of("stop")) == 1


def test_newest_connector_is_the_default(server, run, short):
    newest = {"webhookUrl": server.url("twilio")}
    oldest = {"webhookUrl": "http://127.0.0.1:9/v2/hooks/twilio/whk_old"}
    server.connectors = (200, json.dumps({"data": [newest, oldest]}))
    result = run(*short, port=server.port)
    assert result.exit_code == 0, result.stderr
    assert access_tokens.verify(server.tokens[0], "key", "s" * 32).roles == ("crawler",)


def test_connectors_are_fetched_from_the_public_url(server, run):
    result = run(public_url=f"http://127.0.0.1:{server.port}")
    assert len(server.tokens) == 1
    assert (
        result.stderr == "Error: There is no connector yet: create one with POST /v2/connectors.\n"
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, '{"data": []}'), "There is no connector yet"),
        ((401, "{}"), "answered 401 instead of the list of connectors"),
        ((200, "<html>"), "did not answer with a list of connectors"),
        ((200, "[]"), "did not answer with a list of connectors"),
        ((200, '{"data": [{}]}'), "did not answer with a list of connectors"),
    ],
)
def test_missing_connector_is_one_sentence(server, run, answer, sentence):
    server.connectors = answer
    result = run(port=server.port)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_stopped_server_is_one_sentence(run):
    result = run(port=free_port())
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ('<Response><Reject reason="busy"/></Response>', "Error: The call was turned away (busy)."),
        ((404, "text/plain", ""), "404; is the webhook key right?"),
        ("<Response><Hangup>", "Error: The markup is not well-formed XML"),
    ],
)
def test_call_without_audio_exits_with_1_and_the_reason(server, run, answer, sentence):
    server.answers = [answer]
    result = run(server.url("twilio"))
    assert result.exit_code == 1
    assert sentence in result.stderr.splitlines()[-1]
    assert server.key not in result.output


def test_url_without_a_provider_is_one_sentence(run):
    result = run("https://h.example/v2/hooks/vonage/whk_x")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: The webhook URL must name its provider in the path: twilio, plivo, telnyx.\n"
    )


def test_unreadable_sound_file_is_one_sentence(server, run, tmp_path):
    result = run(server.url("twilio"), "--play", str(tmp_path / "none.wav"))
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("+1 (415) 555-0106\u202c", "+14155550106"),
        ("4155550106", "4155550106"),
        ("sip:ann@example.com", "sip:ann@example.com"),
        ("anonymous", "anonymous"),
        ("+266696687", "+266696687"),
    ],
)
def test_numbers_are_sent_in_e164_and_other_callers_unchanged(server, run, written, sent):
    server.answers = ["<Response><Reject/></Response>"]
    run(server.url("twilio"), "--from", written, "--to", written)
    form = server.requests[0]
    assert (form["From"], form["To"]) == (sent, sent)


def test_invalid_character_in_a_number_is_named(run):
    result = run("http://127.0.0.1:9/v2/hooks/twilio/whk_x", "--to", "+14155550106\u0301")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: --to has U+0301 COMBINING ACUTE ACCENT at its end.\n",
    )
