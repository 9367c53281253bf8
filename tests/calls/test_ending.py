"""The switchboard: references are claimed once, reports recorded in order, deadlines kept."""

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
from tests.support.races import at_once
from tests.support.records import a_connector
from tests.support.switchboards import Desk, a_desk, events, ref_of

ANN = Participant("ann", "Ann", {"a": 1})

CLOSE = b"\x88"
"""The first byte of a close frame (RFC 6455, section 5.2)."""

UP = "in-progress"
"""What a provider says of a call that it has answered."""


@pytest.fixture
def desk(sqlite_database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(sqlite_database, clock, max_calls=3) as desk:
        yield desk


@pytest.fixture
def each_desk(database: Database, clock: FakeClock) -> Iterator[Desk]:
    """A desk on each kind of database."""
    with a_desk(database, clock) as desk:
        yield desk


@pytest.fixture
def connector(desk: Desk) -> Connector:
    return desk.connect(a_connector())


def closed(call_id: str, leg_id: str, reason: EndReason | None, at: int = 5_000) -> LegClosed:
    return LegClosed(call_id, leg_id, reason, "a reason in words", {"framesIn": 7}, at)


def test_a_claimed_reference_gives_the_leg_what_it_needs(desk: Desk, connector: Connector) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    spec = desk.switchboard.claim("twilio", ref)
    call = desk.call(connector)
    assert (spec.call_id, spec.room_id) == (call.id, "abcd-efgh-ijkl")
    assert spec.ref == ref
    assert ref not in repr(spec)
    assert events(call)[-1] is LadderEvent.SOCKET


def test_a_reference_opens_one_socket_however_many_ask_at_once(
    desk: Desk, connector: Connector
) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    outcomes = at_once(8, lambda _: desk.switchboard.claim("twilio", ref))
    assert sum(isinstance(outcome, LegSpec) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Used) for outcome in outcomes) == 7


def test_an_unknown_reference_is_not_found(desk: Desk, connector: Connector) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    for provider, wrong in (("twilio", "x" * 32), ("plivo", ref), ("websocket", ref)):
        with pytest.raises(NotFound):
            desk.switchboard.claim(provider, wrong)


def test_a_reference_expires_after_ninety_seconds(desk: Desk, connector: Connector) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    desk.clock.advance(90)
    with pytest.raises(Gone, match="expired"):
        desk.switchboard.claim("twilio", ref)


def test_a_used_reference_is_refused_while_its_socket_is_up(
    desk: Desk, connector: Connector
) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    here, there = socket.socketpair()
    with there:
        desk.engine.adopt(here, desk.switchboard.claim("twilio", ref))
        with pytest.raises(Used):
            desk.switchboard.claim("twilio", ref)


def test_a_used_reference_may_be_dialled_again_once_its_socket_is_gone(
    desk: Desk, connector: Connector
) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    first = desk.switchboard.claim("twilio", ref)
    desk.switchboard.record(LegStarted(first.call_id, first.leg_id, "s1", desk.clock.now()))
    desk.switchboard.record(closed(first.call_id, first.leg_id, None))

    again = desk.switchboard.claim("twilio", ref)

    assert again.call_id == first.call_id
    assert again.leg_id != first.leg_id
    assert again.session_id == "s1"


def test_a_used_reference_may_be_dialled_again_before_its_loss_is_written_down(
    desk: Desk, connector: Connector
) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    desk.start(ref)
    assert desk.switchboard.claim("twilio", ref).call_id == desk.call(connector).id


def test_the_reference_of_a_call_that_is_over_is_gone(desk: Desk, connector: Connector) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    desk.switchboard.end(desk.call(connector).id)
    with pytest.raises(Gone):
        desk.switchboard.claim("twilio", ref)


def test_an_invitation_is_claimed_once_and_never_again(desk: Desk) -> None:
    call, ref = desk.switchboard.invite("room-1", ANN, "us002")
    assert ref.startswith("vs_")
    spec = desk.switchboard.claim("websocket", ref)
    assert (spec.call_id, spec.room_id, spec.participant) == (call.id, "room-1", ANN)
    assert spec.provider_call_id is None
    with pytest.raises(Gone):
        desk.switchboard.claim("websocket", ref)


