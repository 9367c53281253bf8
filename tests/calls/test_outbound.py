"""Outbound calls: placed through the right connector, found by their webhooks, and waited for."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest

from service.calls.outbound import CallRequest
from service.domain.agents import Assignment
from service.domain.calls import Call, CallStatus, Direction, EndReason
from service.domain.routing_rules import RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import BadGateway, Busy, Conflict, Forbidden, Invalid, NotFound
from service.media.rooms.reports import LegStarted
from service.providers.base.provider import Webhook
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import (
    BASE,
    DIALLED,
    Harness,
    a_harness,
    keyed,
    place,
    ref_of,
)
from tests.support.provider_apis import ProviderApi
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

PROVIDERS = ("twilio", "plivo", "telnyx")


UP = "in-progress"


def marked(call_id: str) -> str:
    """An address of ours that says which placed call it is about."""
    return f"{BASE}/hook?placed={call_id}"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_placed_call_is_dialled_with_addresses_of_its_own(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    connector = calling.connect(keyed(provider))
    call = place(calling, connector, ring_seconds=25, max_seconds=60, metadata={"a": 1})
    [fields] = api.placed
    given = {name.lower(): value for name, value in fields.items()}
    hook = calling.address(call)
    assert (given.get("url") or given["answer_url"]) == hook
    status_url = given.get("statuscallback") or given["hangup_url"]
    assert status_url == f"{hook}/status"
    assert int(given.get("timeout") or given["ring_timeout"]) == 25
    assert int(given.get("timelimit") or given["time_limit"]) == 60
    assert (call.direction, call.status) == (Direction.OUTBOUND, CallStatus.INITIATED)
    assert (call.caller, call.callee) == ("+14155550199", DIALLED)
    assert (call.provider_call_id, call.room_id) == ("made-up-1", connector.default_room_id)
    assert call.participant.metadata == {"sipUser": True, "callType": "outbound"}
    assert (call.participant.name, call.metadata) == (DIALLED, {"a": 1})


def test_webhook_of_a_placed_call_finds_it_before_the_provider_has_answered(
    calling: Harness,
) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector)
    params = (("CallSid", "CA-real"), ("CallStatus", UP), ("Direction", "outbound-api"))
    hook = Webhook(params, marked(call.id))
    response = fromstring(calling.inbound.answer(connector, hook, BASE).text)
    assert calling.calls.get(call.id).provider_call_id == "CA-real"
    calling.start(ref_of(response))
    assert calling.calls.get(call.id).status is CallStatus.ANSWERED
    assert calling.calls.page().total == 1


def test_placed_call_is_found_only_by_its_own_connector(calling: Harness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    other = calling.connect(a_connector(default_room_id=None))
    params = (("CallSid", "CA-thief"), ("CallStatus", "ringing"))
    for placed in (call.id, "no-such-call", ""):
        hook = Webhook(params, marked(placed))
        calling.inbound.answer(other, hook, BASE)
    assert calling.calls.get(call.id) == call


def test_inbound_call_cannot_be_taken_for_a_placed_one(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    hook = Webhook((("CallSid", "CA-other"), ("CallStatus", "ringing")), marked(call.id))
    harness.inbound.answer(connector, hook, BASE)
    assert harness.calls.get(call.id) == call
    assert harness.calls.page().total == 2


def test_placed_call_without_callbacks_is_missed_and_hung_up(
    calling: Harness, api: ProviderApi
) -> None:
    call = place(calling, calling.connect(keyed("twilio")), ring_seconds=20)
    calling.clock.advance(34.9)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).status is CallStatus.INITIATED
    calling.clock.advance(0.1)
    calling.deadlines.sweep()
    calling.ask_providers()
    after = calling.calls.get(call.id)
    assert (after.status, after.end_reason) == (CallStatus.MISSED, EndReason.RING_TIMEOUT)


def test_call_that_the_provider_refuses_to_place_fails(calling: Harness, api: ProviderApi) -> None:
    api.trouble = (400, {"code": 21211, "message": "Invalid 'To' Phone Number"})
    connector = calling.connect(keyed("twilio"))
    with pytest.raises(BadGateway, match="Twilio answered 400: 21211 Invalid 'To'"):
        place(calling, connector)
    [call] = calling.calls.page().items
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROVIDER_FAILED)
    assert "21211" in (call.steps[-1].detail or "")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_call_is_placed_where_the_provider_s_answer_breaks_off(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    """The next webhook of the provider has the id."""
    api.cut = True
    connector = calling.connect(keyed(provider))
    call = place(calling, connector)
    assert (call.status, call.provider_call_id) == (CallStatus.INITIATED, call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = calling.calls.get(call.id)
    assert (after.status, after.provider_call_id) == (CallStatus.RINGING, "made-up-1")


def test_wrong_credentials_are_refused_by_the_provider_and_never_shown(
    calling: Harness, api: ProviderApi
) -> None:
    connector = keyed("twilio")
    wrong = {**connector.credentials, "authToken": ("hunter2",)}
    stored = calling.connect(a_connector(credentials=wrong))
    with pytest.raises(BadGateway, match="401") as caught:
        place(calling, stored)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(calling.calls.page().items)
    assert len(api.refused) == 1


def test_unreachable_provider_is_a_bad_gateway(sqlite_database: Database, clock: FakeClock) -> None:
    with (
        a_harness(sqlite_database, clock, twilio_api_url="http://127.0.0.1:1") as harness,
        pytest.raises(BadGateway, match="Twilio could not be asked: no answer"),
    ):
        place(harness, harness.connect(keyed("twilio")))


def test_placed_calls_count_towards_the_limit(calling: Harness, api: ProviderApi) -> None:
    connector = calling.connect(keyed("twilio"))
    for _ in range(3):
        place(calling, connector)
    with pytest.raises(Busy):
        place(calling, connector, room_id="never-seen-0001")
    assert calling.stores.rooms.find("never-seen-0001") is None
    assert len(api.placed) == 3
    calling.serving.begin_drain()
    with pytest.raises(Busy, match="restarting"):
        place(calling, connector)


def test_connector_without_credentials_places_no_calls(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, authToken"):
        place(harness, connector)
    half = harness.connect(a_connector(provider="telnyx", credentials={"apiKey": ("k",)}))
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, applicationId"):
        place(harness, half)
    with pytest.raises(NotFound):
        harness.outbound.plan(CallRequest(callee=DIALLED, connector_id="cn_none"))


OURS = "+14155550111"


def outbound(harness: Harness, **changes: object) -> Rule:
    rule = a_rule(**{"id": "rr_out", "type": RuleType.OUTBOUND, "numbers": (OURS,), **changes})
    harness.stores.routing_rules.add(rule)
    return rule


def test_outbound_rule_has_the_number_and_the_room(harness: Harness) -> None:
    connector = harness.connect(keyed("twilio"))
    outbound(harness)
    for request in (
        CallRequest(callee=DIALLED, rule_id="rr_out"),
        CallRequest(callee=DIALLED, caller=OURS),
    ):
        plan = harness.outbound.plan(request)
        assert (plan.connector.id, plan.caller) == (connector.id, OURS)
        assert plan.rule is not None
        assert (plan.room_name, plan.rule.id) == ("rule-room-0001", "rr_out")
    there = harness.outbound.plan(CallRequest(callee=DIALLED, rule_id="rr_out", room_id="r9"))
    assert there.room_name == "r9"
    assert there.rule is not None
    other = harness.outbound.plan(CallRequest(callee=DIALLED, caller="+14155550112"))
    assert (other.rule, other.room_name) == (None, connector.default_room_id)


def test_of_two_outbound_rules_for_a_number_the_newest_decides(harness: Harness) -> None:
    harness.connect(keyed("twilio"))
    outbound(harness)
    outbound(harness, id="rr_new", room=RuleRoom(RoomType.STATIC, None, "newer-room", None))
    assert harness.outbound.plan(CallRequest(callee=DIALLED, caller=OURS)).room_name == "newer-room"


def test_only_an_outbound_rule_places_calls(harness: Harness) -> None:
    harness.connect(keyed("twilio"))
    harness.stores.routing_rules.add(a_rule(id="rr_in"))
    with pytest.raises(Invalid, match="routingRuleId must name an outbound rule"):
        harness.outbound.plan(CallRequest(callee=DIALLED, rule_id="rr_in"))
    with pytest.raises(NotFound):
        harness.outbound.plan(CallRequest(callee=DIALLED, rule_id="rr_none"))


def test_connector_of_a_number_is_the_one_whose_rule_has_it(harness: Harness) -> None:
    harness.stores.routing_rules.add(a_rule(id="rr_in", numbers=(OURS, "+14155550112")))
    harness.connect(keyed("plivo"))
    ours = harness.connect(keyed("twilio", default_rule_id="rr_in"))
    plan = harness.outbound.plan(CallRequest(callee=DIALLED, caller="+14155550112"))
    assert plan.connector.id == ours.id
    named = harness.outbound.plan(CallRequest(callee=DIALLED, connector_id=ours.id))
    assert (named.caller, named.room_name) == (OURS, ours.default_room_id)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (RoomPrefix.PARTICIPANT_NUMBER, "participant-442071838750"),
        (RoomPrefix.SIP_NUMBER, "number-14155550111"),
        (RoomPrefix.BLANK, ""),
    ],
)
def test_dynamic_room_of_a_placed_call_is_named_after_the_number_outside(
    calling: Harness, prefix: RoomPrefix, name: str
) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, room=RuleRoom(RoomType.DYNAMIC, prefix, None, None))
    request = CallRequest(callee=DIALLED, caller=OURS, connector_id=connector.id)
    plan = calling.outbound.plan(request)
    assert plan.room_name == name
    call = calling.outbound.place_call(request, plan, BASE)
    assert calling.stores.rooms.get(call.room_id or "").custom_id == (name or None)


def test_rule_decides_whether_a_placed_call_sends_keys_and_shows_its_number(
    calling: Harness,
) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, hide_phone_number=True, dtmf=False)
    for changes, expected in (
        ({}, (True, False, "***50")),
        ({"hides_number": False, "dtmf": True}, (False, True, DIALLED)),
        ({"participant_name": "Zoe"}, (True, False, "Zoe")),
    ):
        request = CallRequest(callee=DIALLED, caller=OURS, connector_id=connector.id, **changes)
        call = calling.outbound.place_call(request, calling.outbound.plan(request), BASE)
        assert (call.hides_number, call.dtmf, call.participant.name) == expected
        assert (call.remote, call.rule_id) == (DIALLED, "rr_out")


def test_agent_of_an_outbound_rule_is_the_placed_calls(calling: Harness) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, extra={"agent_id": "agent_1"})
    request = CallRequest(callee=DIALLED, caller=OURS, connector_id=connector.id)
    call = calling.outbound.place_call(request, calling.outbound.plan(request), BASE)
    assert calling.calls.get(call.id).agent == Assignment("agent_1", BASE)


def test_placed_call_has_the_region_of_whom_it_calls(calling: Harness) -> None:
    connector = calling.connect(keyed("twilio"))
    there = CallRequest(callee="+919876543210", caller=OURS, connector_id=connector.id)
    assert calling.outbound.place_call(there, calling.outbound.plan(there), BASE).region == "in002"
    assert place(calling, connector).region == "us002"
    assert place(calling, calling.connect(keyed("plivo", region="eu1"))).region == "eu1"


def test_connector_that_cannot_be_read_places_no_calls(harness: Harness) -> None:
    connector = keyed("twilio")
    elsewhere = Connectors(harness.database, "another secret")
    elsewhere.add(connector)
    with pytest.raises(Conflict, match="cannot be read with this API_SECRET; set them again"):
        place(harness, connector)
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        harness.outbound.plan(CallRequest(callee=DIALLED, caller=OURS))


def test_room_that_bars_the_participant_is_not_called_into(
    calling: Harness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    room = calling.stores.rooms.ensure(connector.default_room_id or "", 1)
    calling.stores.rooms.deactivate(room.id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated"):
        place(calling, connector)
    assert (api.placed, calling.calls.page().total) == ([], 0)


def test_only_connector_with_credentials_is_used(harness: Harness) -> None:
    request = CallRequest(callee=DIALLED, caller="+14155550199")
    harness.connect(a_connector())
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        harness.outbound.plan(request)
    able = harness.connect(keyed("telnyx"))
    assert harness.outbound.plan(request).connector.id == able.id
    with pytest.raises(Invalid, match="sipCallFrom is required"):
        harness.outbound.plan(CallRequest(callee=DIALLED))
    harness.connect(keyed("plivo"))
    with pytest.raises(Invalid, match="2 connectors can place calls"):
        harness.outbound.plan(request)


def test_call_needs_a_room(harness: Harness) -> None:
    connector = harness.connect(keyed("twilio", default_room_id=None))
    with pytest.raises(Invalid, match="destinationRoomId is required"):
        place(harness, connector)


def test_request_waits_until_its_call_is_answered_or_over(calling: Harness) -> None:
    connector = calling.connect(keyed("twilio"))
    for ends in (False, True):
        call = place(calling, connector)

        def act(index: int, call: Call = call, ends: bool = ends) -> object:
            if index == 0:
                return calling.outbound.wait(call, 30)
            if ends:
                return calling.ending.end(call.id)
            hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
            markup = calling.inbound.answer(connector, hook, BASE)
            spec = calling.admission.claim("twilio", ref_of(fromstring(markup.text)))
            return calling.recorder.record(
                LegStarted(call.id, spec.leg_id, "s1", calling.clock.now())
            )

        waited = at_once(2, act)[0]
        assert isinstance(waited, Call)
        assert waited.status is (CallStatus.ENDED if ends else CallStatus.ANSWERED)


def test_only_a_few_requests_wait_at_a_time(calling: Harness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    waiters = calling.waiters
    with waiters.slot("a"), waiters.slot("b"), waiters.slot("c"), waiters.slot("d"):
        assert calling.outbound.wait(call, 30) is None
    calling.ending.end(call.id)
    assert calling.outbound.wait(call, 30) is not None


def test_wait_ends_when_the_call_may_ring_no_longer(calling: Harness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    waited = calling.outbound.wait(call, -15)
    assert waited is not None
    assert waited.status is CallStatus.INITIATED


def test_placed_call_lasts_as_long_as_it_was_told_to(calling: Harness) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector, max_seconds=20)
    hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
    calling.start(ref_of(fromstring(calling.inbound.answer(connector, hook, BASE).text)))
    calling.clock.advance(19.9)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).status is CallStatus.ANSWERED
    calling.clock.advance(0.1)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).end_reason is EndReason.MAX_DURATION
