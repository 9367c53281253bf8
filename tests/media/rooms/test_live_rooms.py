"""Rooms, legs and ticks, with real wires and recording transports."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.calls import EndReason, LadderEvent
from service.domain.wire import FRAME_SAMPLES, SAMPLE_RATE, Encoding
from service.errors import RefusedStart, RemoteError
from service.media.audio import g711
from service.media.rooms.leg import (
    MAX_FAULTS,
    MUTE_SECONDS,
    TEXTS_A_SECOND,
    TEXTS_AT_ONCE,
    UNHEARD_SECONDS,
)
from service.media.rooms.reports import LegClosed, LegStarted, LegStep
from tests.support.callers import ROOM, Caller, agent, compact, plivo, telnyx, twilio
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LegClient, LiveRoomsHarness, steady

AT = 1_782_052_245_123


@pytest.fixture
def harness(clock: FakeClock) -> LiveRoomsHarness:
    return LiveRoomsHarness(clock)


def test_a_leg_is_in_no_room_before_its_start_message(harness: LiveRoomsHarness) -> None:
    ann = harness.join(agent("ann"))
    harness.open(agent("bob"))
    assert len(harness.live_rooms) == 1
    assert ann.events() == ["meeting-joined"]
    harness.tick()
    assert len(ann.transport.payloads) == 1


def test_a_start_is_reported_with_the_session_of_the_room(harness: LiveRoomsHarness) -> None:
    harness.join(agent("ann"))
    harness.join(twilio("bob"))
    harness.join(agent("cid", room="zzzz-zzzz-zzzz"))
    first, second, third = harness.new_reports()
    assert isinstance(first, LegStarted)
    assert re.fullmatch("[0-9a-f]{24}", first.session_id)
    assert first == LegStarted("call-ann", "ann-leg-1", first.session_id, AT)
    assert second == LegStarted("call-bob", "bob-leg-1", first.session_id, AT)
    assert isinstance(third, LegStarted)
    assert third.session_id != first.session_id


def test_a_call_that_returns_to_an_empty_room_continues_its_session(
    harness: LiveRoomsHarness,
) -> None:
    harness.join(agent("ann", session="5e55"))
    [report] = harness.new_reports()
    assert report == LegStarted("call-ann", "ann-leg-1", "5e55", AT)


def test_a_call_that_returns_to_a_room_in_use_joins_its_session(
    harness: LiveRoomsHarness,
) -> None:
    harness.join(agent("ann", session="5e55"))
    harness.join(agent("bob", session="01d"))
    assert [getattr(report, "session_id", None) for report in harness.new_reports()] == [
        "5e55",
        "5e55",
    ]


def test_an_empty_room_starts_a_new_session(harness: LiveRoomsHarness) -> None:
    harness.join(agent("ann")).leave()
    harness.join(agent("bob"))
    sessions = [
        report.session_id for report in harness.new_reports() if isinstance(report, LegStarted)
    ]
    assert len(set(sessions)) == 2


def test_a_closed_leg_is_reported_and_the_others_are_told(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    ann.events()
    list(harness.new_reports())
    bob.leave(EndReason.CALLER_HUNG_UP, "said goodbye")
    [report] = harness.new_reports()
    assert isinstance(report, LegClosed)
    assert (report.call_id, report.leg_id, report.at) == ("call-bob", "bob-leg-1", AT)
    assert (report.reason, report.detail) == (EndReason.CALLER_HUNG_UP, "said goodbye")
    assert report.stats == bob.leg.stats()
    assert ann.events() == ["participant-left"]
    assert harness.live_rooms.leg("call-bob") is None
    assert len(harness.live_rooms) == 1


def test_a_leg_that_never_started_is_reported_closed_without_an_event(
    harness: LiveRoomsHarness,
) -> None:
    ann = harness.join(agent("ann"))
    ann.events()
    list(harness.new_reports())
    harness.open(twilio("bob")).leave(None, "lost")
    assert [type(report) for report in harness.new_reports()] == [LegClosed]
    assert ann.events() == []


def test_the_leg_of_a_call_is_found(harness: LiveRoomsHarness) -> None:
    ann = harness.join(agent("ann"))
    assert harness.live_rooms.leg("call-ann") is ann.leg
    assert harness.live_rooms.leg("call-bob") is None


def test_a_stop_message_is_a_hang_up_by_the_caller(harness: LiveRoomsHarness) -> None:
    bob = harness.join(twilio("bob"))
    bob.send(compact({"event": "stop", "stop": {"callSid": "provider-bob"}}))
    assert bob.transport.closed == (1000, "", EndReason.CALLER_HUNG_UP)


def test_a_start_for_another_call_is_refused(harness: LiveRoomsHarness) -> None:
    bob = harness.open(twilio("bob", call_id="provider-eve"))
    with pytest.raises(RemoteError, match="another call") as refused:
        bob.start()
    assert refused.value.close_code == 1008
    assert len(harness.live_rooms) == 0
    assert list(harness.new_reports()) == []


def test_telnyx_may_send_another_call_id_with_the_right_reference(
    harness: LiveRoomsHarness,
) -> None:
    harness.join(telnyx("bob", call_id="v3:another"))
    assert len(harness.live_rooms) == 1


def test_telnyx_with_another_call_and_another_reference_is_refused(
    harness: LiveRoomsHarness,
) -> None:
    with pytest.raises(RemoteError) as refused:
        harness.join(telnyx("bob", call_id="v3:another", ref="ref-eve"))
    assert refused.value.close_code == 1008


def test_the_right_call_id_needs_no_reference(harness: LiveRoomsHarness) -> None:
    harness.join(telnyx("bob", ref="ref-eve"))
    harness.join(twilio("cid", ref="ref-eve"))
    assert len(harness.live_rooms) == 2


def test_a_stream_without_ids_is_accepted_by_its_url(harness: LiveRoomsHarness) -> None:
    """Telnyx may send a call id that differs from the webhook's, and no reference."""
    bob, cid = telnyx("bob", call_id="v3:another"), twilio("cid")
    start = json.loads(bob.start)
    del start["start"]["custom_parameters"]
    harness.open(bob).send(compact(start))
    harness.open(cid).send(compact({"event": "start", "streamSid": "MZ-cid"}))
    assert len(harness.live_rooms) == 2


