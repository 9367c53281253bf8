"""What a provider's webhook is answered with, for every state its call can be in."""

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
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule
from tests.support.switchboards import (
    BASE,
    CALL_IDS,
    Desk,
    a_desk,
    events,
    kept,
    masked,
    media_url,
    ref_of,
    verbs,
)

PROVIDERS = ("twilio", "plivo", "telnyx")


@pytest.fixture
def desk(sqlite_database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(sqlite_database, clock, max_calls=3) as desk:
        yield desk


@pytest.fixture(params=PROVIDERS)
def connector(desk: Desk, request: pytest.FixtureRequest) -> Connector:
    return desk.connect(a_connector(provider=request.param))


@pytest.fixture
def twilio(desk: Desk) -> Connector:
    return desk.connect(a_connector(provider="twilio"))


def streams(response: object) -> bool:
    return next(response.iter("Stream"), None) is not None


def test_a_new_call_is_answered_with_a_stream_and_a_way_back(
    desk: Desk, connector: Connector
) -> None:
    response = desk.notify_after_commit(connector)

    assert media_url(response).startswith(f"wss://voice.example.com/{connector.provider}/")
    redirect = response.find("Redirect")
    call = desk.call(connector)
    assert redirect.text == desk.address(call)
    assert redirect.get("method") == "POST"
    assert call.status is CallStatus.INCOMING
    assert call.room_id == connector.default_room_id
    assert (call.caller, call.callee) == ("+14155550100", "+14155550199")
    assert call.participant.metadata == {"sipUser": True, "callType": "inbound"}
    assert call.expires_at == desk.clock.now() + 90_000
    assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.MARKUP]


def test_every_answer_is_kept_as_it_was_and_without_its_secrets(
    desk: Desk, connector: Connector
) -> None:
    first = desk.notify_after_commit(connector)
    desk.start(ref_of(first), connector.provider)
    again = desk.notify_after_commit(connector, CallStatus="in-progress")
    call = desk.call(connector)
    assert kept(call) == [masked(first, connector), masked(again, connector)]
    assert connector.webhook_key not in repr(call)
    assert ref_of(first) not in repr(call)
    assert ref_of(again) not in repr(call)


def test_the_answer_to_a_call_that_is_turned_away_is_kept(desk: Desk) -> None:
    connector = desk.connect(a_connector(default_room_id=None))
    refused = desk.notify_after_commit(connector)
    assert kept(desk.call(connector)) == [masked(refused, connector)]


def test_without_reattach_the_markup_ends_with_a_hang_up(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_desk(sqlite_database, clock, reattach=False) as desk:
        connector = desk.connect(a_connector())
        assert verbs(desk.notify_after_commit(connector)) == ["Connect", "Hangup"]


def test_a_plain_http_origin_gives_a_plain_media_url(desk: Desk, twilio: Connector) -> None:
    hook = Webhook((("CallSid", "CA9"), ("From", "+14155550100"), ("To", "+14155550199")))
    markup = desk.reception.answer(twilio, hook, "http://127.0.0.1:8000")
    assert 'url="ws://127.0.0.1:8000/twilio/' in markup.text


def test_a_call_without_a_room_is_turned_away_and_recorded(desk: Desk) -> None:
    for name, verb in (("twilio", "Reject"), ("plivo", "Hangup"), ("telnyx", "Reject")):
        connector = desk.connect(a_connector(provider=name, default_room_id=None))
        response = desk.notify_after_commit(connector)
        assert verbs(response) == [verb]
        assert response[0].get("reason") == "rejected"
        call = desk.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NO_ROUTE)
        assert call.ended_at == desk.clock.now()
        assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.END]


def test_asking_again_for_a_rejected_call_gives_the_same_answer_and_no_second_row(
    desk: Desk,
) -> None:
    connector = desk.connect(a_connector(default_room_id=None))
    assert (
        verbs(desk.notify_after_commit(connector))
        == verbs(desk.notify_after_commit(connector))
        == ["Reject"]
    )
    assert desk.calls.page().total == 1


def test_calls_over_the_limit_hear_busy(desk: Desk, connector: Connector) -> None:
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    for number in range(3):
        assert streams(desk.notify_after_commit(connector, **{field: f"call-{number}"}))
    response = desk.notify_after_commit(connector)
    assert response[0].get("reason") == "busy"
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.BUSY)


