"""Valid and invalid scenarios, and the caller's speech."""

import numpy as np
import pytest

from service.errors import Invalid
from service.simulator.audio.codec import FRAME, Codec
from service.simulator.scenario import Scenario
from service.simulator.speech import KEYS_EVERY, KEYS_FROM, Speech

TWILIO = "http://127.0.0.1:8000/v2/hooks/twilio/whk_secret"
PLIVO, TELNYX = TWILIO.replace("twilio", "plivo"), TWILIO.replace("twilio", "telnyx")


def scenario(url=TWILIO, **options):
    return Scenario(webhook_url=url, **options)


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        (TWILIO, {"codec": Codec.ALAW}, "codec must be mulaw on twilio, not alaw"),
        (PLIVO, {"codec": Codec.ALAW}, "codec must be mulaw or l16 on plivo"),
        (TELNYX, {"codec": Codec.L16}, "codec must be mulaw or alaw on telnyx"),
        (PLIVO, {"shuffle": True}, "shuffle is only for telnyx"),
        (TWILIO, {"digits": "12x"}, "digits may only hold"),
        (TWILIO, {"pins": ("12", "12 34")}, "pins may only hold"),
        (TWILIO, {"drop_percent": 101}, "drop_percent must lie"),
        (TWILIO, {"drop_percent": float("nan")}, "drop_percent must lie"),
        (TWILIO, {"jitter_ms": -1}, "jitter_ms must lie"),
        (TWILIO, {"seconds": 0}, "seconds must lie"),
        (TWILIO, {"seconds": float("inf")}, "seconds must lie"),
        ("http://h.example/", {}, "must name its provider"),
    ],
)
def test_invalid_scenario_is_rejected(url, options, sentence):
    with pytest.raises(Invalid, match=sentence):
        scenario(url, **options)


@pytest.mark.parametrize(("url", "codec"), [(PLIVO, Codec.L16), (TELNYX, Codec.ALAW)])
def test_codec_of_the_provider_is_accepted(url, codec):
    assert scenario(url, codec=codec).codec is codec


def test_scenario_does_not_show_its_webhook_key():
    assert "whk_secret" not in repr(scenario())


def ramp(frames):
    return np.arange(round(frames * FRAME)).astype(np.int16)


def test_sample_is_split_into_frames_followed_by_silence():
    speech = Speech(scenario(sample=ramp(1.5)))
    assert speech.frame(0).tolist() == list(range(160))
    assert speech.frame(1).tolist() == [*range(160, 240), *[0] * 80]
    assert speech.frame(2).tolist() == [0] * 160


def test_caller_hangs_up_after_the_sample_and_its_tail():
    assert Speech(scenario(sample=ramp(10), tail=0.1)).frames_planned == 15


def test_caller_hangs_up_after_the_given_seconds():
    assert Speech(scenario(sample=ramp(10), seconds=2.0)).frames_planned == 100


def test_looping_caller_does_not_hang_up():
    speech = Speech(scenario(sample=ramp(2), loop=True))
    assert speech.frames_planned is None
    assert speech.frame(7).tolist() == speech.frame(1).tolist()


def test_caller_with_an_empty_sample_is_silent():
    speech = Speech(scenario(sample=ramp(0), loop=True, seconds=1.0))
    assert speech.frame(3).tolist() == [0] * 160


def test_keys_are_pressed_one_at_a_time():
    speech = Speech(scenario(digits="1#"))
    pressed = [(number, key) for number in range(100) if (key := speech.key(number))]
    assert pressed == [(KEYS_FROM, "1"), (KEYS_FROM + KEYS_EVERY, "#")]


def test_keys_can_be_pressed_later():
    speech = Speech(scenario())
    assert speech.key(500) is None
    speech.press("5")
    assert speech.key(501) == "5"


def test_recording_of_the_caller_is_cut_to_its_length():
    speech = Speech(scenario(sample=ramp(2)))
    assert speech.recording(200).tolist() == list(range(200))
    assert speech.recording(0).size == 0
