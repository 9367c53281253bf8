"""Rooms of calls by rule, number and connector."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.calls import EndReason
from service.domain.routing import ByCustomId, ById, Fresh, RoomChoice, choose_room, resolve
from service.domain.routing_rules import NEW_ROOM, RoomPrefix, Rule, RuleType
from tests.support.records import a_connector, a_rule

CALLER, CALLEE = "+14155550100", "+14155550199"
ROOM = ById("abcd-efgh-ijkl")

DIALLED = a_rule(name="dialled")
DEFAULT = a_rule(name="default", numbers=())
CLOSED = replace(DIALLED, name="closed", allowed_numbers=("+91*",))
OUTBOUND = replace(DIALLED, name="outbound", type=RuleType.OUTBOUND)


@pytest.mark.parametrize(
    ("dialled", "default", "has_room", "expected"),
    [
        (DIALLED, DEFAULT, True, DIALLED),
        (DIALLED, None, False, DIALLED),
        (None, DEFAULT, True, DEFAULT),
        (None, DEFAULT, False, DEFAULT),
        (None, None, True, ROOM),
        (None, None, False, EndReason.NO_ROUTE),
        # Refused, and not routed to the room that the rule protects.
        (CLOSED, DEFAULT, True, EndReason.NOT_ALLOWED),
        (None, CLOSED, True, EndReason.NOT_ALLOWED),
        (DIALLED, CLOSED, True, DIALLED),
        # Rules for outbound calls do not apply to inbound ones.
        (None, OUTBOUND, True, ROOM),
        (OUTBOUND, DEFAULT, True, DEFAULT),
        (None, OUTBOUND, False, EndReason.NO_ROUTE),
    ],
)
def test_the_first_of_number_rule_and_room_decides(
    dialled: Rule | None, default: Rule | None, has_room: bool, expected: object
) -> None:
    connector = a_connector(default_room_id=ROOM.name if has_room else None)
    assert resolve(connector, CALLER, dialled, default) == expected


def dynamic(prefix: RoomPrefix, *, hide: bool = False) -> Rule:
    return a_rule(room=replace(NEW_ROOM, prefix=prefix), hide_phone_number=hide)


@pytest.mark.parametrize(
    ("decision", "caller", "callee", "expected"),
    [
        (ROOM, CALLER, CALLEE, ROOM),
        (DIALLED, CALLER, CALLEE, ById("rule-room-0001")),
        (dynamic(RoomPrefix.BLANK), CALLER, CALLEE, Fresh()),
        (dynamic(RoomPrefix.RANDOM), CALLER, CALLEE, Fresh()),
        (
            dynamic(RoomPrefix.PARTICIPANT_NUMBER),
            CALLER,
            CALLEE,
            ByCustomId("participant-14155550100"),
        ),
        (dynamic(RoomPrefix.SIP_NUMBER), CALLER, CALLEE, ByCustomId("number-14155550199")),
        (dynamic(RoomPrefix.SIP_NUMBER), "anonymous", CALLEE, ByCustomId("number-14155550199")),
        *(
            (dynamic(RoomPrefix.PARTICIPANT_NUMBER), caller, CALLEE, Fresh())
            for caller in ("", "anonymous", "+266696687", "+86282452253", "sip:ann@example.com")
        ),
        (dynamic(RoomPrefix.SIP_NUMBER), CALLER, "sip:desk@example.com", Fresh()),
    ],
)
def test_the_rule_s_strategy_finds_the_room(
    decision: Rule | ById, caller: str, callee: str, expected: RoomChoice
) -> None:
    assert choose_room(decision, caller, callee, lambda: "secret") == expected


def test_a_withheld_number_has_a_stable_room_with_an_opaque_name() -> None:
    rule = dynamic(RoomPrefix.PARTICIPANT_NUMBER, hide=True)
    found = choose_room(rule, CALLER, CALLEE, lambda: "secret")
    assert found == choose_room(rule, CALLER, "+442071838750", lambda: "secret")
    assert found != choose_room(rule, "+14155550101", CALLEE, lambda: "secret")
    assert found != choose_room(rule, CALLER, CALLEE, lambda: "another secret")
    assert isinstance(found, ByCustomId)
    assert "5550100" not in found.name