def test_no_room_is_made_for_a_call_over_the_limit(desk: Desk, twilio: Connector) -> None:
    for number in range(3):
        desk.notify_after_commit(twilio, CallSid=f"call-{number}")
    before = desk.switchboard.rooms.page().total
    places = (
        replace(NEW_ROOM, prefix=RoomPrefix.SIP_NUMBER),
        NEW_ROOM,
        replace(a_rule().room, id="never-seen-0001"),
    )
    for number, place in enumerate(places):
        callee = f"+1415555020{number}"
        desk.switchboard.rules.add(a_rule(id=f"rule-{number}", numbers=(callee,), room=place))
        response = desk.notify_after_commit(twilio, CallSid=f"late-{number}", To=callee)
        assert response[0].get("reason") == "busy"
    assert desk.switchboard.rooms.page().total == before
    with pytest.raises(Busy):
        desk.switchboard.invite("never-seen-0002", Participant("p", "P"), None)
    assert desk.switchboard.rooms.page().total == before


def test_a_repeated_webhook_of_a_known_call_is_served_at_the_limit(
    desk: Desk, twilio: Connector
) -> None:
    for number in range(2):
        desk.notify_after_commit(twilio, CallSid=f"call-{number}")
    desk.notify_after_commit(twilio)
    assert streams(desk.notify_after_commit(twilio))


@pytest.mark.parametrize("state", ["has_begun", "is_waiting"])
def test_a_process_that_ends_or_waits_tells_everybody_to_ask_again_in_a_moment(
    desk: Desk, connector: Connector, state: str
) -> None:
    first = desk.notify_after_commit(connector)
    setattr(desk.switchboard.handover, state, True)
    desk.switchboard.handover.expect([desk.call(connector).id])
    again = desk.notify_after_commit(connector, CallStatus="in-progress")
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    new = desk.notify_after_commit(connector, **{field: "another"})
    webhook = f"{BASE}/v2/hooks/{connector.provider}/{connector.webhook_key}"
    for answer, address in ((again, first[-1].text), (new, webhook)):
        pause, redirect = answer
        assert pause.tag == ("Wait" if connector.provider == "plivo" else "Pause")
        assert (pause.get("length"), redirect.text) == ("3", address)
    assert desk.switchboard.handover.wait(0) == 0
    assert desk.calls.page().total == 1


def test_without_a_way_back_new_calls_hear_busy_while_draining(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_desk(sqlite_database, clock, reattach=False) as desk:
        twilio = desk.connect(a_connector())
        desk.switchboard.handover.begin()
        assert desk.notify_after_commit(twilio)[0].get("reason") == "busy"


@pytest.mark.parametrize("key", ["whk_" + "x" * 32, "", "nonsense"])
def test_an_unknown_key_is_not_found(desk: Desk, key: str) -> None:
    with pytest.raises(NotFound):
        desk.reception.recognise("twilio", key)


def test_a_key_opens_only_its_own_provider(desk: Desk, twilio: Connector) -> None:
    with pytest.raises(NotFound):
        desk.reception.recognise("plivo", twilio.webhook_key)
    with pytest.raises(NotFound):
        desk.reception.recognise("vonage", twilio.webhook_key)


def test_a_rotated_or_deleted_key_stops_at_once(desk: Desk, twilio: Connector) -> None:
    desk.switchboard.connectors.rotate(twilio.id, "whk_new")
    with pytest.raises(NotFound):
        desk.notify_after_commit(twilio)
    desk.switchboard.connectors.delete(twilio.id)
    with pytest.raises(NotFound):
        desk.reception.recognise("twilio", "whk_new")


def test_a_webhook_without_a_call_id_is_the_peers_error(desk: Desk, twilio: Connector) -> None:
    with pytest.raises(RemoteError, match="CallSid"):
        desk.reception.answer(twilio, Webhook((("From", "+1"),)), BASE)


def test_a_repeated_first_webhook_makes_no_second_call_and_both_answers_work(
    desk: Desk, connector: Connector
) -> None:
    first, second = desk.notify_after_commit(connector), desk.notify_after_commit(connector)
    assert ref_of(first) != ref_of(second)
    assert desk.calls.page().total == 1
    desk.start(ref_of(second), connector.provider)


def test_sixteen_first_webhooks_at_once_make_one_call(desk: Desk, twilio: Connector) -> None:
    responses = at_once(5, lambda _: desk.notify_after_commit(twilio))
    assert all(verbs(response) == ["Connect", "Redirect"] for response in responses)
    assert desk.calls.page().total == 1


def test_the_redirect_of_a_lost_call_leads_back_as_the_same_participant(
    desk: Desk, connector: Connector
) -> None:
    leg_id = desk.start(ref_of(desk.notify_after_commit(connector)), connector.provider)
    call = desk.call(connector)
    desk.calls.detached(call.id, leg_id, desk.clock.now(), "gone", None)

    response = desk.notify_after_commit(connector, CallStatus="in-progress")
    spec = desk.switchboard.claim(connector.provider, ref_of(response))

    assert spec.call_id == call.id
    assert spec.room_id == call.room_id
    assert spec.participant == call.participant
    assert spec.session_id == "s1"
    assert spec.provider_call_id == CALL_IDS[connector.provider]
    assert desk.calls.page().total == 1


@pytest.mark.parametrize("reason", [EndReason.ENDED_BY_API, EndReason.MAX_DURATION])
def test_the_redirect_of_an_ended_call_is_told_to_hang_up(
    desk: Desk, connector: Connector, reason: EndReason
) -> None:
    desk.start(ref_of(desk.notify_after_commit(connector)), connector.provider)
    desk.switchboard.hang_up(desk.call(connector), reason, None)
    assert verbs(desk.notify_after_commit(connector, CallStatus="in-progress")) == ["Hangup"]
    assert desk.call(connector).end_reason is reason


def test_a_call_that_keeps_asking_without_audio_is_ended(desk: Desk, twilio: Connector) -> None:
    answers = [verbs(desk.notify_after_commit(twilio, CallStatus="in-progress")) for _ in range(7)]
    assert answers == [["Connect", "Redirect"]] * 5 + [["Hangup"]] * 2
    call = desk.call(twilio)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.CONNECTION_LOST)


