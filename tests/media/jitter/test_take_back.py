"""A ``clear`` removes a speaker's audio, also from phones that hear no other speaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.domain.wire import FRAME_SAMPLES
from service.media.jitter.buffer import QUIET
from service.media.rooms.room_events import LINGER
from tests.support.callers import Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import PERIOD, LegClient, LiveRoomsHarness, steady

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
def harness(clock: FakeClock) -> LiveRoomsHarness:
    return LiveRoomsHarness(clock)


@pytest.fixture(params=WORDS)
def phone(request: pytest.FixtureRequest) -> Phone:
    made: Phone = request.param
    return made


def burst(client: LegClient, frames: int, value: int = 700) -> None:
    for _ in range(frames):
        client.speak(steady(value))


def talk(harness: LiveRoomsHarness, *clients: LegClient, frames: int = 5, value: int = 700) -> None:
    """Let all of them speak for this number of frames."""
    for _ in range(frames):
        for client in clients:
            client.speak(steady(value))
        harness.tick()


def flushes(client: LegClient) -> list[dict[str, Any]]:
    """Return the messages to a phone since the last call, without audio."""
    return client.transport.new_messages()


def test_a_phone_that_hears_only_the_speaker_is_told_to_drop_its_audio(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    burst(ann, 100)
    harness.tick(10)
    ann.send(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_the_message_precedes_all_later_audio(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    burst(ann, 100)
    harness.tick(2)
    ann.send(CLEAR)
    harness.tick()
    event = WORDS[phone]["event"]
    assert tom.transport.log == ["audio", "audio", "forget", event, "audio"]


def test_unmixed_audio_is_dropped_after_a_fade_and_its_marks_are_reported(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    burst(ann, 100)
    ann.send(compact({"event": "mark", "name": "said"}))
    harness.tick(10)
    ann.events()
    ann.send(CLEAR)
    harness.tick(3)
    assert ann.events() == ["mark"]
    *spoken, fade, silence, more = np.abs(tom.heard_samples()).reshape(-1, FRAME_SAMPLES)
    assert all(frame.max() > 600 for frame in spoken)
    assert fade[-40:].max() < 250
    assert not silence.any()
    assert not more.any()


def test_the_caller_s_own_voice_does_not_keep_the_interrupted_audio(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom, zoe = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(agent("zoe")),
    )
    talk(harness, ann, tom)
    ann.send(CLEAR)
    assert flushes(tom) == [WORDS[phone]]
    assert "clear" not in zoe.events()


def test_audio_of_a_third_speaker_is_kept(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    talk(harness, ann, eve)
    ann.send(CLEAR)
    assert flushes(tom) == []
    assert "forget" not in tom.transport.log
    # She hears the agent alone.
    assert flushes(eve) == [{"event": "clear", "streamSid": "MZ-eve"}]


def test_two_other_speakers_keep_the_audio_for_both_of_them(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    talk(harness, ann, eve, tom)
    ann.send(CLEAR)
    assert flushes(tom) == []
    assert flushes(eve) == []


def test_another_agent_is_a_third_speaker(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom, zoe = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(agent("zoe")),
    )
    talk(harness, ann, zoe)
    ann.send(CLEAR)
    assert flushes(tom) == []


def test_a_pause_between_two_syllables_is_no_silence(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    talk(harness, ann, eve)
    talk(harness, ann, frames=LINGERS - 1)
    ann.send(CLEAR)
    assert flushes(tom) == []


def test_participant_who_has_stopped_speaking_does_not_count_as_audible(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    talk(harness, ann, eve)
    # Her last frame is repeated with a fade.
    talk(harness, ann, frames=LINGERS + 2)
    ann.send(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_line_noise_is_no_voice(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    for _ in range(10):
        eve.speak(steady(QUIET // 2))
        talk(harness, ann, frames=1)
    ann.send(CLEAR)
    assert flushes(tom) == [WORDS[phone]]


def test_a_speaker_is_remembered_when_another_participant_joins(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom, eve = (
        harness.join(agent("ann")),
        harness.join(phone("tom")),
        harness.join(twilio("eve")),
    )
    talk(harness, ann, eve)
    harness.join(agent("zoe"))
    ann.send(CLEAR)
    assert flushes(tom) == []
    talk(harness, ann, frames=1)
    ann.send(CLEAR)
    assert flushes(tom) == []


def test_other_rooms_are_not_affected(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom", room="zzzz-zzzz-zzzz"))
    talk(harness, ann, tom)
    ann.send(CLEAR)
    assert flushes(tom) == []


def test_no_message_is_sent_if_nothing_was_mixed(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    burst(ann, 5)
    ann.send(CLEAR)
    assert flushes(tom) == []


def test_repeated_clears_send_one_message(harness: LiveRoomsHarness, phone: Phone) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    for _ in range(2):
        talk(harness, ann)
        for _ in range(3):
            ann.send(CLEAR)
            harness.tick()
        assert flushes(tom) == [WORDS[phone]]


def test_a_custom_socket_receives_no_message_and_all_audio(harness: LiveRoomsHarness) -> None:
    ann, zoe = harness.join(agent("ann")), harness.join(agent("zoe"))
    zoe.events()
    talk(harness, ann)
    ann.send(CLEAR)
    assert zoe.events() == []
    assert "forget" not in zoe.transport.log