def test_another_reference_of_the_same_call_is_logged_without_its_value(
    harness: LiveRoomsHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.join(twilio("bob", ref="ref-eve"))
    assert "has another reference" in caplog.text
    assert "ref-eve" not in caplog.text


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (twilio("bob", call_id="provider-eve"), "The stream belongs to another call."),
        (telnyx("bob", encoding="OPUS"), "encoding must be one of PCMU, PCMA"),
    ],
)
def test_a_refused_start_is_logged_without_its_secrets(
    harness: LiveRoomsHarness, caplog: pytest.LogCaptureFixture, caller: Caller, reason: str
) -> None:
    ref, number = "aB3" * 10 + "xY", "+14155550100"
    start = caller.start.replace(b"ref-bob", ref.encode()).replace(b"bob", number.encode())
    with pytest.raises(RefusedStart):
        harness.open(caller).send(start)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"a start message is refused: {reason}" in line
    assert '{"event":"start"' in line
    assert ref not in line
    assert number not in line


def test_audio_after_an_invalid_start_does_not_hide_the_reason(
    harness: LiveRoomsHarness,
) -> None:
    bob = harness.open(twilio("bob"))
    bob.send(bob.caller.start[:-1])
    for _ in range(MAX_FAULTS - 1):
        bob.speak(steady(5000))
    with pytest.raises(RefusedStart) as refused:
        bob.speak(steady(5000))
    assert refused.value.message == "No start message was understood: The message is not JSON."