def test_invitations_count_towards_the_limit(desk: Desk, connector: Connector) -> None:
    for _ in range(3):
        desk.switchboard.invite("room-1", ANN, None)
    with pytest.raises(Busy):
        desk.switchboard.invite("room-1", ANN, None)
    assert desk.notify_after_commit(connector)[0].get("reason") == "busy"


def test_nobody_is_invited_while_draining(desk: Desk) -> None:
    desk.switchboard.handover.begin()
    with pytest.raises(Busy):
        desk.switchboard.invite("room-1", ANN, None)


def test_a_good_call_climbs_the_ladder_in_order(desk: Desk, connector: Connector) -> None:
    spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector)))
    names = (spec.call_id, spec.leg_id)
    desk.switchboard.record(LegStarted(*names, "s1", 2_000))
    desk.switchboard.record(LegStep(*names, LadderEvent.FIRST_AUDIO_IN, 2_020))
    desk.switchboard.record(LegStep(*names, LadderEvent.FIRST_AUDIO_OUT, 2_040))
    desk.switchboard.record(LegStep(*names, LadderEvent.OVERRUN, 2_060, "too fast"))
    desk.switchboard.record(closed(*names, EndReason.CALLER_HUNG_UP))

    call = desk.call(connector)
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
    desk: Desk, connector: Connector
) -> None:
    spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(LegStarted(spec.call_id, spec.leg_id, "s1", desk.clock.now()))
    desk.switchboard.record(closed(spec.call_id, spec.leg_id, None, desk.clock.now()))
    desk.clock.advance(14.9)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.ANSWERED
    desk.clock.advance(0.1)
    desk.switchboard.sweep()
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.CONNECTION_LOST)
    assert events(call)[-2:] == [LadderEvent.SOCKET_LOST, LadderEvent.END]


