"""Rooms, legs and the tick, with real wires and lines that are lists."""

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
from tests.support.halls import Hall, Party, steady

AT = 1_782_052_245_123


@pytest.fixture
def hall(clock: FakeClock) -> Hall:
    return Hall(clock)


def test_a_leg_is_in_no_room_before_its_start_message(hall: Hall) -> None:
    ann = hall.join(agent("ann"))
    hall.adopt(agent("bob"))
    assert len(hall.exchange) == 1
    assert ann.events() == ["meeting-joined"]
    hall.tick()
    assert len(ann.ear.heard) == 1


def test_a_start_is_reported_with_the_session_of_the_room(hall: Hall) -> None:
    hall.join(agent("ann"))
    hall.join(twilio("bob"))
    hall.join(agent("cid", room="zzzz-zzzz-zzzz"))
    first, second, third = hall.told()
    assert isinstance(first, LegStarted)
    assert re.fullmatch("[0-9a-f]{24}", first.session_id)
    assert first == LegStarted("call-ann", "ann-leg-1", first.session_id, AT)
    assert second == LegStarted("call-bob", "bob-leg-1", first.session_id, AT)
    assert isinstance(third, LegStarted)
    assert third.session_id != first.session_id


def test_a_call_that_comes_back_to_an_empty_room_goes_on_with_its_session(hall: Hall) -> None:
    hall.join(agent("ann", session="5e55"))
    [report] = hall.told()
    assert report == LegStarted("call-ann", "ann-leg-1", "5e55", AT)


def test_a_call_that_comes_back_to_a_room_in_use_joins_its_session(hall: Hall) -> None:
    hall.join(agent("ann", session="5e55"))
    hall.join(agent("bob", session="01d"))
    assert [getattr(report, "session_id", None) for report in hall.told()] == ["5e55", "5e55"]


def test_a_room_that_everybody_has_left_begins_a_new_session(hall: Hall) -> None:
    hall.join(agent("ann")).leave()
    hall.join(agent("bob"))
    sessions = [report.session_id for report in hall.told() if isinstance(report, LegStarted)]
    assert len(set(sessions)) == 2


