"""The end of a call: written once, and passed on after the commit."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from service.domain.calls import Call, CallStatus, EndReason
from service.domain.connectors import Connector
from service.errors import NotFound
from service.media.rooms.reports import LegStarted
from tests.support.harness import Harness, closed, ref_of
from tests.support.records import a_connector

CLOSE = b"\x88"
"""The first byte of a close frame (RFC 6455, section 5.2)."""


UP = "in-progress"
"""The status that a provider sends for an answered call."""


def test_call_whose_condition_no_longer_holds_is_not_ended(each_harness: Harness) -> None:
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


def test_socket_is_closed_after_the_commit_and_not_after_a_rollback(
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


def test_call_that_was_answered_after_it_was_read_is_not_abandoned(
    harness: Harness, connector: Connector
) -> None:
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    waiting = harness.call(connector)
    harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now()))
    harness.ending.hang_up(waiting, EndReason.CALLER_HUNG_UP, None)
    assert harness.call(connector).status is CallStatus.ENDED


def test_draining_process_does_not_wait_for_an_ended_call(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)))
    call = harness.call(connector)
    harness.serving.expect([call.id])
    harness.ending.hang_up(call, EndReason.CALLER_HUNG_UP, None)
    assert harness.serving.wait(0) == 0
