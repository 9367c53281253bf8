"""Inbound calls: the markup for a webhook in each state of its call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.domain.agents import Assignment
from service.domain.calls import CallStatus, EndReason, LadderEvent, Participant
from service.domain.connectors import Connector
from service.domain.routing_rules import NEW_ROOM, RoomPrefix
from service.errors import Busy, NotFound, RemoteError
from service.providers.base.provider import Webhook
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import (
    BASE,
    CALL_IDS,
    Harness,
    a_harness,
    events,
    kept,
    masked,
    media_url,
    ref_of,
    verbs,
)
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

PROVIDERS = ("twilio", "plivo", "telnyx")


@pytest.fixture
def harness(sqlite_database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(sqlite_database, clock, max_calls=3) as harness:
        yield harness


@pytest.fixture(params=PROVIDERS)
def connector(harness: Harness, request: pytest.FixtureRequest) -> Connector:
    return harness.connect(a_connector(provider=request.param))


@pytest.fixture
def twilio(harness: Harness) -> Connector:
    return harness.connect(a_connector(provider="twilio"))


def streams(response: object) -> bool:
    return next(response.iter("Stream"), None) is not None


def test_new_call_is_answered_with_a_stream_and_a_redirect(
    harness: Harness, connector: Connector
) -> None:
    response = harness.webhook(connector)

    assert media_url(response).startswith(f"wss://voice.example.com/{connector.provider}/")
    redirect = response.find("Redirect")
    call = harness.call(connector)
    assert redirect.text == harness.address(call)
    assert redirect.get("method") == "POST"
    assert call.status is CallStatus.INCOMING
    assert call.room_id == connector.default_room_id
    assert (call.caller, call.callee) == ("+14155550100", "+14155550199")
    assert call.participant.metadata == {"sipUser": True, "callType": "inbound"}
    assert call.expires_at == harness.clock.now() + 90_000
    assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.MARKUP]


def test_markup_is_kept_on_the_ladder_without_its_secrets(
    harness: Harness, connector: Connector
) -> None:
    first = harness.webhook(connector)
    harness.start(ref_of(first), connector.provider)
    again = harness.webhook(connector, CallStatus="in-progress")
    call = harness.call(connector)
    assert kept(call) == [masked(first, connector), masked(again, connector)]
    assert connector.webhook_key not in repr(call)
    assert ref_of(first) not in repr(call)
    assert ref_of(again) not in repr(call)


def test_markup_of_a_refused_call_is_kept(harness: Harness) -> None:
    connector = harness.connect(a_connector(default_room_id=None))
    refused = harness.webhook(connector)
    assert kept(harness.call(connector)) == [masked(refused, connector)]


def test_without_reattach_the_markup_ends_with_a_hang_up(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock, reattach=False) as harness:
        connector = harness.connect(a_connector())
        assert verbs(harness.webhook(connector)) == ["Connect", "Hangup"]


def test_plain_http_origin_gives_a_plain_media_url(harness: Harness, twilio: Connector) -> None:
    hook = Webhook((("CallSid", "CA9"), ("From", "+14155550100"), ("To", "+14155550199")))
    markup = harness.inbound.answer(twilio, hook, "http://127.0.0.1:8000")
    assert 'url="ws://127.0.0.1:8000/twilio/' in markup.text


def test_call_without_a_room_is_refused_and_recorded(harness: Harness) -> None:
    for name, verb in (("twilio", "Reject"), ("plivo", "Hangup"), ("telnyx", "Reject")):
        connector = harness.connect(a_connector(provider=name, default_room_id=None))
        response = harness.webhook(connector)
        assert verbs(response) == [verb]
        assert response[0].get("reason") == "rejected"
        call = harness.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NO_ROUTE)
        assert call.ended_at == harness.clock.now()
        assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.END]


def test_asking_again_for_a_rejected_call_gives_the_same_answer_and_no_second_row(
    harness: Harness,
) -> None:
    connector = harness.connect(a_connector(default_room_id=None))
    assert verbs(harness.webhook(connector)) == verbs(harness.webhook(connector)) == ["Reject"]
    assert harness.calls.page().total == 1


def test_calls_over_the_limit_hear_busy(harness: Harness, connector: Connector) -> None:
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    for number in range(3):
        assert streams(harness.webhook(connector, **{field: f"call-{number}"}))
    response = harness.webhook(connector)
    assert response[0].get("reason") == "busy"
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.BUSY)


def test_no_room_is_made_for_a_call_over_the_limit(harness: Harness, twilio: Connector) -> None:
    for number in range(3):
        harness.webhook(twilio, CallSid=f"call-{number}")
    before = harness.stores.rooms.page().total
    places = (
        replace(NEW_ROOM, prefix=RoomPrefix.SIP_NUMBER),
        NEW_ROOM,
        replace(a_rule().room, id="never-seen-0001"),
    )
    for number, place in enumerate(places):
        callee = f"+1415555020{number}"
        harness.stores.routing_rules.add(a_rule(id=f"rule-{number}", numbers=(callee,), room=place))
        response = harness.webhook(twilio, CallSid=f"late-{number}", To=callee)
        assert response[0].get("reason") == "busy"
    assert harness.stores.rooms.page().total == before
    with pytest.raises(Busy):
        harness.invite("never-seen-0002", Participant("p", "P"), None)
    assert harness.stores.rooms.page().total == before


def test_repeated_webhook_of_a_known_call_is_served_at_the_limit(
    harness: Harness, twilio: Connector
) -> None:
    for number in range(2):
        harness.webhook(twilio, CallSid=f"call-{number}")
    harness.webhook(twilio)
    assert streams(harness.webhook(twilio))


@pytest.mark.parametrize("state", ["is_draining", "is_waiting"])
def test_draining_or_waiting_process_answers_with_a_hold(
    harness: Harness, connector: Connector, state: str
) -> None:
    first = harness.webhook(connector)
    setattr(harness.serving, state, True)
    harness.serving.expect([harness.call(connector).id])
    again = harness.webhook(connector, CallStatus="in-progress")
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    new = harness.webhook(connector, **{field: "another"})
    webhook = f"{BASE}/v2/hooks/{connector.provider}/{connector.webhook_key}"
    for answer, address in ((again, first[-1].text), (new, webhook)):
        pause, redirect = answer
        assert pause.tag == ("Wait" if connector.provider == "plivo" else "Pause")
        assert (pause.get("length"), redirect.text) == ("3", address)
    assert harness.serving.wait(0) == 0
    assert harness.calls.page().total == 1


def test_new_calls_hear_busy_while_draining_without_reattach(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock, reattach=False) as harness:
        twilio = harness.connect(a_connector())
        harness.serving.begin_drain()
        assert harness.webhook(twilio)[0].get("reason") == "busy"


@pytest.mark.parametrize("key", ["whk_" + "x" * 32, "", "nonsense"])
def test_unknown_key_is_not_found(harness: Harness, key: str) -> None:
    with pytest.raises(NotFound):
        harness.services.connector_lookup.find("twilio", key)


def test_key_opens_only_its_own_provider(harness: Harness, twilio: Connector) -> None:
    with pytest.raises(NotFound):
        harness.services.connector_lookup.find("plivo", twilio.webhook_key)
    with pytest.raises(NotFound):
        harness.services.connector_lookup.find("vonage", twilio.webhook_key)


def test_rotated_or_deleted_key_stops_at_once(harness: Harness, twilio: Connector) -> None:
    harness.stores.connectors.rotate(twilio.id, "whk_new")
    with pytest.raises(NotFound):
        harness.webhook(twilio)
    harness.stores.connectors.delete(twilio.id)
    with pytest.raises(NotFound):
        harness.services.connector_lookup.find("twilio", "whk_new")


def test_webhook_without_a_call_id_is_a_remote_error(harness: Harness, twilio: Connector) -> None:
    with pytest.raises(RemoteError, match="CallSid"):
        harness.inbound.answer(twilio, Webhook((("From", "+1"),)), BASE)


def test_repeated_first_webhook_makes_no_second_call_and_both_answers_work(
    harness: Harness, connector: Connector
) -> None:
    first, second = harness.webhook(connector), harness.webhook(connector)
    assert ref_of(first) != ref_of(second)
    assert harness.calls.page().total == 1
    harness.start(ref_of(second), connector.provider)


def test_sixteen_first_webhooks_at_once_make_one_call(harness: Harness, twilio: Connector) -> None:
    responses = at_once(5, lambda _: harness.webhook(twilio))
    assert all(verbs(response) == ["Connect", "Redirect"] for response in responses)
    assert harness.calls.page().total == 1


def test_redirect_of_a_lost_call_leads_back_as_the_same_participant(
    harness: Harness, connector: Connector
) -> None:
    leg_id = harness.start(ref_of(harness.webhook(connector)), connector.provider)
    call = harness.call(connector)
    harness.calls.detached(call.id, leg_id, harness.clock.now(), "gone", None)

    response = harness.webhook(connector, CallStatus="in-progress")
    spec = harness.admission.claim(connector.provider, ref_of(response))

    assert spec.call_id == call.id
    assert spec.room_id == call.room_id
    assert spec.participant == call.participant
    assert spec.session_id == "s1"
    assert spec.provider_call_id == CALL_IDS[connector.provider]
    assert harness.calls.page().total == 1


@pytest.mark.parametrize("reason", [EndReason.ENDED_BY_API, EndReason.MAX_DURATION])
def test_redirect_of_an_ended_call_is_told_to_hang_up(
    harness: Harness, connector: Connector, reason: EndReason
) -> None:
    harness.start(ref_of(harness.webhook(connector)), connector.provider)
    harness.ending.hang_up(harness.call(connector), reason, None)
    assert verbs(harness.webhook(connector, CallStatus="in-progress")) == ["Hangup"]
    assert harness.call(connector).end_reason is reason


def test_call_that_keeps_asking_without_audio_is_ended(harness: Harness, twilio: Connector) -> None:
    answers = [verbs(harness.webhook(twilio, CallStatus="in-progress")) for _ in range(7)]
    assert answers == [["Connect", "Redirect"]] * 5 + [["Hangup"]] * 2
    call = harness.call(twilio)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.CONNECTION_LOST)


@pytest.mark.parametrize("sign", [LadderEvent.FIRST_AUDIO_IN, LadderEvent.NO_AUDIO])
def test_sign_of_life_in_between_allows_any_number_of_reattaches(
    harness: Harness, twilio: Connector, sign: LadderEvent
) -> None:
    for _ in range(12):
        response = harness.webhook(twilio, CallStatus="in-progress")
        leg_id = harness.start(ref_of(response))
        call = harness.call(twilio)
        harness.calls.step(call.id, leg_id, sign, harness.clock.now())
        harness.calls.detached(call.id, leg_id, harness.clock.now(), None, None)
    assert streams(response)


def test_hang_up_notice_ends_the_call_and_gets_an_empty_response(
    harness: Harness, connector: Connector
) -> None:
    harness.start(ref_of(harness.webhook(connector)), connector.provider)
    notice = {"CallStatus": "completed", "HangupCause": "NORMAL_CLEARING", "Event": "Hangup"}
    for _ in range(2):
        assert verbs(harness.webhook(connector, **notice)) == []
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert events(call).count(LadderEvent.END) == 1


def test_hang_up_notice_of_a_call_that_never_connected_abandons_it(
    harness: Harness, connector: Connector
) -> None:
    harness.webhook(connector)
    harness.webhook(connector, CallStatus="completed", Event="Hangup")
    assert harness.call(connector).status is CallStatus.ABANDONED


def test_notice_of_an_unknown_call_makes_no_call(harness: Harness, connector: Connector) -> None:
    assert verbs(harness.webhook(connector, CallStatus="completed", Event="Hangup")) == []
    assert harness.call(connector) is None


def test_refused_call_that_is_up_already_is_hung_up_and_not_rejected(harness: Harness) -> None:
    connector = harness.connect(a_connector(default_room_id=None))
    assert verbs(harness.webhook(connector, CallStatus="in-progress")) == ["Hangup"]


def test_busy_is_said_in_the_providers_own_markup(harness: Harness) -> None:
    assert "Reject" in harness.inbound.busy("twilio").text
    assert 'Hangup reason="busy"' in harness.inbound.busy("plivo").text
    assert harness.inbound.busy("vonage") is None


def test_rule_of_the_dialled_number_decides_and_is_recorded(
    harness: Harness, connector: Connector
) -> None:
    rule = a_rule(room=replace(NEW_ROOM, prefix=RoomPrefix.SIP_NUMBER))
    harness.stores.routing_rules.add(rule)
    spec = harness.admission.claim(connector.provider, ref_of(harness.webhook(connector)))
    call = harness.call(connector)
    assert call.rule_id == rule.id
    named = harness.stores.rooms.named("number-14155550199", 0)
    assert spec.room_id == call.room_id == named.id


def test_every_call_of_a_blank_rule_has_a_room_of_its_own(
    harness: Harness, twilio: Connector
) -> None:
    harness.stores.routing_rules.add(a_rule(room=NEW_ROOM))
    for number in range(2):
        harness.webhook(twilio, CallSid=f"CA{number}")
    first, second = (call.room_id for call in harness.calls.page().items)
    assert first != second


def test_rule_of_the_connector_applies_where_no_rule_has_the_number(harness: Harness) -> None:
    rule = a_rule(numbers=())
    harness.stores.routing_rules.add(rule)
    connector = harness.connect(a_connector(default_rule_id=rule.id))
    harness.webhook(connector)
    call = harness.call(connector)
    assert (call.rule_id, call.room_id) == (rule.id, "rule-room-0001")


def test_caller_that_the_rule_does_not_allow_is_refused(harness: Harness) -> None:
    harness.stores.routing_rules.add(a_rule(allowed_numbers=("+91*", "+14155550111")))
    for name, verb in (("twilio", "Reject"), ("plivo", "Hangup"), ("telnyx", "Reject")):
        connector = harness.connect(a_connector(provider=name))
        response = harness.webhook(connector)
        assert verbs(response) == [verb]
        assert response[0].get("reason") == "rejected"
        call = harness.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NOT_ALLOWED)
        assert call.steps[-1].detail == "not-allowed"
        field = "CallUUID" if name == "plivo" else "CallSid"
        assert streams(harness.webhook(connector, From="+919876543210", **{field: "another"}))


@pytest.mark.parametrize(
    ("hides", "name"), [(True, "***00"), (False, "+14155550100")], ids=["hidden", "shown"]
)
def test_rule_may_hide_the_caller_s_number_from_the_room(
    harness: Harness, twilio: Connector, hides: bool, name: str
) -> None:
    harness.stores.routing_rules.add(a_rule(hide_phone_number=hides))
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(twilio)))
    call = harness.call(twilio)
    assert (spec.participant.name, call.participant.name) == (name, name)
    assert (call.caller, call.hides_number) == ("+14155550100", hides)


def test_keys_are_told_to_the_room_by_default_only_without_a_rule(
    harness: Harness, twilio: Connector
) -> None:
    assert harness.admission.claim("twilio", ref_of(harness.webhook(twilio))).dtmf
    for dtmf in (True, False):
        rule = a_rule(dtmf=dtmf)
        harness.stores.routing_rules.add(rule)
        ref = ref_of(harness.webhook(twilio, CallSid=f"CA{dtmf}"))
        assert harness.admission.claim("twilio", ref).dtmf is dtmf
        harness.stores.routing_rules.delete(rule)


@pytest.mark.parametrize(
    ("own", "caller", "region", "address"),
    [
        (None, "+919876543210", "in002", "wss://in.example.com/voice/twilio/"),
        (None, "+14155550100", "us002", "wss://voice.example.com/twilio/"),
        (None, "anonymous", "us002", "wss://voice.example.com/twilio/"),
        ("in002", "+14155550100", "in002", "wss://in.example.com/voice/twilio/"),
        ("eu001", "+919876543210", "eu001", "wss://voice.example.com/twilio/"),
    ],
)
def test_region_is_the_connector_s_or_the_caller_s_and_has_its_address(
    sqlite_database: Database,
    clock: FakeClock,
    own: str | None,
    caller: str,
    region: str,
    address: str,
) -> None:
    with a_harness(
        sqlite_database, clock, regions={"in002": "wss://in.example.com/voice"}
    ) as harness:
        connector = harness.connect(a_connector(region=own))
        assert media_url(harness.webhook(connector, From=caller)).startswith(address)
        assert harness.call(connector).region == region
        # The redirect asks for the same call, wherever the connector is now.
        harness.stores.connectors.update(connector.id, {"region": "us002"})
        assert media_url(harness.webhook(connector)).startswith(address)


def test_agent_of_a_rule_is_the_calls(harness: Harness, twilio: Connector) -> None:
    extra = {"agent_id": "agent_1", "agent_metadata": {"team": "support"}}
    harness.stores.routing_rules.add(a_rule(extra=extra))
    harness.webhook(twilio)
    assert harness.call(twilio).agent == Assignment("agent_1", BASE, {"team": "support"})


def test_call_of_a_rule_without_an_agent_has_none(harness: Harness, twilio: Connector) -> None:
    harness.stores.routing_rules.add(a_rule(extra={"tags": ["a"]}))
    harness.webhook(twilio)
    assert harness.call(twilio).agent is None
