"""The PIN prompt: questions, tries, and their storage."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from xml.etree.ElementTree import Element, tostring

import pytest

from service.calls.pin_prompt import FAREWELL, PROMPT, PROMPT_AGAIN
from service.domain import routing
from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.domain.connectors import Connector
from service.domain.routing_rules import NEW_ROOM, Rule
from service.storage.database import Database
from service.storage.routing_rules import Rules
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, events, kept, masked, ref_of, verbs
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

PIN = "4321"
RULE = a_rule()
RULE = replace(RULE, room=replace(RULE.room, pin=PIN))


@pytest.fixture
def harness(sqlite_database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(sqlite_database, clock, max_calls=2) as harness:
        yield harness


@pytest.fixture
def rule(harness: Harness) -> Rule:
    harness.stores.routing_rules.add(RULE)
    return RULE


@pytest.fixture(params=["twilio", "plivo", "telnyx"])
def connector(harness: Harness, rule: Rule, request: pytest.FixtureRequest) -> Connector:
    return harness.connect(a_connector(provider=request.param))


@pytest.fixture
def twilio(harness: Harness, rule: Rule) -> Connector:
    return harness.connect(a_connector())


def asked(response: Element) -> str:
    """The sentence of a question, which must have a way on where no key is pressed."""
    gather, redirect = response
    assert gather.tag in ("Gather", "GetDigits")
    assert redirect.tag == "Redirect"
    assert redirect.text == gather.get("action")
    assert gather.get("numDigits") == "4"
    [said] = gather
    return said.text or ""


def dismissed(response: Element) -> bool:
    return verbs(response) in (["Say", "Hangup"], ["Speak", "Hangup"])


def test_caller_is_asked_for_the_pin_first(harness: Harness, connector: Connector) -> None:
    response = harness.webhook(connector)
    assert asked(response) == PROMPT
    call = harness.call(connector)
    assert response[0].get("action") == f"{harness.address(call)}/gather?try=1"
    assert (call.status, call.room_id, call.pin_tries) == (CallStatus.INCOMING, None, 1)
    assert call.rule_id == RULE.id
    assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.PIN]


def test_right_pin_leads_into_the_room(harness: Harness, connector: Connector) -> None:
    harness.webhook(connector)
    response = harness.press(connector, PIN, 1)
    call = harness.call(connector)
    assert (call.status, call.room_id) == (CallStatus.VERIFIED, "rule-room-0001")
    assert call.expires_at == harness.clock.now() + 90_000
    assert [step.status for step in call.steps[-2:]] == [CallStatus.VERIFIED] * 2
    harness.start(ref_of(response), connector.provider)
    assert harness.call(connector).status is CallStatus.ANSWERED
    # Every later webhook is about the stream, also at the address for keys.
    assert ref_of(harness.press(connector, "9999", 1))


def test_three_wrong_pins_end_politely(harness: Harness, connector: Connector) -> None:
    harness.webhook(connector)
    assert asked(harness.press(connector, "1111", 1)) == PROMPT_AGAIN
    assert asked(harness.press(connector, "432", 2)) == PROMPT_AGAIN
    assert dismissed(harness.press(connector, "43210", 3))
    call = harness.call(connector)
    assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NO_PIN)
    assert call.ended_at == harness.clock.now()
    # Every later webhook is answered the same, at both addresses.
    assert dismissed(harness.press(connector, PIN, 3))
    assert dismissed(harness.webhook(connector, CallStatus="in-progress"))


def test_ladder_keeps_the_questions_and_the_last_answer(
    harness: Harness, connector: Connector
) -> None:
    answers = [
        harness.webhook(connector),
        harness.webhook(connector),
        harness.press(connector, "1111", 1),
        harness.press(connector, PIN, 2),
    ]
    call = harness.call(connector)
    assert kept(call) == [masked(answer, connector) for answer in answers]
    assert connector.webhook_key not in repr(call)


def test_farewell_is_kept(harness: Harness, twilio: Connector) -> None:
    answers = [
        harness.webhook(twilio),
        *(harness.press(twilio, "1111", number) for number in (1, 2, 3)),
    ]
    assert kept(harness.call(twilio)) == [masked(answer, twilio) for answer in answers]


def test_silence_counts_as_a_try(harness: Harness, connector: Connector) -> None:
    harness.webhook(connector)
    assert asked(harness.press(connector, "", 1)) == PROMPT
    assert asked(harness.press(connector, "", 2)) == PROMPT
    assert FAREWELL in tostring(harness.press(connector, "", 3), encoding="unicode")
    assert harness.call(connector).end_reason is EndReason.NO_PIN


def test_second_answer_to_a_question_changes_nothing(harness: Harness, twilio: Connector) -> None:
    harness.webhook(twilio)
    harness.press(twilio, "1111", 1)
    for digits in ("1111", "2222", "", PIN):
        assert asked(harness.press(twilio, digits, 1)) == PROMPT
        assert harness.call(twilio).pin_tries == 2


@pytest.mark.parametrize("tries", ["", "0", "01", "1 ", "-1", "x", "9" * 400])
def test_answer_to_another_question_is_ignored(
    harness: Harness, twilio: Connector, tries: str
) -> None:
    harness.webhook(twilio)
    assert asked(harness.webhook(twilio, **{"try": tries}, Digits=PIN)) == PROMPT
    assert harness.call(twilio).pin_tries == 1


def test_right_pin_twice_makes_one_verified_call_and_both_answers_stream(
    harness: Harness, twilio: Connector
) -> None:
    harness.webhook(twilio)
    first, second = harness.press(twilio, PIN, 1), harness.press(twilio, PIN, 1)
    assert ref_of(first) != ref_of(second)
    assert events(harness.call(twilio)).count(LadderEvent.VERIFIED) == 1
    harness.start(ref_of(second))


def test_guesses_at_once_are_one_try(harness: Harness, twilio: Connector) -> None:
    harness.webhook(twilio)
    at_once(4, lambda turn: harness.press(twilio, f"000{turn}", 1))
    assert harness.call(twilio).pin_tries == 2


def test_answers_to_everything_at_once_leave_one_call_in_its_room(
    harness: Harness, twilio: Connector
) -> None:
    """The right PIN, twice, between repeated webhooks and late answers, ends no call."""
    harness.webhook(twilio)
    asks = [
        lambda: harness.press(twilio, PIN, 1),
        lambda: harness.webhook(twilio),
        lambda: harness.press(twilio, PIN, 1),
        lambda: harness.press(twilio, "1111", 2),
    ]
    answers = at_once(len(asks), lambda turn: asks[turn]())
    assert {verbs(answer)[0] for answer in answers} <= {"Connect", "Gather"}
    assert harness.call(twilio).status is CallStatus.VERIFIED
    assert events(harness.call(twilio)).count(LadderEvent.VERIFIED) == 1


def test_repeated_webhook_repeats_the_question_but_not_for_ever(
    harness: Harness, twilio: Connector
) -> None:
    answers = [verbs(harness.webhook(twilio)) for _ in range(7)]
    assert answers == [["Gather", "Redirect"]] * 5 + [["Hangup"]] * 2
    call = harness.call(twilio)
    assert (call.status, call.pin_tries) == (CallStatus.ABANDONED, 1)


def test_tries_survive_a_restart(
    harness: Harness, twilio: Connector, sqlite_database: Database, clock: FakeClock
) -> None:
    harness.webhook(twilio)
    harness.press(twilio, "1111", 1)
    with a_harness(sqlite_database, clock) as another:
        another.restart()
        another.press(twilio, "1111", 2)
        assert dismissed(another.press(twilio, "1111", 3))


def test_digits_are_kept_nowhere(
    harness: Harness, twilio: Connector, sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harness.webhook(twilio)
    harness.press(twilio, "70707", 1)
    harness.press(twilio, PIN, 2)
    assert "70707" not in caplog.text
    assert PIN not in caplog.text
    with sqlite_database.read() as connection:
        for table in ("calls", "steps", "refs"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            assert "70707" not in repr(rows)


def test_caller_that_is_asked_counts_towards_the_limit(harness: Harness, twilio: Connector) -> None:
    for number in range(2):
        assert asked(harness.webhook(twilio, CallSid=f"CA{number}"))
    response = harness.webhook(twilio)
    assert response[0].get("reason") == "busy"
    assert harness.call(twilio).end_reason is EndReason.BUSY


def test_call_whose_caller_does_not_answer_ends_at_the_deadline(
    harness: Harness, twilio: Connector
) -> None:
    harness.webhook(twilio)
    harness.clock.advance(179.9)
    harness.deadlines.sweep()
    assert harness.call(twilio).status is CallStatus.INCOMING
    harness.clock.advance(0.1)
    harness.deadlines.sweep()
    call = harness.call(twilio)
    assert (call.status, call.end_reason) == (CallStatus.ABANDONED, EndReason.NO_PIN)
    assert verbs(harness.press(twilio, PIN, 1)) == ["Hangup"]


def test_hang_up_while_being_asked_abandons_the_call(
    harness: Harness, connector: Connector
) -> None:
    harness.webhook(connector)
    notice = {"CallStatus": "completed", "Event": "Hangup"}
    assert verbs(harness.webhook(connector, **{"try": "1"}, **notice)) == []
    assert harness.call(connector).status is CallStatus.ABANDONED


def test_call_ended_by_the_api_is_hung_up_on_its_next_answer(
    harness: Harness, twilio: Connector
) -> None:
    harness.webhook(twilio)
    harness.ending.end(harness.call(twilio).id)
    assert verbs(harness.press(twilio, PIN, 1)) == ["Hangup"]


def test_keys_for_an_unknown_call_hang_up_and_make_no_call(
    harness: Harness, twilio: Connector
) -> None:
    assert verbs(harness.press(twilio, PIN, 1)) == ["Hangup"]
    assert harness.call(twilio) is None


def test_rule_may_change_while_the_caller_is_asked(harness: Harness, twilio: Connector) -> None:
    rules = harness.stores.routing_rules
    for call in ("CA1", "CA2"):
        harness.webhook(twilio, CallSid=call)
    rules.update(RULE.id, lambda rule: replace(rule, room=replace(rule.room, pin="777")))
    response = harness.press(twilio, PIN, 1, CallSid="CA1")
    assert response[0].get("numDigits") == "3"
    rules.update(RULE.id, lambda rule: replace(rule, room=NEW_ROOM))
    assert ref_of(harness.press(twilio, "", 2, CallSid="CA1"))
    assert ref_of(harness.webhook(twilio, CallSid="CA2"))


@pytest.mark.parametrize("tries", [{"try": "1", "Digits": PIN}, {}], ids=["keys", "webhook"])
def test_deleted_rule_admits_no_caller(
    harness: Harness, twilio: Connector, tries: dict[str, str]
) -> None:
    harness.webhook(twilio)
    harness.stores.routing_rules.delete(RULE)
    assert dismissed(harness.webhook(twilio, **tries))
    call = harness.call(twilio)
    assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.NO_ROUTE)


def test_room_is_created_only_after_the_right_pin(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock) as harness:
        harness.stores.routing_rules.add(replace(RULE, room=replace(NEW_ROOM, pin=PIN)))
        twilio = harness.connect(a_connector())
        harness.webhook(twilio)
        assert harness.call(twilio).room_id is None
        harness.press(twilio, PIN, 1)
        assert harness.call(twilio).room_id is not None


@pytest.mark.parametrize("called", ["+1 (415) 555-0199", "14155550199", "0014155550199"])
def test_no_spelling_of_the_called_number_avoids_the_question(
    harness: Harness, connector: Connector, called: str
) -> None:
    assert asked(harness.webhook(connector, To=called)) == PROMPT


@pytest.mark.parametrize("called", ["4155550199", "(415) 555-0199"])
def test_called_number_without_its_country_asks_for_the_pin(
    harness: Harness, connector: Connector, called: str
) -> None:
    assert asked(harness.webhook(connector, To=called)) == PROMPT
    assert harness.call(connector).callee == called


def test_caller_is_let_in_and_shown_by_the_number_however_it_is_written(harness: Harness) -> None:
    rule = a_rule(numbers=("+14155550107",), allowed_numbers=("+14155550100",))
    harness.stores.routing_rules.add(rule)
    twilio = harness.connect(a_connector())
    response = harness.webhook(twilio, From="+1 (415) 555-0100", To="+14155550107")
    assert "Connect" in verbs(response)
    assert harness.call(twilio).caller == "+14155550100"


def test_pin_that_cannot_be_decrypted_admits_no_caller(
    harness: Harness, connector: Connector
) -> None:
    harness.webhook(connector)
    sealed_elsewhere = Rules(harness.database, "another secret")
    sealed_elsewhere.update(
        RULE.id, lambda rule: replace(rule, room=replace(rule.room, pin=PIN, is_locked=False))
    )
    # A caller who was asked before cannot answer, and a new caller is not asked.
    assert dismissed(harness.press(connector, PIN, 1))
    assert harness.call(connector).status is CallStatus.REJECTED
    assert dismissed(harness.press(connector, "", 1))
    routed = routing.resolve(
        connector, "+14155550100", harness.stores.routing_rules.get(RULE.id), None
    )
    assert routed is EndReason.NOT_ALLOWED