def test_a_closed_leg_is_reported_and_the_others_are_told(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    ann.events()
    list(hall.told())
    bob.leave(EndReason.CALLER_HUNG_UP, "said goodbye")
    [report] = hall.told()
    assert isinstance(report, LegClosed)
    assert (report.call_id, report.leg_id, report.at) == ("call-bob", "bob-leg-1", AT)
    assert (report.reason, report.detail) == (EndReason.CALLER_HUNG_UP, "said goodbye")
    assert report.stats == bob.leg.stats()
    assert ann.events() == ["participant-left"]
    assert hall.exchange.leg("call-bob") is None
    assert len(hall.exchange) == 1


def test_a_leg_that_never_started_is_reported_closed_and_nobody_is_told(hall: Hall) -> None:
    ann = hall.join(agent("ann"))
    ann.events()
    list(hall.told())
    hall.adopt(twilio("bob")).leave(None, "lost")
    assert [type(report) for report in hall.told()] == [LegClosed]
    assert ann.events() == []


def test_the_exchange_knows_the_leg_of_a_call(hall: Hall) -> None:
    ann = hall.join(agent("ann"))
    assert hall.exchange.leg("call-ann") is ann.leg
    assert hall.exchange.leg("call-bob") is None


def test_a_stop_message_hangs_up_for_the_caller(hall: Hall) -> None:
    bob = hall.join(twilio("bob"))
    bob.say(compact({"event": "stop", "stop": {"callSid": "provider-bob"}}))
    assert bob.ear.closed == (1000, "", EndReason.CALLER_HUNG_UP)


def test_a_start_for_another_call_is_refused(hall: Hall) -> None:
    bob = hall.adopt(twilio("bob", call_id="provider-eve"))
    with pytest.raises(RemoteError, match="another call") as refused:
        bob.start()
    assert refused.value.close_code == 1008
    assert len(hall.exchange) == 0
    assert list(hall.told()) == []


def test_telnyx_may_name_the_call_otherwise_if_the_reference_is_right(hall: Hall) -> None:
    hall.join(telnyx("bob", call_id="v3:another"))
    assert len(hall.exchange) == 1


def test_telnyx_with_another_call_and_another_reference_is_refused(hall: Hall) -> None:
    with pytest.raises(RemoteError) as refused:
        hall.join(telnyx("bob", call_id="v3:another", ref="ref-eve"))
    assert refused.value.close_code == 1008


def test_the_right_call_needs_no_reference_in_band(hall: Hall) -> None:
    hall.join(telnyx("bob", ref="ref-eve"))
    hall.join(twilio("cid", ref="ref-eve"))
    assert len(hall.exchange) == 2


def test_a_stream_that_names_nothing_is_let_in_by_its_url(hall: Hall) -> None:
    """Telnyx may send another call id than the webhook's, and no reference."""
    bob, cid = telnyx("bob", call_id="v3:another"), twilio("cid")
    start = json.loads(bob.start)
    del start["start"]["custom_parameters"]
    hall.adopt(bob).say(compact(start))
    hall.adopt(cid).say(compact({"event": "start", "streamSid": "MZ-cid"}))
    assert len(hall.exchange) == 2


def test_another_reference_of_the_same_call_is_warned_of_and_not_told(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    hall.join(twilio("bob", ref="ref-eve"))
    assert "has another reference" in caplog.text
    assert "ref-eve" not in caplog.text


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (twilio("bob", call_id="provider-eve"), "The stream belongs to another call."),
        (telnyx("bob", encoding="OPUS"), "encoding must be one of PCMU, PCMA"),
    ],
)
def test_a_refused_start_is_a_warning_that_shows_the_message_without_its_secrets(
    hall: Hall, caplog: pytest.LogCaptureFixture, caller: Caller, reason: str
) -> None:
    ref, number = "aB3" * 10 + "xY", "+14155550100"
    start = caller.start.replace(b"ref-bob", ref.encode()).replace(b"bob", number.encode())
    with pytest.raises(RefusedStart):
        hall.adopt(caller).say(start)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"a start message is refused: {reason}" in line
    assert '{"event":"start"' in line
    assert ref not in line
    assert number not in line


def test_audio_after_a_start_that_was_not_understood_does_not_hide_why(hall: Hall) -> None:
    bob = hall.adopt(twilio("bob"))
    bob.say(bob.caller.start[:-1])
    for _ in range(MAX_FAULTS - 1):
        bob.speak(steady(5000))
    with pytest.raises(RefusedStart) as refused:
        bob.speak(steady(5000))
    assert refused.value.message == "No start message was understood: The message is not JSON."


def test_a_leg_remembers_why_it_was_not_understood_last(hall: Hall) -> None:
    bob = hall.adopt(twilio("bob"))
    bob.say(b"{")
    assert bob.leg.misunderstood == "The message is not JSON."
    bob.say(compact({"event": "Start"}))
    assert bob.leg.misunderstood == 'there is no event "Start".'


def test_ignored_fields_are_counted(hall: Hall) -> None:
    bob = hall.adopt(plivo("bob"))
    start = json.loads(bob.caller.start)
    bob.say(compact({**start, "extra_headers": 7}))
    frame = json.loads(bob.caller.media(b"\xff" * 160))
    for track in ("inbound", "outbound", "outbound_track", "INBOUND"):
        bob.say(compact({**frame, "media": {**frame["media"], "track": track}}))
    hall.tick(3)
    assert (bob.leg.stats()["framesIn"], bob.leg.stats()["ignored"]) == (2, 3)
    assert bob.leg.stats()["malformed"] == 0


def test_an_encoding_that_cannot_be_decoded_ends_the_leg(hall: Hall) -> None:
    with pytest.raises(RemoteError) as refused:
        hall.join(telnyx("bob", encoding="OPUS"))
    assert refused.value.close_code == 1003
    assert len(hall.exchange) == 0