@pytest.mark.parametrize("reason", [None, EndReason.PROTOCOL_ERROR, EndReason.CALLER_HUNG_UP])
@pytest.mark.parametrize("told", [True, False], ids=["its loss is told", "nothing is told"])
def test_a_second_socket_that_never_starts_leaves_the_call_to_the_first(
    each_desk: Desk, told: bool, reason: EndReason | None
) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    second = desk.switchboard.claim(
        "twilio", ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    )
    if told:
        desk.switchboard.record(closed(second.call_id, second.leg_id, reason, desk.clock.now()))

    desk.clock.advance(60)
    desk.switchboard.sweep()
    desk.switchboard.record(
        LegStep(second.call_id, first, LadderEvent.FIRST_AUDIO_IN, desk.clock.now())
    )

    call = desk.call(connector)
    assert (call.status, call.leg_id, call.detached_at) == (CallStatus.ANSWERED, first, None)
    assert events(call)[-1] is LadderEvent.FIRST_AUDIO_IN
    desk.switchboard.record(closed(call.id, first, EndReason.CALLER_HUNG_UP))
    ended = desk.call(connector)
    assert (ended.status, ended.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert ended.stats == {"framesIn": 7}


@pytest.mark.parametrize("reason", [None, EndReason.REPLACED], ids=["lost first", "replaced"])
def test_a_second_socket_that_starts_takes_the_call_over(
    each_desk: Desk, reason: EndReason | None
) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    second = desk.switchboard.claim(
        "twilio", ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    )
    call_id = second.call_id
    reports = [
        LegStarted(call_id, second.leg_id, "s1", desk.clock.now()),
        closed(call_id, first, reason, desk.clock.now()),
    ]
    for report in reports if reason else reversed(reports):
        desk.switchboard.record(report)

    desk.clock.advance(60)
    desk.switchboard.sweep()
    call = desk.call(connector)
    assert (call.status, call.leg_id) == (CallStatus.ANSWERED, second.leg_id)
    assert call.detached_at is None
    desk.switchboard.record(closed(call_id, first, EndReason.CALLER_HUNG_UP))
    assert desk.call(connector) == call
    desk.switchboard.record(closed(call_id, second.leg_id, EndReason.CALLER_HUNG_UP))
    assert desk.call(connector).status is CallStatus.ENDED


@pytest.mark.parametrize("told", [True, False], ids=["its loss is told", "nothing is told"])
def test_a_socket_that_never_starts_keeps_no_lost_call_alive(each_desk: Desk, told: bool) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(closed(desk.call(connector).id, first, None, desk.clock.now()))
    desk.clock.advance(14)
    second = desk.switchboard.claim(
        "twilio", ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    )
    if told:
        desk.switchboard.record(closed(second.call_id, second.leg_id, None, desk.clock.now()))
    desk.clock.advance(14)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.ANSWERED
    desk.clock.advance(1)
    desk.switchboard.sweep()
    assert desk.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_a_reference_of_a_lost_call_holds_for_as_long_as_it_says(each_desk: Desk) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    call_id = desk.call(connector).id
    desk.switchboard.record(closed(call_id, first, None, desk.clock.now()))
    desk.clock.advance(13)
    ref = ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    desk.clock.advance(89.9)
    desk.switchboard.sweep()
    spec = desk.switchboard.claim("twilio", ref)
    desk.switchboard.record(LegStarted(call_id, spec.leg_id, "s1", desk.clock.now()))
    desk.clock.advance(60)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.ANSWERED


def test_a_reference_and_its_lost_call_end_together(each_desk: Desk) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(closed(desk.call(connector).id, first, None, desk.clock.now()))
    ref = ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    desk.clock.advance(90)
    desk.switchboard.sweep()
    assert desk.call(connector).end_reason is EndReason.CONNECTION_LOST
    with pytest.raises(Gone):
        desk.switchboard.claim("twilio", ref)


def test_a_call_that_asks_between_the_look_and_the_end_goes_on(each_desk: Desk) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    first = desk.start(ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(closed(desk.call(connector).id, first, None, desk.clock.now()))
    desk.clock.advance(15)
    found = desk.call(connector)
    desk.notify_after_commit(connector, CallStatus=UP)
    over = partial(_is_as_found, found)
    desk.switchboard.hang_up(found, EndReason.CONNECTION_LOST, None, over)
    assert desk.call(connector).status is CallStatus.ANSWERED


def _is_as_found(found: Call, call: Call) -> bool:
    return call == found


def test_an_ending_process_leaves_the_deadlines_to_the_next(
    desk: Desk, connector: Connector
) -> None:
    desk.start(ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.take_over()
    desk.notify_after_commit(connector, CallSid="CA2")
    desk.switchboard.handover.begin()
    desk.clock.advance(20_000)
    desk.switchboard.sweep()
    assert {call.status for call in desk.calls.page().items} == {
        CallStatus.ANSWERED,
        CallStatus.INCOMING,
    }


def connected(desk: Desk) -> tuple[LegSpec, socket.socket]:
    """A call that is answered, with the other end of its socket."""
    ref = ref_of(desk.notify_after_commit(desk.connect(a_connector())))
    spec = desk.switchboard.claim("twilio", ref)
    here, there = socket.socketpair()
    there.settimeout(30)
    desk.engine.adopt(here, spec)
    start = {"callSid": spec.provider_call_id, "customParameters": {"ref": ref}}
    start["mediaFormat"] = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    text = json.dumps({"event": "start", "streamSid": "MZ1", "start": start}).encode()
    there.send(Frame(Opcode.TEXT, text).serialize(mask=True))
    desk.switchboard.record(desk.engine.reports.get(timeout=30))
    return spec, there


def test_a_process_takes_back_the_calls_whose_sockets_it_has(
    each_desk: Desk, clock: FakeClock, database: Database
) -> None:
    desk = each_desk
    spec, there = connected(desk)
    with there, a_desk(database, clock) as other:
        other.switchboard.take_over()
        assert desk.calls.get(spec.call_id).detached_at is not None
        for _ in range(20):
            desk.clock.advance(1)
            desk.switchboard.sweep()
            other.switchboard.sweep()
        call = desk.calls.get(spec.call_id)
        assert (call.status, call.detached_at) == (CallStatus.ANSWERED, None)


@pytest.mark.parametrize("by", ["a new reference", "the used reference"])
def test_a_call_goes_on_after_its_process_was_killed(each_desk: Desk, by: str) -> None:
    desk, connector = each_desk, each_desk.connect(a_connector())
    ref = ref_of(desk.notify_after_commit(connector))
    desk.start(ref)
    desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector, CallStatus=UP)))
    desk.switchboard.take_over()
    if by == "a new reference":
        ref = ref_of(desk.notify_after_commit(connector, CallStatus=UP))
    desk.clock.advance(14)
    spec = desk.switchboard.claim("twilio", ref)
    desk.switchboard.record(LegStarted(spec.call_id, spec.leg_id, "s1", desk.clock.now()))
    desk.clock.advance(60)
    desk.switchboard.sweep()
    call = desk.call(connector)
    assert (call.status, call.leg_id) == (CallStatus.ANSWERED, spec.leg_id)
    assert events(call).count(LadderEvent.SOCKET_LOST) == 1


