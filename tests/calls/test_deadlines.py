"""Deadlines of calls: to connect, to come back after a lost socket, and to end."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from websockets.frames import Frame, Opcode

from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.domain.connectors import Connector
from service.errors import Gone
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegMoved, LegStarted, LegStep
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, closed, events, ref_of
from tests.support.records import a_connector

CLOSE = b"\x88"
"""The first byte of a close frame (RFC 6455, section 5.2)."""


UP = "in-progress"
"""The status that a provider sends for an answered call."""


def test_lost_socket_leaves_the_call_up_for_fifteen_seconds(
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
def test_second_socket_that_never_starts_does_not_replace_the_first(
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


@pytest.mark.parametrize("told", [True, False], ids=["its loss is told", "nothing is told"])
def test_socket_that_never_starts_does_not_extend_the_deadline(
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


def test_reference_of_a_lost_call_works_until_it_expires(each_harness: Harness) -> None:
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


def test_reference_and_its_lost_call_end_together(each_harness: Harness) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    first = harness.start(ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(harness.call(connector).id, first, None, harness.clock.now()))
    ref = ref_of(harness.webhook(connector, CallStatus=UP))
    harness.clock.advance(90)
    harness.deadlines.sweep()
    assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST
    with pytest.raises(Gone):
        harness.admission.claim("twilio", ref)


def test_draining_process_ends_no_call_at_its_deadline(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    harness.restart()
    harness.webhook(connector, CallSid="CA2")
    harness.serving.begin_drain()
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


def test_process_reattaches_calls_whose_sockets_it_has(
    each_harness: Harness, clock: FakeClock, database: Database
) -> None:
    harness = each_harness
    spec, there = connected(harness)
    with there, a_harness(database, clock) as other:
        other.restart()
        assert harness.calls.get(spec.call_id).detached_at is not None
        for _ in range(20):
            harness.clock.advance(1)
            harness.deadlines.sweep()
            other.deadlines.sweep()
        call = harness.calls.get(spec.call_id)
        assert (call.status, call.detached_at) == (CallStatus.ANSWERED, None)


@pytest.mark.parametrize("by", ["a new reference", "the used reference"])
def test_call_goes_on_after_its_process_was_killed(each_harness: Harness, by: str) -> None:
    harness, connector = each_harness, each_harness.connect(a_connector())
    ref = ref_of(harness.webhook(connector))
    harness.start(ref)
    harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    harness.restart()
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


def test_call_without_a_socket_is_abandoned_after_ninety_seconds(
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


def test_claimed_call_that_never_starts_is_abandoned(
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


def test_call_ends_at_its_maximum_duration(sqlite_database: Database, clock: FakeClock) -> None:
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
def test_socket_of_a_call_that_another_process_ended_is_closed(
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


def test_socket_of_a_call_that_another_process_has_moved_is_moved(each_harness: Harness) -> None:
    spec, there = connected(each_harness)
    with there:
        who = replace(spec.participant, id="renamed")
        each_harness.stores.rooms.ensure("other", 1_000)
        each_harness.stores.steering.move(spec.call_id, "other", who, 2_000)
        each_harness.deadlines.sweep()
        [leg] = each_harness.engine.legs()
        assert (leg.room_id, leg.participant.id) == ("other", "renamed")
        each_harness.recorder.record(each_harness.engine.reports.get(timeout=30))
        assert not each_harness.calls.get(spec.call_id).is_moving
        # A call that has arrived is not told again.
        each_harness.deadlines.sweep()
        each_harness.engine.legs()
        assert each_harness.engine.reports.empty()


def test_socket_of_a_call_of_another_node_is_moved_although_its_room_is_the_same(
    harness: Harness,
) -> None:
    spec, there = connected(harness)
    with there:
        with harness.database.write() as connection:
            connection.exec_driver_sql("UPDATE calls SET node_id = 'nd_other'")
        harness.deadlines.sweep()
        report = harness.engine.reports.get(timeout=30)
        assert (type(report), report.call_id) == (LegMoved, spec.call_id)


def test_socket_of_a_call_that_another_process_transfers_is_closed(each_harness: Harness) -> None:
    spec, there = connected(each_harness)
    with there:
        each_harness.stores.steering.begin_transfer(spec.call_id, "+442071838750", 2_000, 10)
        each_harness.deadlines.sweep()
        received = b""
        while CLOSE not in received:
            received += there.recv(1_000)
    assert each_harness.calls.get(spec.call_id).is_transferring


def test_sweep_goes_on_after_a_call_that_cannot_be_ended(
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


def test_restart_detaches_calls_and_ends_none(harness: Harness, connector: Connector) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    harness.restart()
    call = harness.call(connector)
    assert call.status is CallStatus.ANSWERED
    assert call.detached_at == harness.clock.now()
