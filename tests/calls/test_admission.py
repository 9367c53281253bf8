"""Admission: references are claimed once, and calls beyond the limit are refused."""

from __future__ import annotations

import socket

import pytest

from service.domain.calls import LadderEvent, Participant
from service.domain.connectors import Connector
from service.errors import Busy, Gone, NotFound
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegStarted
from service.storage.calls.calls import Used
from tests.support.harness import Harness, closed, events, ref_of
from tests.support.races import at_once
from tests.support.records import a_connector

ANN = Participant("ann", "Ann", {"a": 1})


"""The first byte of a close frame (RFC 6455, section 5.2)."""


"""The status that a provider sends for an answered call."""


def test_claim_returns_the_leg_of_the_call(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    spec = harness.admission.claim("twilio", ref)
    call = harness.call(connector)
    assert (spec.call_id, spec.room_id) == (call.id, "abcd-efgh-ijkl")
    assert spec.ref == ref
    assert ref not in repr(spec)
    assert events(call)[-1] is LadderEvent.SOCKET


def test_only_one_of_simultaneous_claims_of_a_reference_succeeds(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    outcomes = at_once(8, lambda _: harness.admission.claim("twilio", ref))
    assert sum(isinstance(outcome, LegSpec) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Used) for outcome in outcomes) == 7


def test_unknown_reference_is_not_found(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    for provider, wrong in (("twilio", "x" * 32), ("plivo", ref), ("websocket", ref)):
        with pytest.raises(NotFound):
            harness.admission.claim(provider, wrong)


def test_reference_expires_after_ninety_seconds(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.clock.advance(90)
    with pytest.raises(Gone, match="expired"):
        harness.admission.claim("twilio", ref)


def test_used_reference_is_refused_while_its_socket_is_up(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    here, there = socket.socketpair()
    with there:
        harness.engine.adopt(here, harness.admission.claim("twilio", ref))
        with pytest.raises(Used):
            harness.admission.claim("twilio", ref)


def test_used_reference_works_again_once_its_socket_is_gone(
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


def test_used_reference_works_again_before_the_loss_of_its_socket_is_recorded(
    harness: Harness, connector: Connector
) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.start(ref)
    assert harness.admission.claim("twilio", ref).call_id == harness.call(connector).id


def test_reference_of_a_call_that_is_over_is_gone(harness: Harness, connector: Connector) -> None:
    ref = ref_of(harness.webhook(connector))
    harness.ending.end(harness.call(connector).id)
    with pytest.raises(Gone):
        harness.admission.claim("twilio", ref)


def test_ticket_is_claimed_once(harness: Harness) -> None:
    call, ref = harness.invite("room-1", ANN, "us002")
    assert ref.startswith("vs_")
    spec = harness.admission.claim("websocket", ref)
    assert (spec.call_id, spec.room_id, spec.participant) == (call.id, "room-1", ANN)
    assert spec.provider_call_id is None
    with pytest.raises(Gone):
        harness.admission.claim("websocket", ref)


def test_tickets_count_towards_the_limit(calling: Harness) -> None:
    for _ in range(3):
        calling.invite("room-1", ANN, None)
    with pytest.raises(Busy):
        calling.invite("room-1", ANN, None)
    assert calling.webhook(calling.connect(a_connector()))[0].get("reason") == "busy"


def test_no_ticket_is_made_while_draining(harness: Harness) -> None:
    harness.serving.begin_drain()
    with pytest.raises(Busy):
        harness.invite("room-1", ANN, None)
