"""A phone is announced when it can receive audio: everything sent from then on is heard."""

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
from tests.support.live_rooms_harness import LegClient, LiveRoomsHarness

Phone = Callable[..., Caller]

Way = Callable[[LiveRoomsHarness, Phone], tuple[LegClient, LegClient]]

OTHER = "zzzz-zzzz-zzzz"

FADE = 40
"""Samples of the fade-in after silence."""


@pytest.fixture
def harness(clock: FakeClock) -> LiveRoomsHarness:
    return LiveRoomsHarness(clock)


@pytest.fixture(params=[twilio, plivo, telnyx])
def phone(request: pytest.FixtureRequest) -> Phone:
    made: Phone = request.param
    return made


def words(seconds: float = 0.5) -> NDArray[np.int16]:
    """Return a sweep, in which no two frames are equal."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.cos(2 * np.pi * (300 + 1200 * time) * time)).astype(np.int16)


def announced(client: LegClient) -> list[str]:
    """Return the participants that were announced to the client since the last call."""
    joined = [
        news for news in client.transport.new_messages() if news["event"] == "participant-joined"
    ]
    return [news["participant"]["id"] for news in joined]


def require_heard(listeners: list[LegClient], sent: NDArray[np.int16], waited: int = 0) -> None:
    """Assert that a phone heard every sample after this number of silent frames."""
    heard = np.concatenate([listener.heard_samples() for listener in listeners])
    start = waited * FRAME_SAMPLES
    line = g711.encode(sent, Encoding.MULAW)
    expected = g711.decode(line, Encoding.MULAW)
    assert not heard[:start].any()
    assert heard[start + FADE :][: len(sent) - FADE].tolist() == expected[FADE:].tolist()
    assert heard[start + 1 : start + FADE].any()


def the_phone_was_there(harness: LiveRoomsHarness, phone: Phone) -> tuple[LegClient, LegClient]:
    tom = harness.join(phone("tom"))
    harness.tick(5)
    return harness.join(agent("ann")), tom


def the_agent_was_there(harness: LiveRoomsHarness, phone: Phone) -> tuple[LegClient, LegClient]:
    ann, tom = harness.join(agent("ann")), harness.open(phone("tom"))
    harness.tick(5)
    assert announced(ann) == []
    return ann, tom.start()


def the_phone_came_back(harness: LiveRoomsHarness, phone: Phone) -> tuple[LegClient, LegClient]:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    harness.tick(5)
    tom.leave()
    again = harness.open(phone("tom", leg="leg-2"))
    harness.tick(5)
    assert ann.events()[-1] == "participant-left"
    return ann, again.start()


def the_phone_was_moved(harness: LiveRoomsHarness, phone: Phone) -> tuple[LegClient, LegClient]:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom", room=OTHER))
    harness.tick(5)
    harness.live_rooms.move(tom.leg, ROOM, tom.leg.spec.participant)
    return ann, tom


def the_phone_was_moved_before_it_started(
    harness: LiveRoomsHarness, phone: Phone
) -> tuple[LegClient, LegClient]:
    ann, tom = harness.join(agent("ann")), harness.open(phone("tom", room=OTHER))
    harness.live_rooms.move(tom.leg, ROOM, tom.leg.spec.participant)
    harness.tick(5)
    assert announced(ann) == []
    return ann, tom.start()


def the_agent_was_moved(harness: LiveRoomsHarness, phone: Phone) -> tuple[LegClient, LegClient]:
    ann, tom = harness.join(agent("ann", room=OTHER)), harness.join(phone("tom"))
    harness.tick(5)
    harness.live_rooms.move(ann.leg, ROOM, ann.leg.spec.participant)
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
def test_audio_sent_at_once_is_heard_from_the_next_frame_on(
    harness: LiveRoomsHarness, phone: Phone, way: Way
) -> None:
    ann, tom = way(harness, phone)
    assert announced(ann) == ["tom"]
    tom.transport.payloads.clear()
    sent = words()
    ann.send(ann.caller.media(sent.astype("<i2").tobytes()))
    harness.tick(len(sent) // FRAME_SAMPLES)
    require_heard([tom], sent)


@pytest.mark.parametrize("way", WAYS)
def test_audio_sent_in_real_time_waits_for_its_second_frame_and_is_complete(
    harness: LiveRoomsHarness, phone: Phone, way: Way
) -> None:
    ann, tom = way(harness, phone)
    assert announced(ann) == ["tom"]
    tom.transport.payloads.clear()
    sent = words()
    for frame in sent.reshape(-1, FRAME_SAMPLES):
        ann.speak(frame)
        harness.tick()
    harness.tick()
    require_heard([tom], sent, waited=1)


def test_a_phone_that_changes_its_socket_in_mid_sentence_loses_nothing(
    harness: LiveRoomsHarness, phone: Phone
) -> None:
    ann, tom = harness.join(agent("ann")), harness.join(phone("tom"))
    assert announced(ann) == ["tom"]
    sent = words()
    ann.send(ann.caller.media(sent.astype("<i2").tobytes()))
    harness.tick(10)
    again = harness.open(phone("tom", leg="leg-2"))
    harness.tick(5)
    again.start()
    assert announced(ann) == []
    harness.tick(len(sent) // FRAME_SAMPLES - 15)
    require_heard([tom, again], sent)


def test_a_phone_whose_start_is_refused_is_never_announced(harness: LiveRoomsHarness) -> None:
    ann, eve = harness.join(agent("ann")), harness.open(twilio("eve", call_id="another"))
    with pytest.raises(RemoteError):
        eve.start()
    harness.tick(5)
    assert announced(ann) == []