def test_without_reattach_a_lost_socket_ends_the_call(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_desk(sqlite_database, clock, reattach=False) as desk:
        connector = desk.connect(a_connector())
        leg_id = desk.start(ref_of(desk.notify_after_commit(connector)))
        desk.switchboard.record(closed(desk.call(connector).id, leg_id, None))
        assert desk.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_a_custom_socket_that_is_lost_ends_its_session(desk: Desk) -> None:
    call, ref = desk.switchboard.invite("room-1", ANN, None)
    leg_id = desk.start(ref, "websocket")
    desk.switchboard.record(closed(call.id, leg_id, None))
    ended = desk.calls.get(call.id)
    assert (ended.status, ended.end_reason) == (CallStatus.ENDED, EndReason.CONNECTION_LOST)


def test_a_broken_protocol_before_the_start_fails_the_call(
    desk: Desk, connector: Connector
) -> None:
    spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(closed(spec.call_id, spec.leg_id, EndReason.PROTOCOL_ERROR))
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROTOCOL_ERROR)


def test_a_caller_who_hangs_up_before_the_start_abandons_the_call(
    desk: Desk, connector: Connector
) -> None:
    spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.record(closed(spec.call_id, spec.leg_id, EndReason.CALLER_HUNG_UP))
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.CALLER_HUNG_UP)


def test_a_call_without_a_socket_is_abandoned_after_ninety_seconds(
    desk: Desk, connector: Connector
) -> None:
    desk.notify_after_commit(connector)
    desk.clock.advance(89.9)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.INCOMING
    desk.clock.advance(0.1)
    desk.switchboard.sweep()
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.NO_SOCKET)


def test_a_claimed_call_that_never_starts_is_abandoned(desk: Desk, connector: Connector) -> None:
    ref = ref_of(desk.notify_after_commit(connector))
    desk.clock.advance(89)
    desk.switchboard.claim("twilio", ref)
    desk.clock.advance(14)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.INCOMING
    desk.clock.advance(1)
    desk.switchboard.sweep()
    assert desk.call(connector).status is CallStatus.ABANDONED


def test_a_call_ends_at_its_maximum_duration(sqlite_database: Database, clock: FakeClock) -> None:
    with a_desk(sqlite_database, clock, max_call_seconds=60) as desk:
        connector = desk.connect(a_connector())
        desk.start(ref_of(desk.notify_after_commit(connector)))
        desk.clock.advance(59.9)
        desk.switchboard.sweep()
        assert desk.call(connector).status is CallStatus.ANSWERED
        desk.clock.advance(0.1)
        desk.switchboard.sweep()
        call = desk.call(connector)
        assert call.end_reason is EndReason.MAX_DURATION
        assert (call.steps[-1].event, call.steps[-1].detail) == (LadderEvent.END, "max-duration")


@pytest.mark.parametrize(
    "notice",
    [
        lambda desk, call_id: desk.switchboard.sweep(),
        lambda desk, call_id: desk.switchboard.end(call_id),
    ],
    ids=["each second", "where somebody ends it again"],
)
def test_a_socket_whose_call_is_over_in_the_database_is_closed(
    each_desk: Desk, notice: Callable[[Desk, str], object]
) -> None:
    spec, there = connected(each_desk)
    with there:
        # What another process writes is not told to this one's engine.
        ended = (EndReason.CONNECTION_LOST, 3_000)
        assert each_desk.calls.end(spec.call_id, *ended)
        notice(each_desk, spec.call_id)
        received = b""
        while CLOSE not in received:
            received += there.recv(1_000)
    assert each_desk.calls.get(spec.call_id).end_reason is EndReason.CONNECTION_LOST