def test_another_socket_of_the_same_call_takes_over_and_the_room_stays_quiet(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    ann.events()
    again = hall.join(agent("bob", leg="leg-2"))
    assert bob.ear.closed == (1000, "The call has another socket now.", EndReason.REPLACED)
    assert again.events() == ["meeting-joined", "participant-joined"]
    bob.leave(EndReason.REPLACED, "replaced")
    assert ann.events() == []
    assert hall.exchange.leg("call-bob") is again.leg
    assert len(hall.exchange) == 2
    again.speak(steady(700))
    hall.tick(2)
    assert ann.listened().max() == 700


def test_what_the_old_socket_still_says_is_not_heard(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    ann.say(compact({"event": "subscribe", "topic": "CHAT"}))
    hall.join(agent("bob", leg="leg-2"))
    bob.speak(steady(700))
    bob.say(compact({"event": "message", "topic": "CHAT", "data": "hello"}))
    hall.tick(3)
    assert not ann.listened().any()
    assert "message" not in ann.events()


def test_a_call_that_starts_again_in_another_room_leaves_the_first(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    ann.events()
    moved = hall.join(agent("bob", leg="leg-2", room="zzzz-zzzz-zzzz"))
    assert ann.events() == ["participant-left"]
    assert bob.ear.closed == (1000, "The call has another socket now.", EndReason.REPLACED)
    assert moved.events() == ["meeting-joined"]
    bob.leave(EndReason.REPLACED, "replaced")
    moved.speak(steady(700))
    hall.tick(3)
    assert not ann.listened().any()
    assert len(hall.exchange) == 2


def test_a_participant_id_names_one_voice_and_the_newcomer_has_it(hall: Hall) -> None:
    watcher = hall.join(agent("ann"))
    first = hall.join(agent("bob", call="call-1"))
    first.events()
    watcher.events()
    second = hall.join(agent("bob", call="call-2"))
    assert first.ear.news() == [{"event": "meeting-left", "message": "Duplicate participant"}]
    assert first.ear.closed == (1000, "Duplicate participant", EndReason.REPLACED)
    first.leave(EndReason.REPLACED, "Duplicate participant")
    assert watcher.events() == ["participant-left", "participant-joined"]
    assert second.events() == ["meeting-joined", "participant-joined"]
    assert len(hall.exchange) == 2
    assert hall.exchange.leg("call-1") is None
    assert hall.exchange.leg("call-2") is second.leg


def test_a_namesake_alone_in_the_room_hands_its_session_over(hall: Hall) -> None:
    first = hall.join(agent("bob", call="call-1"))
    second = hall.join(agent("bob", call="call-2"))
    first.leave(EndReason.REPLACED, "Duplicate participant")
    third = hall.join(agent("ann"))
    sessions = {report.session_id for report in hall.told() if isinstance(report, LegStarted)}
    assert len(sessions) == 1
    third.speak(steady(700))
    hall.tick(2)
    assert second.listened().max() == 700


def test_whoever_comes_while_the_last_are_put_out_begins_a_new_session(hall: Hall) -> None:
    put_out = [hall.join(agent("ann")), hall.join(twilio("bob"))]
    for party in put_out:
        party.leg.leave("Meeting Ended.")
    cat = hall.join(agent("cat"))
    sessions = [report.session_id for report in hall.told() if isinstance(report, LegStarted)]
    assert sessions[0] == sessions[1] != sessions[2]
    assert cat.events() == ["meeting-joined"]
    for party in put_out:
        party.leave(EndReason.SESSION_ENDED, "Meeting Ended.")
    assert cat.events() == []
    assert len(hall.exchange) == 1
    put_out[0].speak(steady(700))
    hall.tick(2)
    assert not cat.listened().any()


def test_a_session_goes_on_while_only_some_are_put_out(hall: Hall) -> None:
    hall.join(agent("ann")).leg.leave("Participant removed from the meeting")
    hall.join(agent("bob"))
    hall.join(agent("cat"))
    first, *others = [report.session_id for report in hall.told() if isinstance(report, LegStarted)]
    assert others[0] != first
    assert others[0] == others[1]


def test_the_same_participant_id_in_another_room_is_another_voice(hall: Hall) -> None:
    first = hall.join(agent("bob", call="call-1"))
    hall.join(agent("bob", call="call-2", room="zzzz-zzzz-zzzz"))
    assert first.ear.closed is None


def test_published_text_reaches_those_who_have_subscribed(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    for party in (ann, bob):
        party.events()
        party.say(compact({"event": "subscribe", "topic": "CHAT"}))
    ann.say(compact({"event": "message", "topic": "CHAT", "data": "hello"}))
    [heard] = bob.ear.news()
    assert [heard] == ann.ear.news()
    assert heard["data"]["message"] == "hello"
    bob.say(compact({"event": "unsubscribe", "topic": "CHAT"}))
    ann.say(compact({"event": "message", "topic": "CHAT", "data": "again"}))
    assert bob.ear.news() == []


def test_texts_are_allowed_by_the_second_and_do_not_pile_up(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    text = compact({"event": "message", "topic": "t", "data": "x"})
    bob.say(compact({"event": "subscribe", "topic": "t"}))
    bob.events()
    for _ in range(20):
        hall.exchange.look_after(ann.leg)
    for _ in range(TEXTS_AT_ONCE):
        ann.say(text)
    with pytest.raises(RemoteError, match="texts a second") as refusal:
        ann.say(text)
    assert refusal.value.close_code == 1008
    assert bob.events() == ["message"] * TEXTS_AT_ONCE
    hall.exchange.look_after(ann.leg)
    for _ in range(TEXTS_A_SECOND - 1):
        ann.say(text)
    with pytest.raises(RemoteError, match="texts a second"):
        ann.say(text)
    assert bob.events() == ["message"] * (TEXTS_A_SECOND - 1)


def test_a_pressed_key_reaches_an_agent(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(twilio("bob"))
    ann.events()
    ann.say(compact({"event": "subscribe", "topic": "DTMF_EVENT"}))
    bob.say(compact({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "0"}}))
    [heard] = ann.ear.news()
    assert heard["data"]["payload"] == {"number": "0", "timestamp": str(AT)}


def test_a_call_may_keep_its_keys_from_the_room(hall: Hall) -> None:
    quiet = twilio("bob")
    bob = hall.join(replace(quiet, spec=replace(quiet.spec, dtmf=False)))
    ann = hall.join(agent("ann"))
    ann.events()
    ann.say(compact({"event": "subscribe", "topic": "DTMF_EVENT"}))
    bob.say(compact({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}}))
    assert ann.ear.news() == []
    assert bob.leg.stats()["unknown"] == 0


def test_a_mark_comes_back_when_the_audio_before_it_has_been_mixed(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    hall.tick()
    for value in (100, 200, 300):
        ann.speak(steady(value))
    ann.say(compact({"event": "mark", "name": "done"}))
    ann.ear.log.clear()
    hall.tick(5)
    assert ann.ear.log == ["audio", "audio", "mark", "audio", "audio", "audio"]
    assert ann.ear.said[-1] == {"event": "mark", "name": "done"}
    assert bob.listened()[FRAME_SAMPLES - 1 :: FRAME_SAMPLES].tolist() == [0, 100, 200, 300, 0, 0]


def test_a_clear_takes_back_what_is_not_mixed_yet(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    for _ in range(100):
        ann.speak(steady(700))
    ann.say(compact({"event": "mark", "name": "done"}))
    hall.tick(10)
    ann.say(compact({"event": "clear"}))
    hall.tick(10)
    heard = bob.listened().reshape(-1, FRAME_SAMPLES)
    assert (heard[2:10] == 700).all()
    assert not heard[11:].any()
    assert "mark" in ann.events()


def test_malformed_messages_are_counted_and_fatal_only_when_there_are_too_many(hall: Hall) -> None:
    ann = hall.join(agent("ann"))
    for _ in range(MAX_FAULTS):
        ann.say(b"{")
    assert ann.leg.stats()["malformed"] == MAX_FAULTS
    assert ann.ear.closed is None
    with pytest.raises(RemoteError):
        ann.say(b"{")


def test_good_messages_between_bad_ones_are_acted_on(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    ann.say(b"[]")
    ann.speak(steady(700))
    ann.say(b'{"event":"media","payload":7}')
    hall.tick(2)
    assert bob.listened().max() == 700


def test_unknown_events_are_counted_and_harmless(hall: Hall) -> None:
    ann = hall.join(agent("ann"))
    for _ in range(2 * MAX_FAULTS):
        ann.say(compact({"event": "dance"}))
    assert ann.leg.stats()["unknown"] == 2 * MAX_FAULTS
    assert ann.ear.closed is None


def test_a_complaint_of_the_provider_is_logged_and_harmless(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    bob = hall.join(telnyx("bob"))
    bob.say(compact({"event": "error", "payload": {"code": 100005, "detail": "too fast"}}))
    assert "100005 too fast" in caplog.text
    assert bob.ear.closed is None


def tone(hertz: int, seconds: float, amplitude: int = 5000) -> NDArray[np.int16]:
    """A cosine: it begins at its peak, where a click is loudest."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.cos(2 * np.pi * hertz * time)).astype(np.int16)


def frames(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return samples.reshape(-1, FRAME_SAMPLES)


def pitches(samples: NDArray[np.int32]) -> set[int]:
    """The frequencies in one second of sound that are louder than a tenth of the loudest."""
    assert len(samples) == SAMPLE_RATE
    loudness = np.abs(np.fft.rfft(samples))
    return {int(hertz) for hertz in np.flatnonzero(loudness > 0.1 * loudness.max())}


def test_everybody_hears_all_the_others_in_the_room_and_never_themselves(hall: Hall) -> None:
    """Two rooms of three, with every encoding in them."""
    here = {400: twilio("ann"), 700: telnyx("bob"), 1100: agent("cid")}
    there = {
        1500: twilio("dan", room="zzzz-zzzz-zzzz"),
        1900: telnyx("eve", room="zzzz-zzzz-zzzz"),
        2300: agent("fay", room="zzzz-zzzz-zzzz"),
    }
    parties = {hertz: hall.join(caller) for hertz, caller in {**here, **there}.items()}
    for row in range(55):
        for hertz, party in parties.items():
            party.speak(frames(tone(hertz, 1.1))[row])
        hall.clock.advance(0.01)
        hall.exchange.tick(hall.clock.monotonic())
        hall.clock.advance(0.01)
    for room in (here, there):
        for hertz in room:
            heard = parties[hertz].listened()[3 * FRAME_SAMPLES :][:SAMPLE_RATE]
            assert pitches(heard) == set(room) - {hertz}
            assert np.abs(heard).max() == pytest.approx(10_000, rel=0.06)


def test_a_lone_caller_hears_silence_fifty_times_a_second(hall: Hall) -> None:
    bob = hall.join(twilio("bob"))
    for _ in range(50):
        bob.speak(steady(5000))
        hall.tick()
    assert bob.ear.heard == [b"\xff" * FRAME_SAMPLES] * 50


def test_each_leg_hears_its_own_encoding(hall: Hall) -> None:
    """Telnyx speaks A-law here, and hears mu-law: the two directions are independent."""
    ann, bob = hall.join(agent("ann")), hall.join(telnyx("bob"))
    hall.tick(2)
    assert bob.ear.heard == [b"\xff" * 160] * 2
    assert ann.ear.heard == [bytes(320)] * 2
    bob.say(bob.caller.media(g711.encode(steady(1000), Encoding.ALAW), 1))
    ann.speak(steady(1000))
    hall.tick(2)
    assert abs(ann.listened().max() - 1000) <= 16
    assert abs(bob.listened().max() - 1000) <= 16


def test_audio_messages_are_wrapped_in_what_the_wire_wants(hall: Hall) -> None:
    bob = hall.join(twilio("bob"))
    hall.tick()
    assert bob.ear.envelope == bob.caller.spec.wire.envelope()


def test_the_outbound_track_is_not_mixed_in(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(telnyx("bob"))
    for chunk in range(1, 6):
        message = bob.caller.media(g711.encode(steady(5000), Encoding.ALAW), chunk)
        bob.say(message.replace(b'"inbound"', b'"outbound"'))
        hall.tick()
    assert not ann.listened().any()


def test_nothing_is_ticked_while_nobody_is_there(hall: Hall) -> None:
    hall.tick()
    bob = hall.join(twilio("bob"))
    bob.leave()
    hall.tick()
    assert bob.ear.heard == []


# Without a fade, a cut of this sound is a step of 8,000 to 16,000 from one sample to the next.

LOUDNESS = 8000
HERTZ = 225
STEEPEST = 2 * np.pi * HERTZ / SAMPLE_RATE * LOUDNESS
FADES = LOUDNESS / 40 + LOUDNESS / FRAME_SAMPLES
MULAW_STEP = 512
SMOOTH = STEEPEST + FADES + MULAW_STEP


def roughness(party: Party) -> int:
    """The largest step from one sample to the next that a party has heard."""
    heard = party.listened()
    assert np.abs(heard).max() > 0.9 * LOUDNESS
    return int(np.abs(np.diff(heard)).max())


def test_a_gap_is_faded_out_of_and_into_without_a_click(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(twilio("bob"))
    sound = frames(tone(HERTZ, 1, LOUDNESS))
    for row, samples in enumerate(sound):
        if row not in (20, 21, 22, 30):
            bob.speak(samples)
        hall.clock.advance(0.01)
        hall.exchange.tick(hall.clock.monotonic())
        hall.clock.advance(0.01)
    assert bob.leg.stats()["gaps"] == 2
    assert np.abs(sound[20][0]) > 0.9 * LOUDNESS  # The sound stops and resumes at its peaks.
    assert roughness(ann) <= SMOOTH


def test_a_drop_is_spliced_without_a_click(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(twilio("bob"))
    sound = frames(tone(HERTZ, 1, LOUDNESS))
    for samples in sound[:15]:
        bob.speak(samples)
        hall.clock.advance(0.01)
        hall.exchange.tick(hall.clock.monotonic())
        hall.clock.advance(0.01)
    for samples in sound[15:30]:
        bob.speak(samples)
    hall.tick(10)
    assert bob.leg.stats()["dropped"] == 9
    assert int(sound[15][0]) == -int(sound[24][0])  # What is cut out ends on the opposite peak.
    assert roughness(ann) <= SMOOTH


def test_a_clear_is_faded_out_without_a_click(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    bob.say(bob.caller.media(tone(HERTZ, 2, LOUDNESS).astype("<i2").tobytes()))
    hall.tick(10)
    bob.say(compact({"event": "clear"}))
    hall.tick(10)
    assert roughness(ann) <= SMOOTH
    assert not ann.listened()[-FRAME_SAMPLES:].any()


def test_speaking_on_right_after_a_clear_is_spliced_without_a_click(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    sound = tone(HERTZ, 2, LOUDNESS)
    bob.say(bob.caller.media(sound.astype("<i2").tobytes()))
    hall.tick(10)
    assert int(sound[10 * FRAME_SAMPLES]) == LOUDNESS  # What is taken back would begin at a peak.
    bob.say(compact({"event": "clear"}))
    bob.say(bob.caller.media((-sound).astype("<i2").tobytes()))
    hall.tick(10)
    assert roughness(ann) <= SMOOTH


def test_first_audio_is_reported_once_in_each_direction(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(twilio("bob"))
    list(hall.told())
    hall.tick(3)
    assert list(hall.told()) == []
    for _ in range(5):
        bob.speak(steady(5000))
        hall.tick()
    steps = {(r.call_id, r.event) for r in hall.told() if isinstance(r, LegStep)}
    assert steps == {
        ("call-bob", LadderEvent.FIRST_AUDIO_IN),
        ("call-ann", LadderEvent.FIRST_AUDIO_OUT),
    }
    ann.speak(steady(5000))
    bob.speak(steady(5000))
    hall.tick(3)
    assert [(r.call_id, r.event) for r in hall.told() if isinstance(r, LegStep)] == [
        ("call-ann", LadderEvent.FIRST_AUDIO_IN),
        ("call-bob", LadderEvent.FIRST_AUDIO_OUT),
    ]


def rungs_of_mute(hall: Hall, party: Party, seconds: int) -> int:
    """How often a party is found to send no audio while so many seconds pass."""
    list(hall.told())
    for _ in range(seconds):
        hall.clock.advance(1)
        hall.exchange.look_after(party.leg)
    return sum(isinstance(r, LegStep) and r.event is LadderEvent.NO_AUDIO for r in hall.told())


def test_a_live_phone_without_audio_is_reported_once(hall: Hall) -> None:
    bob, cid, ann = hall.join(twilio("bob")), hall.join(twilio("cid")), hall.join(agent("ann"))
    bob.ear.answers_pings = cid.ear.answers_pings = True
    cid.speak(steady(5000))
    assert rungs_of_mute(hall, bob, round(UNHEARD_SECONDS)) == 0
    assert rungs_of_mute(hall, bob, 100) == 1
    cid.speak(steady(5000))
    assert rungs_of_mute(hall, cid, round(MUTE_SECONDS)) == 0
    assert rungs_of_mute(hall, cid, 100) == 1
    assert rungs_of_mute(hall, ann, 100) == 0


def test_a_phone_that_answers_no_pings_is_given_longer_to_be_heard(hall: Hall) -> None:
    bob = hall.join(telnyx("bob"))
    assert rungs_of_mute(hall, bob, round(MUTE_SECONDS)) == 0
    assert rungs_of_mute(hall, bob, 5) == 1


def test_audio_before_the_start_message_is_a_fault_and_is_not_heard(hall: Hall) -> None:
    bob = hall.adopt(twilio("bob"))
    bob.speak(steady(5000))
    assert bob.leg.stats()["malformed"] == 1
    assert list(hall.told()) == []


def test_stats_count_what_a_leg_has_been_through(hall: Hall) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(telnyx("bob"))
    for chunk in (1, 2, 2, 4, 5):
        early = 0.002 * (chunk % 2)
        hall.clock.advance(0.01 - early)
        bob.say(bob.caller.media(b"\xd5" * 160, chunk))
        hall.clock.advance(0.01 + early)
        hall.exchange.tick(hall.clock.monotonic())
    hall.tick(3)
    for chunk in range(6, 15):
        bob.say(bob.caller.media(b"\xd5" * 160, chunk))
    bob.say(b"{")
    bob.say(compact({"event": "dance"}))
    bob.ear.dropped = 7
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
def test_a_phone_whose_chunks_do_not_go_on_is_heard_again_at_once(hall: Hall, again: int) -> None:
    ann, bob = hall.join(agent("ann")), hall.join(telnyx("bob"))
    for number in range(1, 151):
        late = number - 100
        chunk = number if late <= 0 else again + late * (again < 100)
        samples = steady(8000 + 8000 * (number % 2))
        bob.say(bob.caller.media(g711.encode(samples, Encoding.ALAW), chunk))
        hall.tick()
    heard = ann.listened()[-FRAME_SAMPLES * 30 :: FRAME_SAMPLES]
    assert (heard > 5000).all()
    assert bob.leg.stats()["renumbered"] == (1 if again == 1 else 2)


def test_frames_that_are_too_loud_together_are_counted_for_who_hears_them(hall: Hall) -> None:
    ann, bob, cid = (hall.join(agent(name)) for name in ("ann", "bob", "cid"))
    for value in (20_000, 20_000, 10_000):
        for party in (ann, bob):
            party.speak(steady(value))
    hall.tick(5)
    # The first frame is faded in, and the last once more, out.
    assert [party.leg.stats()["clipped"] for party in (ann, bob, cid)] == [0, 0, 2]


def test_stats_of_a_leg_that_has_not_started_are_zero(hall: Hall) -> None:
    assert set(hall.adopt(twilio("bob")).leg.stats().values()) == {0}


def test_no_secret_is_logged(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        bob = hall.join(twilio("bob"))
        bob.say(b'{"event":"media","media":{"payload":"not base64 ref-bob"}}')
        bob.leave()
    told = "".join(str(vars(record)) for record in caplog.records)
    assert ROOM in told
    assert "ref-bob" not in told
    assert "ref-bob" not in repr(bob.caller.spec)
