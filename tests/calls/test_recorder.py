"""The recorder: reports of the engine change a call in any order, and late ones change nothing."""

from __future__ import annotations

import pytest

from service.domain.calls import CallStatus, EndReason, LadderEvent, Participant
from service.domain.connectors import Connector
from service.media.rooms.reports import LegStarted, LegStep
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, closed, events, ref_of
from tests.support.records import a_connector

ANN = Participant("ann", "Ann", {"a": 1})


"""The first byte of a close frame (RFC 6455, section 5.2)."""


UP = "in-progress"
"""The status that a provider sends for an answered call."""


def test_ladder_of_a_good_call_is_in_order(harness: Harness, connector: Connector) -> None:
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


@pytest.mark.parametrize("reason", [None, EndReason.REPLACED], ids=["lost first", "replaced"])
def test_second_socket_that_starts_replaces_the_first(
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


def test_without_reattach_a_lost_socket_ends_the_call(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock, reattach=False) as harness:
        connector = harness.connect(a_connector())
        leg_id = harness.start(ref_of(harness.webhook(connector)))
        harness.recorder.record(closed(harness.call(connector).id, leg_id, None))
        assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_custom_socket_that_is_lost_ends_its_session(harness: Harness) -> None:
    call, ref = harness.invite("room-1", ANN, None)
    leg_id = harness.start(ref, "websocket")
    harness.recorder.record(closed(call.id, leg_id, None))
    ended = harness.calls.get(call.id)
    assert (ended.status, ended.end_reason) == (CallStatus.ENDED, EndReason.CONNECTION_LOST)


def test_broken_protocol_before_the_start_fails_the_call(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(spec.call_id, spec.leg_id, EndReason.PROTOCOL_ERROR))
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROTOCOL_ERROR)


def test_caller_who_hangs_up_before_the_start_abandons_the_call(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    harness.recorder.record(closed(spec.call_id, spec.leg_id, EndReason.CALLER_HUNG_UP))
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.CALLER_HUNG_UP)


def test_reports_after_the_end_only_add_statistics(harness: Harness, connector: Connector) -> None:
    leg_id = harness.start(ref_of(harness.webhook(connector)))
    ended = harness.ending.end(harness.call(connector).id)
    harness.recorder.record(LegStep(ended.id, leg_id, LadderEvent.FIRST_AUDIO_IN, 9_000))
    harness.recorder.record(closed(ended.id, leg_id, EndReason.CALLER_HUNG_UP))
    after = harness.call(connector)
    assert after.steps == ended.steps
    assert after.end_reason is EndReason.ENDED_BY_API
    assert after.stats == {"framesIn": 7}


def test_waiting_thread_is_woken_once_the_answer_is_committed(each_harness: Harness) -> None:
    ref = ref_of(each_harness.webhook(each_harness.connect(a_connector())))
    spec = each_harness.admission.claim("twilio", ref)
    with each_harness.waiters.slot(spec.call_id) as answered:
        assert answered is not None
        with each_harness.database.together():
            each_harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
            assert not answered.is_set()
        assert answered.is_set()
