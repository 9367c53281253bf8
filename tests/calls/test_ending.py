"""References are claimed once, reports recorded in order, and deadlines kept."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from websockets.frames import Frame, Opcode

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, Participant
from service.domain.connectors import Connector
from service.errors import Busy, Gone, NotFound
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegClosed, LegStarted, LegStep
from service.storage.calls.calls import Used
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, events, ref_of
from tests.support.races import at_once
from tests.support.records import a_connector

ANN = Participant("ann", "Ann", {"a": 1})

CLOSE = b"\x88"
"""The first byte of a close frame (RFC 6455, section 5.2)."""

UP = "in-progress"
"""What a provider says of a call that it has answered."""


@pytest.fixture
def harness(sqlite_database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(sqlite_database, clock, max_calls=3) as harness:
        yield harness


@pytest.fixture
def each_harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    """A harness on each kind of database."""
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def connector(harness: Harness) -> Connector:
    return harness.connect(a_connector())


def closed(call_id: str, leg_id: str, reason: EndReason | None, at: int = 5_000) -> LegClosed:
    return LegClosed(call_id, leg_id, reason, "a reason in words", {"framesIn": 7}, at)


def test_a_claimed_reference_gives_the_leg_what_it_needs(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    spec = harness.admission.claim("twilio", ref)
    call = harness.call(connector)
    assert (spec.call_id, spec.room_id) == (call.id, "abcd-efgh-ijkl")
    assert spec.ref == ref
    assert ref not in repr(spec)
    assert events(call)[-1] is LadderEvent.SOCKET


def test_a_reference_opens_one_socket_however_many_ask_at_once(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    outcomes = at_once(8, lambda _: harness.admission.claim("twilio", ref))
    assert sum(isinstance(outcome, LegSpec) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Used) for outcome in outcomes) == 7


def test_an_unknown_reference_is_not_found(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    for provider, wrong in (("twilio", "x" * 32), ("plivo", ref), ("websocket", ref)):
        with pytest.raises(NotFound):
            harness.admission.claim(provider, wrong)


def test_a_reference_expires_after_ninety_seconds(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.clock.advance(90)
    with pytest.raises(Gone, match="expired"):
        harness.admission.claim("twilio", ref)


def test_a_used_reference_is_refused_while_its_socket_is_up(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    here, there = socket.socketpair()
    with there:
        harness.engine.adopt(here, harness.admission.claim("twilio", ref))
        with pytest.raises(Used):
            harness.admission.claim("twilio", ref)


def test_a_used_reference_may_be_dialled_again_once_its_socket_is_gone(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    first = harness.admission.claim("twilio", ref)
    harness.recorder.record(LegStarted(first.call_id, first.leg_id, "s1", harness.clock.now()))
    harness.recorder.record(closed(first.call_id, first.leg_id, None))

    again = harness.admission.claim("twilio", ref)

    assert again.call_id == first.call_id
    assert again.leg_id != first.leg_id
    assert again.session_id == "s1"


def test_a_used_reference_may_be_dialled_again_before_its_loss_is_written_down(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.start(ref)
    assert harness.admission.claim("twilio", ref).call_id == harness.call(connector).id


def test_the_reference_of_a_call_that_is_over_is_gone(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.ending.end(harness.call(connector).id)
    with pytest.raises(Gone):
        harness.admission.claim("twilio", ref)


def test_an_invitation_is_claimed_once_and_never_again(harness: Harness) -> None:
    call, ref = harness.admission.invite("room-1", ANN, "us002")
    assert ref.startswith("vs_")
    spec = harness.admission.claim("websocket", ref)
    assert (spec.call_id, spec.room_id, spec.participant) == (call.id, "room-1", ANN)
    assert spec.provider_call_id is None
    with pytest.raises(Gone):
        harness.admission.claim("websocket", ref)


def test_invitations_count_towards_the_limit(harness: Harness, connector: Connector) -> None:
    for _ in range(3):
        harness.admission.invite("room-1", ANN, None)
    with pytest.raises(Busy):
        harness.admission.invite("room-1", ANN, None)
    assert harness.webhook(connector)[0].get("reason") == "busy"


def test_nobody_is_invited_while_draining(harness: Harness) -> None:
    harness.drain.begin()
    with pytest.raises(Busy):
        harness.admission.invite("room-1", ANN, None)


def test_a_good_call_climbs_the_ladder_in_order(harness: Harness, connector: Connector) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    names = (spec.call_id, spec.leg_id)
    harness.recorder.record(LegStarted(*names, "s1", 2_000))
    harness.recorder.record(LegStep(*names, LadderEvent.FIRST_AUDIO_IN, 2_020))
    harness.recorder.record(LegStep(*names, LadderEvent.FIRST_AUDIO_OUT, 2_040))
    harness.recorder.record(LegStep(*names, LadderEvent.OVERRUN, 2_060, "too fast"))
    harness.recorder.record(closed(*names, EndReason.CALLER_HUNG_UP))

    call = harness.call(connector)
    assert events(call) == [
        LadderEvent.WEBHOOK,
        LadderEvent.MARKUP,
        LadderEvent.SOCKET,
        LadderEvent.START,
        LadderEvent.FIRST_AUDIO_IN,
        LadderEvent.FIRST_AUDIO_OUT,
        LadderEvent.OVERRUN,
        LadderEvent.END,
    ]
    assert call.steps[-2].detail == "too fast"
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert (call.session_id, call.answered_at, call.ended_at) == ("s1", 2_000, 5_000)
    assert call.stats == {"framesIn": 7}
    assert call.steps[-1].detail == "a reason in words"


def test_a_lost_socket_leaves_the_call_up_for_fifteen_seconds(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now()))
    harness.recorder.record(closed(spec.call_id, spec.leg_id, None, harness.clock.now()))
    harness.clock.advance(14.9)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ANSWERED
    harness.clock.advance(0.1)
    harness.deadlines.sweep()
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.CONNECTION_LOST)
    assert events(call)[-2:] == [LadderEvent.SOCKET_LOST, LadderEvent.END]


@pytest.mark.parametrize("reason", [None, EndReason.PROTOCOL_ERROR, EndReason.CALLER_HUNG_UP])
@pytest.mark.parametrize("told", [True, False], ids=["its loss is told", "nothing is told"])
def test_a_second_socket_that_never_starts_leaves_the_call_to_the_first(
    each_harness: Harness, told: bool, reason: EndReason | None
) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    second = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    if told:
        harness.recorder.record(closed(second.call_id, second.leg_id, reason, harness.clock.now()))

    harness.clock.advance(60)
    harness.deadlines.sweep()
    harness.recorder.record(
        LegStep(second.call_id, first, LadderEvent.FIRST_AUDIO_IN, harness.clock.now())
    )

    call = harness.call(connector)
    assert (call.status, call.leg_id, call.detached_at) == (CallStatus.ANSWERED, first, None)
    assert events(call)[-1] is LadderEvent.FIRST_AUDIO_IN
    harness.recorder.record(closed(call.id, first, EndReason.CALLER_HUNG_UP))
    ended = harness.call(connector)
    assert (ended.status, ended.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert ended.stats == {"framesIn": 7}


@pytest.mark.parametrize("reason", [None, EndReason.REPLACED], ids=["lost first", "replaced"])
def test_a_second_socket_that_starts_takes_the_call_over(
    each_harness: Harness, reason: EndReason | None
) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    second = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    call_id = second.call_id
    reports = [
        LegStarted(call_id, second.leg_id, "s1", harness.clock.now()),
        closed(call_id, first, reason, harness.clock.now()),
    ]
    for report in reports if reason else reversed(reports):
        harness.recorder.record(report)

    harness.clock.advance(60)
    harness.deadlines.sweep()
    call = harness.call(connector)
    assert (call.status, call.leg_id) == (CallStatus.ANSWERED, second.leg_id)
    assert call.detached_at is None
    harness.recorder.record(closed(call_id, first, EndReason.CALLER_HUNG_UP))
    assert harness.call(connector) == call
    harness.recorder.record(closed(call_id, second.leg_id, EndReason.CALLER_HUNG_UP))
    assert harness.call(connector).status is CallStatus.ENDED


@pytest.mark.parametrize("told", [True, False], ids=["its loss is told", "nothing is told"])
def test_a_socket_that_never_starts_keeps_no_lost_call_alive(
    each_harness: Harness, told: bool
) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(harness.call(connector).id, first, None, harness.clock.now()))
    harness.clock.advance(14)
    second = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    if told:
        harness.recorder.record(closed(second.call_id, second.leg_id, None, harness.clock.now()))
    harness.clock.advance(14)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ANSWERED
    harness.clock.advance(1)
    harness.deadlines.sweep()
    assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_a_reference_of_a_lost_call_holds_for_as_long_as_it_says(each_harness: Harness) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    call_id = harness.call(connector).id
    harness.recorder.record(closed(call_id, first, None, harness.clock.now()))
    harness.clock.advance(13)
    ref = ref_of(harness.webhook(connector, CallStatus=UP))
    harness.clock.advance(89.9)
    harness.deadlines.sweep()
    spec = harness.admission.claim("twilio", ref)
    harness.recorder.record(LegStarted(call_id, spec.leg_id, "s1", harness.clock.now()))
    harness.clock.advance(60)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ANSWERED


def test_a_reference_and_its_lost_call_end_together(each_harness: Harness) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(harness.call(connector).id, first, None, harness.clock.now()))
    ref = ref_of(harness.webhook(connector, CallStatus=UP))
    harness.clock.advance(90)
    harness.deadlines.sweep()
    assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST
    with pytest.raises(Gone):
        harness.admission.claim("twilio", ref)


def test_a_call_that_asks_between_the_look_and_the_end_goes_on(each_harness: Harness) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(harness.call(connector).id, first, None, harness.clock.now()))
    harness.clock.advance(15)
    found = harness.call(connector)
    harness.webhook(connector, CallStatus=UP)
    over = partial(_is_as_found, found)
    harness.ending.hang_up(found, EndReason.CONNECTION_LOST, None, over)
    assert harness.call(connector).status is CallStatus.ANSWERED


def _is_as_found(found: Call, call: Call) -> bool:
    return call == found


def test_an_ending_process_leaves_the_deadlines_to_the_next(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    harness.deadlines.begin()
    harness.webhook(connector, CallSid="CA2")
    harness.drain.begin()
    harness.clock.advance(20_000)
    harness.deadlines.sweep()
    assert {call.status for call in harness.calls.page().items} == {
        CallStatus.ANSWERED,
        CallStatus.INCOMING,
    }


def connected(harness: Harness) -> tuple[LegSpec, socket.socket]:
    """A call that is answered, with the other end of its socket."""
    ref = ref_of(harness.webhook(harness.connect(a_connector())))
    spec = harness.admission.claim("twilio", ref)
    here, there = socket.socketpair()
    there.settimeout(30)
    harness.engine.adopt(here, spec)
    start = {"callSid": spec.provider_call_id, "customParameters": {"ref": ref}}
    start["mediaFormat"] = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    text = json.dumps({"event": "start", "streamSid": "MZ1", "start": start}).encode()
    there.send(Frame(Opcode.TEXT, text).serialize(mask=True))
    harness.recorder.record(harness.engine.reports.get(timeout=30))
    return spec, there


def test_a_process_takes_back_the_calls_whose_sockets_it_has(
    each_harness: Harness, clock: FakeClock, database: Database
) -> None:
    harness = each_harness
    spec, there = connected(harness)
    with there, a_harness(database, clock) as other:
        other.deadlines.begin()
        assert harness.calls.get(spec.call_id).detached_at is not None
        for _ in range(20):
            harness.clock.advance(1)
            harness.deadlines.sweep()
            other.deadlines.sweep()
        call = harness.calls.get(spec.call_id)
        assert (call.status, call.detached_at) == (CallStatus.ANSWERED, None)


@pytest.mark.parametrize("by", ["a new reference", "the used reference"])
def test_a_call_goes_on_after_its_process_was_killed(each_harness: Harness, by: str) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    ref = ref_of(harness.webhook(connector))
    harness.start(ref)
    harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    harness.deadlines.begin()
    if by == "a new reference":
        ref = ref_of(harness.webhook(connector, CallStatus=UP))
    harness.clock.advance(14)
    spec = harness.admission.claim("twilio", ref)
    harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now()))
    harness.clock.advance(60)
    harness.deadlines.sweep()
    call = harness.call(connector)
    assert (call.status, call.leg_id) == (CallStatus.ANSWERED, spec.leg_id)
    assert events(call).count(LadderEvent.SOCKET_LOST) == 1


def test_without_reattach_a_lost_socket_ends_the_call(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock, reattach=False) as harness:
        connector = harness.connect(a_connector())
        leg_id = harness.start(ref_of(harness.webhook(connector)))
        harness.recorder.record(closed(harness.call(connector).id, leg_id, None))
        assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_a_custom_socket_that_is_lost_ends_its_session(harness: Harness) -> None:
    call, ref = harness.admission.invite("room-1", ANN, None)
    leg_id = harness.start(ref, "websocket")
    harness.recorder.record(closed(call.id, leg_id, None))
    ended = harness.calls.get(call.id)
    assert (ended.status, ended.end_reason) == (CallStatus.ENDED, EndReason.CONNECTION_LOST)


def test_a_broken_protocol_before_the_start_fails_the_call(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(spec.call_id, spec.leg_id, EndReason.PROTOCOL_ERROR))
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROTOCOL_ERROR)


def test_a_caller_who_hangs_up_before_the_start_abandons_the_call(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(spec.call_id, spec.leg_id, EndReason.CALLER_HUNG_UP))
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.CALLER_HUNG_UP)


def test_a_call_that_was_answered_after_it_was_read_is_not_abandoned(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    waiting = harness.call(connector)
    harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now()))
    harness.ending.hang_up(waiting, EndReason.CALLER_HUNG_UP, None)
    assert harness.call(connector).status is CallStatus.ENDED


def test_a_call_without_a_socket_is_abandoned_after_ninety_seconds(
    harness: Harness, connector: Connector
) -> None:
    harness.webhook(connector)
    harness.clock.advance(89.9)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.INCOMING
    harness.clock.advance(0.1)
    harness.deadlines.sweep()
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.NO_SOCKET)


def test_a_claimed_call_that_never_starts_is_abandoned(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.clock.advance(89)
    harness.admission.claim("twilio", ref)
    harness.clock.advance(14)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.INCOMING
    harness.clock.advance(1)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ABANDONED


def test_a_call_ends_at_its_maximum_duration(sqlite_database: Database, clock: FakeClock) -> None:
    with a_harness(sqlite_database, clock, max_call_seconds=60) as harness:
        connector = harness.connect(a_connector())
        harness.start(ref_of(harness.webhook(connector)))
        harness.clock.advance(59.9)
        harness.deadlines.sweep()
        assert harness.call(connector).status is CallStatus.ANSWERED
        harness.clock.advance(0.1)
        harness.deadlines.sweep()
        call = harness.call(connector)
        assert call.end_reason is EndReason.MAX_DURATION
        assert (call.steps[-1].event, call.steps[-1].detail) == (LadderEvent.END, "max-duration")


@pytest.mark.parametrize(
    "notice",
    [
        lambda harness, call_id: harness.deadlines.sweep(),
        lambda harness, call_id: harness.ending.end(call_id),
    ],
    ids=["each second", "where somebody ends it again"],
)
def test_a_socket_whose_call_is_over_in_the_database_is_closed(
    each_harness: Harness, notice: Callable[[Harness, str], object]
) -> None:
    spec, there = connected(each_harness)
    with there:
        # What another process writes is not told to this one's engine.
        ended = (EndReason.CONNECTION_LOST, 3_000)
        assert each_harness.calls.end(spec.call_id, *ended)
        notice(each_harness, spec.call_id)
        received = b""
        while CLOSE not in received:
            received += there.recv(1_000)
    assert each_harness.calls.get(spec.call_id).end_reason is EndReason.CONNECTION_LOST


def test_one_call_that_cannot_be_ended_stops_no_other(
    harness: Harness, connector: Connector
) -> None:
    for number in range(3):
        harness.webhook(connector, CallSid=f"CA{number}")
    first = harness.calls.page().items[-1]
    with harness.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stubborn BEFORE UPDATE ON calls "
            f"WHEN new.id = '{first.id}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    harness.clock.advance(600)
    harness.deadlines.sweep()
    with harness.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER stubborn")
    ended = {call.id for call in harness.calls.page().items if call.status.is_end}
    assert len(ended) == 2
    assert first.id not in ended


def test_ending_a_call_twice_changes_nothing_the_second_time(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    first = harness.ending.end(harness.call(connector).id)
    assert (first.status, first.end_reason) == (CallStatus.ENDED, EndReason.ENDED_BY_API)
    harness.clock.advance(5)
    assert harness.ending.end(first.id) == first
    with pytest.raises(NotFound):
        harness.ending.end("no-such-call")


def test_reports_that_come_after_the_end_only_add_statistics(
    harness: Harness, connector: Connector
) -> None:
    leg_id = harness.start(ref_of(harness.webhook(connector)))
    ended = harness.ending.end(harness.call(connector).id)
    harness.recorder.record(LegStep(ended.id, leg_id, LadderEvent.FIRST_AUDIO_IN, 9_000))
    harness.recorder.record(closed(ended.id, leg_id, EndReason.CALLER_HUNG_UP))
    after = harness.call(connector)
    assert after.steps == ended.steps
    assert after.end_reason is EndReason.ENDED_BY_API
    assert after.stats == {"framesIn": 7}


def test_a_restart_takes_the_sockets_and_leaves_the_calls(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    harness.deadlines.begin()
    call = harness.call(connector)
    assert call.status is CallStatus.ANSWERED
    assert call.detached_at == harness.clock.now()


def test_a_socket_hears_of_an_end_once_that_is_committed_and_never_of_one_that_is_undone(
    each_harness: Harness,
) -> None:
    engine = each_harness.engine
    ref = ref_of(each_harness.webhook(each_harness.connect(a_connector())))
    here, there = socket.socketpair()

    def end(*, undone: bool) -> None:
        with each_harness.database.together():
            each_harness.ending.hang_up(
                each_harness.calls.get(spec.call_id), EndReason.REMOVED, None
            )
            assert spec.call_id in engine.stats([spec.call_id])
            if undone:
                raise ZeroDivisionError

    with there:
        spec = each_harness.admission.claim("twilio", ref)
        engine.adopt(here, spec)
        with pytest.raises(ZeroDivisionError):
            end(undone=True)
        assert spec.call_id in engine.stats([spec.call_id])
        assert each_harness.calls.get(spec.call_id).status is CallStatus.INCOMING
        end(undone=False)
        there.settimeout(30)
        assert CLOSE in iter(partial(there.recv, 1), b"")


def test_whoever_waits_for_an_answer_is_woken_once_it_is_committed(each_harness: Harness) -> None:
    ref = ref_of(each_harness.webhook(each_harness.connect(a_connector())))
    spec = each_harness.admission.claim("twilio", ref)
    with each_harness.waiters.slot(spec.call_id) as answered:
        assert answered is not None
        with each_harness.database.together():
            each_harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
            assert not answered.is_set()
        assert answered.is_set()
