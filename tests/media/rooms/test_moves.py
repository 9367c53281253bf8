"""Legs that move to another room on the same socket."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.domain.calls import Participant
from service.domain.wire import FRAME_SAMPLES
from service.media.rooms.reports import LegMoved, LegStarted
from tests.support.callers import ROOM, agent, compact, twilio
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LegClient, LiveRoomsHarness, steady

OTHER = "zzzz-zzzz-zzzz"


@pytest.fixture
def harness(clock: FakeClock) -> LiveRoomsHarness:
    return LiveRoomsHarness(clock)


def events(client: LegClient) -> list[tuple[str, str]]:
    """Return the events since the last call, each with its participant or room."""
    return [
        (message["event"], message.get("participant", {}).get("id") or message.get("roomId"))
        for message in client.transport.new_messages()
    ]


def loudest(client: LegClient) -> int:
    """Return the loudest sample of the last frame received."""
    return int(np.abs(client.heard_samples()[-FRAME_SAMPLES:]).max())


def test_both_rooms_and_a_custom_socket_are_notified_and_a_phone_is_not(
    harness: LiveRoomsHarness,
) -> None:
    ann, zoe = harness.join(agent("ann")), harness.join(agent("zoe", room=OTHER))
    tom, bob = harness.join(twilio("tom")), harness.join(agent("bob"))
    for client in (ann, bob, zoe, tom):
        events(client)

    harness.live_rooms.move(bob.leg, OTHER, bob.leg.spec.participant)
    assert events(ann) == [("participant-left", "bob")]
    assert events(zoe) == [("participant-joined", "bob")]
    assert events(bob) == [("meeting-joined", OTHER), ("participant-joined", "zoe")]

    assert harness.live_rooms.leg("call-tom") is tom.leg
    harness.live_rooms.move(tom.leg, OTHER, tom.leg.spec.participant)
    assert events(ann) == [("participant-left", "tom")]
    assert events(bob) == [("participant-joined", "tom")]
    assert events(tom) == []


def test_a_move_is_reported_with_the_session_of_the_new_room(harness: LiveRoomsHarness) -> None:
    harness.join(agent("zoe", room=OTHER, session="5e55"))
    mover = harness.join(agent("bob")).leg
    list(harness.new_reports())
    harness.live_rooms.move(mover, OTHER, replace(mover.spec.participant, id="rob"))
    [report] = harness.new_reports()
    assert report == LegMoved("call-bob", "bob-leg-1", OTHER, "rob", "5e55", harness.clock.now())


def test_a_move_to_the_same_room_is_reported_and_changes_nothing(
    harness: LiveRoomsHarness,
) -> None:
    ann, mover = harness.join(agent("ann")), harness.join(agent("bob")).leg
    list(harness.new_reports())
    events(ann)
    harness.live_rooms.move(mover, ROOM, mover.spec.participant)
    assert [type(report) for report in harness.new_reports()] == [LegMoved]
    assert events(ann) == []


def test_the_moved_leg_hears_the_new_room_in_the_next_frame_and_never_the_old(
    harness: LiveRoomsHarness,
) -> None:
    ann, zoe, bob = (
        harness.join(each) for each in (agent("ann"), agent("zoe", room=OTHER), agent("bob"))
    )
    for turn in range(10):
        if turn == 5:
            harness.live_rooms.move(bob.leg, OTHER, bob.leg.spec.participant)
        for client, value in ((ann, 1_000), (zoe, 5_000), (bob, 9_000)):
            client.speak(steady(value))
        harness.tick()
        if turn == 4:
            assert (loudest(bob), loudest(ann), loudest(zoe)) == (1_000, 9_000, 0)
        if turn > 4:
            assert (loudest(bob), loudest(ann), loudest(zoe)) == (5_000, 0, 9_000)
    assert len(bob.transport.payloads) == 10


def test_a_leg_that_has_not_started_starts_in_the_new_room(harness: LiveRoomsHarness) -> None:
    ann = harness.join(agent("ann"))
    events(ann)
    tom = harness.open(twilio("tom"))
    list(harness.new_reports())
    harness.live_rooms.move(tom.leg, OTHER, Participant("tim", "Tim"))
    assert list(harness.new_reports()) == []
    tom.start()
    assert events(ann) == []
    assert [type(report) for report in harness.new_reports()] == [LegStarted]
    assert (tom.leg.spec.room_id, tom.leg.spec.participant.id) == (OTHER, "tim")


def test_a_participant_with_the_same_id_in_the_new_room_is_replaced(
    harness: LiveRoomsHarness,
) -> None:
    zoe, mover = harness.join(agent("zoe", room=OTHER)), harness.join(agent("bob")).leg
    harness.live_rooms.move(mover, OTHER, replace(mover.spec.participant, id="zoe"))
    assert zoe.transport.closed is not None
    assert harness.live_rooms.leg("call-zoe") is None
    assert len(harness.live_rooms) == 1


def test_another_participant_id_in_the_same_room_keeps_the_session(
    harness: LiveRoomsHarness,
) -> None:
    mover = harness.join(agent("bob")).leg
    [started] = harness.new_reports()
    harness.live_rooms.move(mover, ROOM, replace(mover.spec.participant, id="rob"))
    [moved] = harness.new_reports()
    assert isinstance(started, LegStarted)
    assert isinstance(moved, LegMoved)
    assert moved.session_id == started.session_id


def test_subscriptions_are_kept_in_the_new_room(harness: LiveRoomsHarness) -> None:
    zoe, mover = harness.join(agent("zoe", room=OTHER)), harness.join(agent("bob"))
    mover.send(compact({"event": "subscribe", "topic": "CHAT"}))
    harness.live_rooms.move(mover.leg, OTHER, mover.leg.spec.participant)
    events(mover)
    zoe.send(compact({"event": "message", "topic": "CHAT", "data": "hi"}))
    assert [event for event, _ in events(mover)] == ["message"]