def test_a_leg_remembers_its_last_invalid_message(harness: LiveRoomsHarness) -> None:
    bob = harness.open(twilio("bob"))
    bob.send(b"{")
    assert bob.leg.misunderstood == "The message is not JSON."
    bob.send(compact({"event": "Start"}))
    assert bob.leg.misunderstood == 'there is no event "Start".'


def test_ignored_fields_are_counted(harness: LiveRoomsHarness) -> None:
    bob = harness.open(plivo("bob"))
    start = json.loads(bob.caller.start)
    bob.send(compact({**start, "extra_headers": 7}))
    frame = json.loads(bob.caller.media(b"\xff" * 160))
    for track in ("inbound", "outbound", "outbound_track", "INBOUND"):
        bob.send(compact({**frame, "media": {**frame["media"], "track": track}}))
    harness.tick(3)
    assert (bob.leg.stats()["framesIn"], bob.leg.stats()["ignored"]) == (2, 3)
    assert bob.leg.stats()["malformed"] == 0


def test_an_encoding_that_cannot_be_decoded_ends_the_leg(harness: LiveRoomsHarness) -> None:
    with pytest.raises(RemoteError) as refused:
        harness.join(telnyx("bob", encoding="OPUS"))
    assert refused.value.close_code == 1003
    assert len(harness.live_rooms) == 0


def test_another_socket_of_the_same_call_takes_over_without_events(
    harness: LiveRoomsHarness,
) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    ann.events()
    again = harness.join(agent("bob", leg="leg-2"))
    assert bob.transport.closed == (1000, "The call has another socket now.", EndReason.REPLACED)
    assert again.events() == ["meeting-joined", "participant-joined"]
    bob.leave(EndReason.REPLACED, "replaced")
    assert ann.events() == []
    assert harness.live_rooms.leg("call-bob") is again.leg
    assert len(harness.live_rooms) == 2
    again.speak(steady(700))
    harness.tick(2)
    assert ann.heard_samples().max() == 700