@pytest.mark.parametrize("sign", [LadderEvent.FIRST_AUDIO_IN, LadderEvent.NO_AUDIO])
def test_a_sign_of_life_in_between_allows_any_number_of_reattaches(
    desk: Desk, twilio: Connector, sign: LadderEvent
) -> None:
    for _ in range(12):
        response = desk.notify_after_commit(twilio, CallStatus="in-progress")
        leg_id = desk.start(ref_of(response))
        call = desk.call(twilio)
        desk.calls.step(call.id, leg_id, sign, desk.clock.now())
        desk.calls.detached(call.id, leg_id, desk.clock.now(), None, None)
    assert streams(response)


def test_a_hang_up_notice_ends_the_call_and_gets_an_empty_response(
    desk: Desk, connector: Connector
) -> None:
    desk.start(ref_of(desk.notify_after_commit(connector)), connector.provider)
    notice = {"CallStatus": "completed", "HangupCause": "NORMAL_CLEARING", "Event": "Hangup"}
    for _ in range(2):
        assert verbs(desk.notify_after_commit(connector, **notice)) == []
    call = desk.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert events(call).count(LadderEvent.END) == 1


def test_a_hang_up_notice_of_a_call_that_never_connected_abandons_it(
    desk: Desk, connector: Connector
) -> None:
    desk.notify_after_commit(connector)
    desk.notify_after_commit(connector, CallStatus="completed", Event="Hangup")
    assert desk.call(connector).status is CallStatus.ABANDONED


def test_a_notice_of_an_unknown_call_makes_no_call(desk: Desk, connector: Connector) -> None:
    assert verbs(desk.notify_after_commit(connector, CallStatus="completed", Event="Hangup")) == []
    assert desk.call(connector) is None


def test_a_refused_call_that_is_up_already_is_hung_up_and_not_rejected(desk: Desk) -> None:
    connector = desk.connect(a_connector(default_room_id=None))
    assert verbs(desk.notify_after_commit(connector, CallStatus="in-progress")) == ["Hangup"]


def test_busy_is_said_in_the_providers_own_markup(desk: Desk) -> None:
    assert "Reject" in desk.reception.busy("twilio").text
    assert 'Hangup reason="busy"' in desk.reception.busy("plivo").text
    assert desk.reception.busy("vonage") is None