def test_one_call_that_cannot_be_ended_stops_no_other(desk: Desk, connector: Connector) -> None:
    for number in range(3):
        desk.notify_after_commit(connector, CallSid=f"CA{number}")
    first = desk.calls.page().items[-1]
    with desk.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stubborn BEFORE UPDATE ON calls "
            f"WHEN new.id = '{first.id}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    desk.clock.advance(600)
    desk.switchboard.sweep()
    with desk.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER stubborn")
    ended = {call.id for call in desk.calls.page().items if call.status.is_end}
    assert len(ended) == 2
    assert first.id not in ended


def test_ending_a_call_twice_changes_nothing_the_second_time(
    desk: Desk, connector: Connector
) -> None:
    desk.start(ref_of(desk.notify_after_commit(connector)))
    first = desk.switchboard.end(desk.call(connector).id)
    assert (first.status, first.end_reason) == (CallStatus.ENDED, EndReason.ENDED_BY_API)
    desk.clock.advance(5)
    assert desk.switchboard.end(first.id) == first
    with pytest.raises(NotFound):
        desk.switchboard.end("no-such-call")


def test_reports_that_come_after_the_end_only_add_statistics(
    desk: Desk, connector: Connector
) -> None:
    leg_id = desk.start(ref_of(desk.notify_after_commit(connector)))
    ended = desk.switchboard.end(desk.call(connector).id)
    desk.switchboard.record(LegStep(ended.id, leg_id, LadderEvent.FIRST_AUDIO_IN, 9_000))
    desk.switchboard.record(closed(ended.id, leg_id, EndReason.CALLER_HUNG_UP))
    after = desk.call(connector)
    assert after.steps == ended.steps
    assert after.end_reason is EndReason.ENDED_BY_API
    assert after.stats == {"framesIn": 7}


def test_a_restart_takes_the_sockets_and_leaves_the_calls(desk: Desk, connector: Connector) -> None:
    desk.start(ref_of(desk.notify_after_commit(connector)))
    desk.switchboard.take_over()
    call = desk.call(connector)
    assert call.status is CallStatus.ANSWERED
    assert call.detached_at == desk.clock.now()


def test_checks_name_what_is_wrong(desk: Desk) -> None:
    assert desk.switchboard.checks() == {"database": None, "engine": None, "draining": None}
    desk.switchboard.handover.begin()
    assert desk.switchboard.checks()["draining"] == "the process is ending"


def test_an_unreachable_database_is_told_without_its_address(clock: FakeClock) -> None:
    database = Database("postgresql+psycopg://someone:hunter2@127.0.0.1:1/nothing")
    with a_desk(database, clock) as desk:
        problem = desk.switchboard.checks()["database"]
    assert problem
    assert "hunter2" not in problem
    assert "127.0.0.1" not in problem


def test_a_socket_hears_of_an_end_once_that_is_committed_and_never_of_one_that_is_undone(
    each_desk: Desk,
) -> None:
    switchboard, engine = each_desk.switchboard, each_desk.engine
    ref = ref_of(each_desk.notify_after_commit(each_desk.connect(a_connector())))
    here, there = socket.socketpair()

    def end(*, undone: bool) -> None:
        with switchboard.together():
            switchboard.hang_up(each_desk.calls.get(spec.call_id), EndReason.REMOVED, None)
            assert spec.call_id in engine.stats([spec.call_id])
            if undone:
                raise ZeroDivisionError

    with there:
        spec = switchboard.claim("twilio", ref)
        engine.adopt(here, spec)
        with pytest.raises(ZeroDivisionError):
            end(undone=True)
        assert spec.call_id in engine.stats([spec.call_id])
        assert each_desk.calls.get(spec.call_id).status is CallStatus.INCOMING
        end(undone=False)
        there.settimeout(30)
        assert CLOSE in iter(partial(there.recv, 1), b"")


def test_whoever_waits_for_an_answer_is_woken_once_it_is_committed(each_desk: Desk) -> None:
    switchboard = each_desk.switchboard
    ref = ref_of(each_desk.notify_after_commit(each_desk.connect(a_connector())))
    spec = switchboard.claim("twilio", ref)
    with switchboard.waiters.seat(spec.call_id) as answered:
        assert answered is not None
        with switchboard.together():
            switchboard.record(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
            assert not answered.is_set()
        assert answered.is_set()
