"""A phone is announced once it can be spoken to: what is said from then on is heard whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, SAMPLE_RATE, Encoding
from service.errors import RemoteError
from service.media.audio import g711
from tests.support.callers import ROOM, Caller, agent, plivo, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, Party

Phone = Callable[..., Caller]

Way = Callable[[Hall, Phone], tuple[Party, Party]]

OTHER = "zzzz-zzzz-zzzz"

FADE = 40
"""Samples in which the first audio after silence comes up to its level."""


@pytest.fixture
def hall(clock: FakeClock) -> Hall:
    return Hall(clock)


@pytest.fixture(params=[twilio, plivo, telnyx])
def phone(request: pytest.FixtureRequest) -> Phone:
    made: Phone = request.param
    return made


def words(seconds: float = 0.5) -> NDArray[np.int16]:
    """A sweep: no two frames of it are alike."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.cos(2 * np.pi * (300 + 1200 * time) * time)).astype(np.int16)


def announced(party: Party) -> list[str]:
    """Who has joined, as the party was told since it was asked last."""
    joined = [news for news in party.ear.news() if news["event"] == "participant-joined"]
    return [news["participant"]["id"] for news in joined]


def require_heard(ears: list[Party], said: NDArray[np.int16], waited: int = 0) -> None:
    """A phone has heard every sample that was said, after so many frames of silence."""
    heard = np.concatenate([ear.listened() for ear in ears])
    start = waited * FRAME_SAMPLES
    line = g711.encode(said, Encoding.MULAW)
    expected = g711.decode(line, Encoding.MULAW)
    assert not heard[:start].any()
    assert heard[start + FADE :][: len(said) - FADE].tolist() == expected[FADE:].tolist()
    assert heard[start + 1 : start + FADE].any()


def the_phone_was_there(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    tom = hall.join(phone("tom"))
    hall.tick(5)
    return hall.join(agent("ann")), tom


def the_agent_was_there(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    ann, tom = hall.join(agent("ann")), hall.adopt(phone("tom"))
    hall.tick(5)
    assert announced(ann) == []
    return ann, tom.start()


def the_phone_came_back(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    hall.tick(5)
    tom.leave()
    again = hall.adopt(phone("tom", leg="leg-2"))
    hall.tick(5)
    assert ann.events()[-1] == "participant-left"
    return ann, again.start()


def the_phone_was_moved(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom", room=OTHER))
    hall.tick(5)
    hall.exchange.move(tom.leg, ROOM, tom.leg.spec.participant)
    return ann, tom


def the_phone_was_moved_before_it_started(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    ann, tom = hall.join(agent("ann")), hall.adopt(phone("tom", room=OTHER))
    hall.exchange.move(tom.leg, ROOM, tom.leg.spec.participant)
    hall.tick(5)
    assert announced(ann) == []
    return ann, tom.start()


def the_agent_was_moved(hall: Hall, phone: Phone) -> tuple[Party, Party]:
    ann, tom = hall.join(agent("ann", room=OTHER)), hall.join(phone("tom"))
    hall.tick(5)
    hall.exchange.move(ann.leg, ROOM, ann.leg.spec.participant)
    return ann, tom


WAYS = [
    the_phone_was_there,
    the_agent_was_there,
    the_phone_came_back,
    the_phone_was_moved,
    the_phone_was_moved_before_it_started,
    the_agent_was_moved,
]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_sent_at_once_is_heard_from_the_next_frame_on(
    hall: Hall, phone: Phone, way: Way
) -> None:
    ann, tom = way(hall, phone)
    assert announced(ann) == ["tom"]
    tom.ear.heard.clear()
    said = words()
    ann.say(ann.caller.media(said.astype("<i2").tobytes()))
    hall.tick(len(said) // FRAME_SAMPLES)
    require_heard([tom], said)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_sent_in_real_time_waits_for_the_second_frame_and_is_whole(
    hall: Hall, phone: Phone, way: Way
) -> None:
    ann, tom = way(hall, phone)
    assert announced(ann) == ["tom"]
    tom.ear.heard.clear()
    said = words()
    for frame in said.reshape(-1, FRAME_SAMPLES):
        ann.speak(frame)
        hall.tick()
    hall.tick()
    require_heard([tom], said, waited=1)


def test_a_phone_that_changes_its_socket_in_mid_sentence_misses_nothing(
    hall: Hall, phone: Phone
) -> None:
    ann, tom = hall.join(agent("ann")), hall.join(phone("tom"))
    assert announced(ann) == ["tom"]
    said = words()
    ann.say(ann.caller.media(said.astype("<i2").tobytes()))
    hall.tick(10)
    again = hall.adopt(phone("tom", leg="leg-2"))
    hall.tick(5)
    again.start()
    assert announced(ann) == []
    hall.tick(len(said) // FRAME_SAMPLES - 15)
    require_heard([tom, again], said)


def test_a_phone_whose_start_is_refused_is_never_announced(hall: Hall) -> None:
    ann, eve = hall.join(agent("ann")), hall.adopt(twilio("eve", call_id="another"))
    with pytest.raises(RemoteError):
        eve.start()
    hall.tick(5)
    assert announced(ann) == []