def test_the_rule_of_the_dialled_number_decides_and_is_recorded(
    desk: Desk, connector: Connector
) -> None:
    rule = a_rule(room=replace(NEW_ROOM, prefix=RoomPrefix.SIP_NUMBER))
    desk.switchboard.rules.add(rule)
    spec = desk.switchboard.claim(connector.provider, ref_of(desk.notify_after_commit(connector)))
    call = desk.call(connector)
    assert call.rule_id == rule.id
    named = desk.switchboard.rooms.named("number-14155550199", 0)
    assert spec.room_id == call.room_id == named.id


def test_every_call_of_a_blank_rule_has_a_room_of_its_own(desk: Desk, twilio: Connector) -> None:
    desk.switchboard.rules.add(a_rule(room=NEW_ROOM))
    for number in range(2):
        desk.notify_after_commit(twilio, CallSid=f"CA{number}")
    first, second = (call.room_id for call in desk.calls.page().items)
    assert first != second


def test_a_connector_s_rule_takes_what_no_number_rule_does(desk: Desk) -> None:
    rule = a_rule(numbers=())
    desk.switchboard.rules.add(rule)
    connector = desk.connect(a_connector(default_rule_id=rule.id))
    desk.notify_after_commit(connector)
    call = desk.call(connector)
    assert (call.rule_id, call.room_id) == (rule.id, "rule-room-0001")


def test_a_caller_whom_the_rule_does_not_allow_is_turned_away(desk: Desk) -> None:
    desk.switchboard.rules.add(a_rule(allowed_numbers=("+91*", "+14155550111")))
    for name, verb in (("twilio", "Reject"), ("plivo", "Hangup"), ("telnyx", "Reject")):
        connector = desk.connect(a_connector(provider=name))
        response = desk.notify_after_commit(connector)
        assert verbs(response) == [verb]
        assert response[0].get("reason") == "rejected"
        call = desk.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NOT_ALLOWED)
        assert call.steps[-1].detail == "not-allowed"
        field = "CallUUID" if name == "plivo" else "CallSid"
        assert streams(
            desk.notify_after_commit(connector, From="+919876543210", **{field: "another"})
        )


@pytest.mark.parametrize(
    ("hides", "name"), [(True, "***00"), (False, "+14155550100")], ids=["hidden", "shown"]
)
def test_a_rule_may_hide_the_caller_s_number_from_the_room(
    desk: Desk, twilio: Connector, hides: bool, name: str
) -> None:
    desk.switchboard.rules.add(a_rule(hide_phone_number=hides))
    spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(twilio)))
    call = desk.call(twilio)
    assert (spec.participant.name, call.participant.name) == (name, name)
    assert (call.caller, call.hides_number) == ("+14155550100", hides)


def test_only_calls_without_a_rule_tell_of_keys_unasked(desk: Desk, twilio: Connector) -> None:
    assert desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(twilio))).dtmf
    for dtmf in (True, False):
        rule = a_rule(dtmf=dtmf)
        desk.switchboard.rules.add(rule)
        ref = ref_of(desk.notify_after_commit(twilio, CallSid=f"CA{dtmf}"))
        assert desk.switchboard.claim("twilio", ref).dtmf is dtmf
        desk.switchboard.rules.delete(rule)


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
def test_the_region_is_the_connector_s_or_the_caller_s_and_has_its_address(
    sqlite_database: Database,
    clock: FakeClock,
    own: str | None,
    caller: str,
    region: str,
    address: str,
) -> None:
    with a_desk(sqlite_database, clock, regions={"in002": "wss://in.example.com/voice"}) as desk:
        connector = desk.connect(a_connector(region=own))
        assert media_url(desk.notify_after_commit(connector, From=caller)).startswith(address)
        assert desk.call(connector).region == region
        # The redirect asks for the same call, wherever the connector is now.
        desk.switchboard.connectors.update(connector.id, {"region": "us002"})
        assert media_url(desk.notify_after_commit(connector)).startswith(address)


def test_the_agent_of_a_rule_is_the_calls(desk: Desk, twilio: Connector) -> None:
    extra = {"agent_id": "agent_1", "agent_metadata": {"team": "support"}}
    desk.switchboard.rules.add(a_rule(extra=extra))
    desk.notify_after_commit(twilio)
    assert desk.call(twilio).agent == Assignment("agent_1", BASE, {"team": "support"})


def test_a_call_of_a_rule_without_an_agent_has_none(desk: Desk, twilio: Connector) -> None:
    desk.switchboard.rules.add(a_rule(extra={"tags": ["a"]}))
    desk.notify_after_commit(twilio)
    assert desk.call(twilio).agent is None