def test_audio_of_a_replaced_socket_is_not_heard(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    ann.send(compact({"event": "subscribe", "topic": "CHAT"}))
    harness.join(agent("bob", leg="leg-2"))
    bob.speak(steady(700))
    bob.send(compact({"event": "message", "topic": "CHAT", "data": "hello"}))
    harness.tick(3)
    assert not ann.heard_samples().any()
    assert "message" not in ann.events()


def test_a_call_that_starts_in_another_room_leaves_the_first(
    harness: LiveRoomsHarness,
) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    ann.events()
    moved = harness.join(agent("bob", leg="leg-2", room="zzzz-zzzz-zzzz"))
    assert ann.events() == ["participant-left"]
    assert bob.transport.closed == (1000, "The call has another socket now.", EndReason.REPLACED)
    assert moved.events() == ["meeting-joined"]
    bob.leave(EndReason.REPLACED, "replaced")
    moved.speak(steady(700))
    harness.tick(3)
    assert not ann.heard_samples().any()
    assert len(harness.live_rooms) == 2


def test_a_new_participant_replaces_another_with_the_same_id(
    harness: LiveRoomsHarness,
) -> None:
    watcher = harness.join(agent("ann"))
    first = harness.join(agent("bob", call="call-1"))
    first.events()
    watcher.events()
    second = harness.join(agent("bob", call="call-2"))
    assert first.transport.new_messages() == [
        {"event": "meeting-left", "message": "Duplicate participant"}
    ]
    assert first.transport.closed == (1000, "Duplicate participant", EndReason.REPLACED)
    first.leave(EndReason.REPLACED, "Duplicate participant")
    assert watcher.events() == ["participant-left", "participant-joined"]
    assert second.events() == ["meeting-joined", "participant-joined"]
    assert len(harness.live_rooms) == 2
    assert harness.live_rooms.leg("call-1") is None
    assert harness.live_rooms.leg("call-2") is second.leg


def test_a_replaced_participant_alone_in_the_room_passes_its_session_on(
    harness: LiveRoomsHarness,
) -> None:
    first = harness.join(agent("bob", call="call-1"))
    second = harness.join(agent("bob", call="call-2"))
    first.leave(EndReason.REPLACED, "Duplicate participant")
    third = harness.join(agent("ann"))
    sessions = {
        report.session_id for report in harness.new_reports() if isinstance(report, LegStarted)
    }
    assert len(sessions) == 1
    third.speak(steady(700))
    harness.tick(2)
    assert second.heard_samples().max() == 700


def test_a_participant_who_joins_during_the_removal_of_all_starts_a_new_session(
    harness: LiveRoomsHarness,
) -> None:
    put_out = [harness.join(agent("ann")), harness.join(twilio("bob"))]
    for client in put_out:
        client.leg.leave("Meeting Ended.")
    cat = harness.join(agent("cat"))
    sessions = [
        report.session_id for report in harness.new_reports() if isinstance(report, LegStarted)
    ]
    assert sessions[0] == sessions[1] != sessions[2]
    assert cat.events() == ["meeting-joined"]
    for client in put_out:
        client.leave(EndReason.SESSION_ENDED, "Meeting Ended.")
    assert cat.events() == []
    assert len(harness.live_rooms) == 1
    put_out[0].speak(steady(700))
    harness.tick(2)
    assert not cat.heard_samples().any()


def test_a_session_continues_if_only_some_are_removed(harness: LiveRoomsHarness) -> None:
    harness.join(agent("ann")).leg.leave("Participant removed from the meeting")
    harness.join(agent("bob"))
    harness.join(agent("cat"))
    first, *others = [
        report.session_id for report in harness.new_reports() if isinstance(report, LegStarted)
    ]
    assert others[0] != first
    assert others[0] == others[1]


def test_the_same_participant_id_in_another_room_is_independent(
    harness: LiveRoomsHarness,
) -> None:
    first = harness.join(agent("bob", call="call-1"))
    harness.join(agent("bob", call="call-2", room="zzzz-zzzz-zzzz"))
    assert first.transport.closed is None


def test_published_text_reaches_the_subscribers(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    for client in (ann, bob):
        client.events()
        client.send(compact({"event": "subscribe", "topic": "CHAT"}))
    ann.send(compact({"event": "message", "topic": "CHAT", "data": "hello"}))
    [heard] = bob.transport.new_messages()
    assert [heard] == ann.transport.new_messages()
    assert heard["data"]["message"] == "hello"
    bob.send(compact({"event": "unsubscribe", "topic": "CHAT"}))
    ann.send(compact({"event": "message", "topic": "CHAT", "data": "again"}))
    assert bob.transport.new_messages() == []


def test_the_rate_of_texts_is_limited_per_second(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    text = compact({"event": "message", "topic": "t", "data": "x"})
    bob.send(compact({"event": "subscribe", "topic": "t"}))
    bob.events()
    for _ in range(20):
        harness.live_rooms.look_after(ann.leg)
    for _ in range(TEXTS_AT_ONCE):
        ann.send(text)
    with pytest.raises(RemoteError, match="texts a second") as refusal:
        ann.send(text)
    assert refusal.value.close_code == 1008
    assert bob.events() == ["message"] * TEXTS_AT_ONCE
    harness.live_rooms.look_after(ann.leg)
    for _ in range(TEXTS_A_SECOND - 1):
        ann.send(text)
    with pytest.raises(RemoteError, match="texts a second"):
        ann.send(text)
    assert bob.events() == ["message"] * (TEXTS_A_SECOND - 1)


def test_a_pressed_key_reaches_an_agent(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(twilio("bob"))
    ann.events()
    ann.send(compact({"event": "subscribe", "topic": "DTMF_EVENT"}))
    bob.send(compact({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "0"}}))
    [heard] = ann.transport.new_messages()
    assert heard["data"]["payload"] == {"number": "0", "timestamp": str(AT)}


def test_a_call_may_withhold_its_keys_from_the_room(harness: LiveRoomsHarness) -> None:
    quiet = twilio("bob")
    bob = harness.join(replace(quiet, spec=replace(quiet.spec, dtmf=False)))
    ann = harness.join(agent("ann"))
    ann.events()
    ann.send(compact({"event": "subscribe", "topic": "DTMF_EVENT"}))
    bob.send(compact({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}}))
    assert ann.transport.new_messages() == []
    assert bob.leg.stats()["unknown"] == 0


def test_a_mark_is_returned_after_the_audio_before_it_was_mixed(
    harness: LiveRoomsHarness,
) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    harness.tick()
    for value in (100, 200, 300):
        ann.speak(steady(value))
    ann.send(compact({"event": "mark", "name": "done"}))
    ann.transport.log.clear()
    harness.tick(5)
    assert ann.transport.log == ["audio", "audio", "mark", "audio", "audio", "audio"]
    assert ann.transport.messages[-1] == {"event": "mark", "name": "done"}
    assert bob.heard_samples()[FRAME_SAMPLES - 1 :: FRAME_SAMPLES].tolist() == [
        0,
        100,
        200,
        300,
        0,
        0,
    ]


def test_a_clear_drops_unmixed_audio(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    for _ in range(100):
        ann.speak(steady(700))
    ann.send(compact({"event": "mark", "name": "done"}))
    harness.tick(10)
    ann.send(compact({"event": "clear"}))
    harness.tick(10)
    heard = bob.heard_samples().reshape(-1, FRAME_SAMPLES)
    assert (heard[2:10] == 700).all()
    assert not heard[11:].any()
    assert "mark" in ann.events()


def test_malformed_messages_are_counted_and_fatal_at_the_limit(
    harness: LiveRoomsHarness,
) -> None:
    ann = harness.join(agent("ann"))
    for _ in range(MAX_FAULTS):
        ann.send(b"{")
    assert ann.leg.stats()["malformed"] == MAX_FAULTS
    assert ann.transport.closed is None
    with pytest.raises(RemoteError):
        ann.send(b"{")


def test_valid_messages_between_malformed_ones_are_handled(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    ann.send(b"[]")
    ann.speak(steady(700))
    ann.send(b'{"event":"media","payload":7}')
    harness.tick(2)
    assert bob.heard_samples().max() == 700


def test_unknown_events_are_counted_and_harmless(harness: LiveRoomsHarness) -> None:
    ann = harness.join(agent("ann"))
    for _ in range(2 * MAX_FAULTS):
        ann.send(compact({"event": "dance"}))
    assert ann.leg.stats()["unknown"] == 2 * MAX_FAULTS
    assert ann.transport.closed is None


def test_an_error_message_of_the_provider_is_logged_and_harmless(
    harness: LiveRoomsHarness, caplog: pytest.LogCaptureFixture
) -> None:
    bob = harness.join(telnyx("bob"))
    bob.send(compact({"event": "error", "payload": {"code": 100005, "detail": "too fast"}}))
    assert "100005 too fast" in caplog.text
    assert bob.transport.closed is None


def tone(hertz: int, seconds: float, amplitude: int = 5000) -> NDArray[np.int16]:
    """Return a cosine: it starts at its peak, where a click is loudest."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.cos(2 * np.pi * hertz * time)).astype(np.int16)


def frames(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return samples.reshape(-1, FRAME_SAMPLES)


def pitches(samples: NDArray[np.int32]) -> set[int]:
    """Return the frequencies in one second of sound above a tenth of the loudest."""
    assert len(samples) == SAMPLE_RATE
    loudness = np.abs(np.fft.rfft(samples))
    return {int(hertz) for hertz in np.flatnonzero(loudness > 0.1 * loudness.max())}


def test_each_caller_hears_all_others_in_the_room_and_not_itself(
    harness: LiveRoomsHarness,
) -> None:
    """Two rooms of three, with every encoding."""
    here = {400: twilio("ann"), 700: telnyx("bob"), 1100: agent("cid")}
    there = {
        1500: twilio("dan", room="zzzz-zzzz-zzzz"),
        1900: telnyx("eve", room="zzzz-zzzz-zzzz"),
        2300: agent("fay", room="zzzz-zzzz-zzzz"),
    }
    clients = {hertz: harness.join(caller) for hertz, caller in {**here, **there}.items()}
    for row in range(55):
        for hertz, client in clients.items():
            client.speak(frames(tone(hertz, 1.1))[row])
        harness.clock.advance(0.01)
        harness.live_rooms.tick(harness.clock.monotonic())
        harness.clock.advance(0.01)
    for room in (here, there):
        for hertz in room:
            heard = clients[hertz].heard_samples()[3 * FRAME_SAMPLES :][:SAMPLE_RATE]
            assert pitches(heard) == set(room) - {hertz}
            assert np.abs(heard).max() == pytest.approx(10_000, rel=0.06)


def test_a_lone_caller_hears_silence_fifty_times_a_second(harness: LiveRoomsHarness) -> None:
    bob = harness.join(twilio("bob"))
    for _ in range(50):
        bob.speak(steady(5000))
        harness.tick()
    assert bob.transport.payloads == [b"\xff" * FRAME_SAMPLES] * 50


def test_each_leg_receives_its_own_encoding(harness: LiveRoomsHarness) -> None:
    """Telnyx sends A-law here and receives mu-law: the two directions are independent."""
    ann, bob = harness.join(agent("ann")), harness.join(telnyx("bob"))
    harness.tick(2)
    assert bob.transport.payloads == [b"\xff" * 160] * 2
    assert ann.transport.payloads == [bytes(320)] * 2
    bob.send(bob.caller.media(g711.encode(steady(1000), Encoding.ALAW), 1))
    ann.speak(steady(1000))
    harness.tick(2)
    assert abs(ann.heard_samples().max() - 1000) <= 16
    assert abs(bob.heard_samples().max() - 1000) <= 16


def test_audio_messages_use_the_envelope_of_the_wire(harness: LiveRoomsHarness) -> None:
    bob = harness.join(twilio("bob"))
    harness.tick()
    assert bob.transport.envelope == bob.caller.spec.wire.envelope()


def test_the_outbound_track_is_not_mixed_in(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(telnyx("bob"))
    for chunk in range(1, 6):
        message = bob.caller.media(g711.encode(steady(5000), Encoding.ALAW), chunk)
        bob.send(message.replace(b'"inbound"', b'"outbound"'))
        harness.tick()
    assert not ann.heard_samples().any()


def test_ticks_without_legs_do_nothing(harness: LiveRoomsHarness) -> None:
    harness.tick()
    bob = harness.join(twilio("bob"))
    bob.leave()
    harness.tick()
    assert bob.transport.payloads == []


# Without a fade, a cut in this sound is a step of 8,000 to 16,000 between two samples.

LOUDNESS = 8000
HERTZ = 225
STEEPEST = 2 * np.pi * HERTZ / SAMPLE_RATE * LOUDNESS
FADES = LOUDNESS / 40 + LOUDNESS / FRAME_SAMPLES
MULAW_STEP = 512
SMOOTH = STEEPEST + FADES + MULAW_STEP


def roughness(client: LegClient) -> int:
    """Return the largest step between two samples that a client has heard."""
    heard = client.heard_samples()
    assert np.abs(heard).max() > 0.9 * LOUDNESS
    return int(np.abs(np.diff(heard)).max())


def test_a_gap_is_faded_out_and_in_without_a_click(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(twilio("bob"))
    sound = frames(tone(HERTZ, 1, LOUDNESS))
    for row, samples in enumerate(sound):
        if row not in (20, 21, 22, 30):
            bob.speak(samples)
        harness.clock.advance(0.01)
        harness.live_rooms.tick(harness.clock.monotonic())
        harness.clock.advance(0.01)
    assert bob.leg.stats()["gaps"] == 2
    assert np.abs(sound[20][0]) > 0.9 * LOUDNESS  # The sound stops and resumes at peaks.
    assert roughness(ann) <= SMOOTH


def test_a_drop_is_spliced_without_a_click(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(twilio("bob"))
    sound = frames(tone(HERTZ, 1, LOUDNESS))
    for samples in sound[:15]:
        bob.speak(samples)
        harness.clock.advance(0.01)
        harness.live_rooms.tick(harness.clock.monotonic())
        harness.clock.advance(0.01)
    for samples in sound[15:30]:
        bob.speak(samples)
    harness.tick(10)
    assert bob.leg.stats()["dropped"] == 9
    assert int(sound[15][0]) == -int(sound[24][0])  # The cut audio ends at the opposite peak.
    assert roughness(ann) <= SMOOTH


def test_a_clear_is_faded_out_without_a_click(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    bob.send(bob.caller.media(tone(HERTZ, 2, LOUDNESS).astype("<i2").tobytes()))
    harness.tick(10)
    bob.send(compact({"event": "clear"}))
    harness.tick(10)
    assert roughness(ann) <= SMOOTH
    assert not ann.heard_samples()[-FRAME_SAMPLES:].any()


def test_audio_right_after_a_clear_is_spliced_without_a_click(
    harness: LiveRoomsHarness,
) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    sound = tone(HERTZ, 2, LOUDNESS)
    bob.send(bob.caller.media(sound.astype("<i2").tobytes()))
    harness.tick(10)
    assert int(sound[10 * FRAME_SAMPLES]) == LOUDNESS  # The cleared audio would start at a peak.
    bob.send(compact({"event": "clear"}))
    bob.send(bob.caller.media((-sound).astype("<i2").tobytes()))
    harness.tick(10)
    assert roughness(ann) <= SMOOTH


def test_first_audio_is_reported_once_in_each_direction(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(twilio("bob"))
    list(harness.new_reports())
    harness.tick(3)
    assert list(harness.new_reports()) == []
    for _ in range(5):
        bob.speak(steady(5000))
        harness.tick()
    steps = {(r.call_id, r.event) for r in harness.new_reports() if isinstance(r, LegStep)}
    assert steps == {
        ("call-bob", LadderEvent.FIRST_AUDIO_IN),
        ("call-ann", LadderEvent.FIRST_AUDIO_OUT),
    }
    ann.speak(steady(5000))
    bob.speak(steady(5000))
    harness.tick(3)
    assert [(r.call_id, r.event) for r in harness.new_reports() if isinstance(r, LegStep)] == [
        ("call-ann", LadderEvent.FIRST_AUDIO_IN),
        ("call-bob", LadderEvent.FIRST_AUDIO_OUT),
    ]


def rungs_of_mute(harness: LiveRoomsHarness, client: LegClient, seconds: int) -> int:
    """Return how often a client is reported without audio within this number of seconds."""
    list(harness.new_reports())
    for _ in range(seconds):
        harness.clock.advance(1)
        harness.live_rooms.look_after(client.leg)
    return sum(
        isinstance(r, LegStep) and r.event is LadderEvent.NO_AUDIO for r in harness.new_reports()
    )


def test_a_live_phone_without_audio_is_reported_once(harness: LiveRoomsHarness) -> None:
    bob, cid, ann = (
        harness.join(twilio("bob")),
        harness.join(twilio("cid")),
        harness.join(agent("ann")),
    )
    bob.transport.answers_pings = cid.transport.answers_pings = True
    cid.speak(steady(5000))
    assert rungs_of_mute(harness, bob, round(UNHEARD_SECONDS)) == 0
    assert rungs_of_mute(harness, bob, 100) == 1
    cid.speak(steady(5000))
    assert rungs_of_mute(harness, cid, round(MUTE_SECONDS)) == 0
    assert rungs_of_mute(harness, cid, 100) == 1
    assert rungs_of_mute(harness, ann, 100) == 0


def test_a_phone_that_answers_no_pings_has_more_time_to_send_audio(
    harness: LiveRoomsHarness,
) -> None:
    bob = harness.join(telnyx("bob"))
    assert rungs_of_mute(harness, bob, round(MUTE_SECONDS)) == 0
    assert rungs_of_mute(harness, bob, 5) == 1


def test_audio_before_the_start_message_is_a_fault(
    harness: LiveRoomsHarness,
) -> None:
    bob = harness.open(twilio("bob"))
    bob.speak(steady(5000))
    assert bob.leg.stats()["malformed"] == 1
    assert list(harness.new_reports()) == []


def test_stats_count_the_events_of_a_leg(harness: LiveRoomsHarness) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(telnyx("bob"))
    for chunk in (1, 2, 2, 4, 5):
        early = 0.002 * (chunk % 2)
        harness.clock.advance(0.01 - early)
        bob.send(bob.caller.media(b"\xd5" * 160, chunk))
        harness.clock.advance(0.01 + early)
        harness.live_rooms.tick(harness.clock.monotonic())
    harness.tick(3)
    for chunk in range(6, 15):
        bob.send(bob.caller.media(b"\xd5" * 160, chunk))
    bob.send(b"{")
    bob.send(compact({"event": "dance"}))
    bob.transport.dropped = 7
    assert bob.leg.stats() == {
        "framesIn": 4,
        "framesOut": 8,
        "framesUnsent": 7,
        "gaps": bob.leg.stats()["gaps"],
        "lost": 1,
        "late": 1,
        "renumbered": 0,
        "dropped": 3,
        "jitterMs": bob.leg.stats()["jitterMs"],
        "clipped": 0,
        "bufferMs": 120,
        "malformed": 1,
        "unknown": 1,
        "ignored": 0,
    }
    assert bob.leg.stats()["gaps"] > 0
    assert bob.leg.stats()["jitterMs"] > 0
    assert ann.leg.stats()["framesOut"] == 8


@pytest.mark.parametrize("again", [1, 100], ids=["begins anew", "stands still"])
def test_a_phone_whose_numbering_restarts_is_heard_at_once(
    harness: LiveRoomsHarness, again: int
) -> None:
    ann, bob = harness.join(agent("ann")), harness.join(telnyx("bob"))
    for number in range(1, 151):
        late = number - 100
        chunk = number if late <= 0 else again + late * (again < 100)
        samples = steady(8000 + 8000 * (number % 2))
        bob.send(bob.caller.media(g711.encode(samples, Encoding.ALAW), chunk))
        harness.tick()
    heard = ann.heard_samples()[-FRAME_SAMPLES * 30 :: FRAME_SAMPLES]
    assert (heard > 5000).all()
    assert bob.leg.stats()["renumbered"] == (1 if again == 1 else 2)


def test_clipped_frames_are_counted_for_their_listeners(
    harness: LiveRoomsHarness,
) -> None:
    ann, bob, cid = (harness.join(agent(name)) for name in ("ann", "bob", "cid"))
    for value in (20_000, 20_000, 10_000):
        for client in (ann, bob):
            client.speak(steady(value))
    harness.tick(5)
    # The first frame fades in, and the last one is repeated with a fade out.
    assert [client.leg.stats()["clipped"] for client in (ann, bob, cid)] == [0, 0, 2]


def test_stats_of_a_leg_that_has_not_started_are_zero(harness: LiveRoomsHarness) -> None:
    assert set(harness.open(twilio("bob")).leg.stats().values()) == {0}


def test_no_secret_is_logged(harness: LiveRoomsHarness, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        bob = harness.join(twilio("bob"))
        bob.send(b'{"event":"media","media":{"payload":"not base64 ref-bob"}}')
        bob.leave()
    told = "".join(str(vars(record)) for record in caplog.records)
    assert ROOM in told
    assert "ref-bob" not in told
    assert "ref-bob" not in repr(bob.caller.spec)
