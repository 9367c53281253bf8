"""A speaker takes back what it has said, also from the phones that hear nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.domain.wire import FRAME_SAMPLES
from service.media.jitter.buffer import QUIET
from service.media.rooms.live_rooms import LINGER
from tests.support.callers import Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.halls import PERIOD, Hall, Party, steady

Phone = Callable[..., Caller]

CLEAR = compact({"event": "clear"})

WORDS: dict[Phone, dict[str, Any]] = {
    twilio: {"event": "clear", "streamSid": "MZ-tom"},
    plivo: {"event": "clearAudio", "streamId": "stream-tom"},
    telnyx: {"event": "clear"},
}

LINGERS = round(LINGER / PERIOD)
"""Frames for which a voice still counts as audible."""


@pytest.fixture
def hall(clock: FakeClock) -> Hall:
    return Hall(clock)


@pytest.fixture(params=WORDS)
def phone(request: pytest.FixtureRequest) -> Phone:
    made: Phone = request.param
    return made


def burst(party: Party, frames: int, value: int = 700) -> None:
    for _ in range(frames):
        party.speak(steady(value))


def talk(hall: Hall, *parties: Party, frames: int = 5, value: int = 700) -> None:
    """All of them speak for so many frames."""
    for _ in range(frames):
        for party in parties:
            party.speak(steady(value))
        hall.tick()


def flushes(party: Party) -> list[dict[str, Any]]:
    """What a phone has been told since it was asked last, audio excepted."""
    return party.ear.news()


def test_a_phone_that_hears_nobody_else_is_told_to_drop_what_it_holds(
    hall: Hall, phone: Phone
) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    burst(ann, 100)
    hall.tick(10)
    ann.say(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_the_word_comes_before_anything_else_is_played(hall: Hall, phone: Phone) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    burst(ann, 100)
    hall.tick(2)
    ann.say(CLEAR)
    hall.tick()
    event = WORDS[phone]["event"]
    assert tom.ear.log == ["audio", "audio", "forget", event, "audio"]


def test_what_was_not_mixed_is_gone_after_a_fade_and_its_marks_come_back(
    hall: Hall, phone: Phone
) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    burst(ann, 100)
    ann.say(compact({"event": "mark", "name": "said"}))
    hall.tick(10)
    ann.events()
    ann.say(CLEAR)
    hall.tick(3)
    assert ann.events() == ["mark"]
    *spoken, fade, silence, more = np.abs(tom.listened()).reshape(-1, FRAME_SAMPLES)
    assert all(frame.max() > 600 for frame in spoken)
    assert fade[-40:].max() < 250
    assert not silence.any()
    assert not more.any()


def test_a_callers_own_voice_does_not_keep_what_it_interrupts(hall: Hall, phone: Phone) -> None:
    ann, tom, zoe = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(agent("zoe"))
    talk(hall, ann, tom)
    ann.say(CLEAR)
    assert flushes(tom) == [WORDS[phone]]
    assert "clear" not in zoe.events()


def test_nobody_loses_what_a_third_voice_has_said(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    talk(hall, ann, eve)
    ann.say(CLEAR)
    assert flushes(tom) == []
    assert "forget" not in tom.ear.log
    # She hears the agent alone.
    assert flushes(eve) == [{"event": "clear", "streamSid": "MZ-eve"}]


def test_two_voices_keep_each_others_sound_for_both_of_them(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    talk(hall, ann, eve, tom)
    ann.say(CLEAR)
    assert flushes(tom) == []
    assert flushes(eve) == []


def test_another_agent_is_a_third_voice_too(hall: Hall, phone: Phone) -> None:
    ann, tom, zoe = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(agent("zoe"))
    talk(hall, ann, zoe)
    ann.say(CLEAR)
    assert flushes(tom) == []


def test_a_pause_between_two_syllables_is_no_silence(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    talk(hall, ann, eve)
    talk(hall, ann, frames=LINGERS - 1)
    ann.say(CLEAR)
    assert flushes(tom) == []


def test_whoever_has_stopped_speaking_is_no_third_voice_any_more(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    talk(hall, ann, eve)
    # Her last frame is heard again, fading.
    talk(hall, ann, frames=LINGERS + 2)
    ann.say(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_the_noise_of_a_line_is_no_voice(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    for _ in range(10):
        eve.speak(steady(QUIET // 2))
        talk(hall, ann, frames=1)
    ann.say(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_a_voice_is_still_known_when_somebody_has_come(hall: Hall, phone: Phone) -> None:
    ann, tom, eve = hall.join(agent("ann")), hall.join(phone("tom")), hall.join(twilio("eve"))
    talk(hall, ann, eve)
    hall.join(agent("zoe"))
    ann.say(CLEAR)
    assert flushes(tom) == []
    talk(hall, ann, frames=1)
    ann.say(CLEAR)
    assert flushes(tom) == []


def test_other_rooms_are_left_alone(hall: Hall, phone: Phone) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom", room="zzzz-zzzz-zzzz"))
    talk(hall, ann, tom)
    ann.say(CLEAR)
    assert flushes(tom) == []


def test_where_nothing_has_been_mixed_there_is_nothing_to_drop(hall: Hall, phone: Phone) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    burst(ann, 5)
    ann.say(CLEAR)
    assert flushes(tom) == []


def test_taking_back_again_and_again_says_it_once(hall: Hall, phone: Phone) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    for _ in range(2):
        talk(hall, ann)
        for _ in range(3):
            ann.say(CLEAR)
            hall.tick()
        assert flushes(tom) == [WORDS[phone]]


def test_a_custom_socket_has_no_word_for_it_and_misses_nothing(hall: Hall) -> None:
    ann, zoe = hall.join(agent("ann")), hall.join(agent("zoe"))
    zoe.events()
    talk(hall, ann)
    ann.say(CLEAR)
    assert zoe.events() == []
    assert "forget" not in zoe.ear.log
