"""Stored routing rules, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from service.domain.routing_rules import NEW_ROOM, RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import Conflict, Invalid, NotFound
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.storage.routing_rules import NumberTaken, Rules
from service.storage.tables import rule_numbers
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

NUMBER, OTHER = "+14155550199", "+919876543210"


@pytest.fixture
def store(database: Database) -> Rules:
    return Rules(database, "secret")


def named(store: Rules, *names: str, **changes: Any) -> list[Rule]:
    rules = [a_rule(name=name, numbers=(), **changes) for name in names]
    for rule in rules:
        store.add(rule)
    return rules


def test_a_rule_comes_back_as_it_was_stored(store: Rules) -> None:
    full = a_rule(
        numbers=(OTHER, NUMBER),
        room=RuleRoom(RoomType.DYNAMIC, RoomPrefix.SIP_NUMBER, None, "0042"),
        hide_phone_number=True,
        dtmf=True,
        allowed_numbers=("+91*",),
        extra={"tags": ["ü"], "agent_metadata": {"a": {"b": 1}}},
    )
    bare = a_rule(numbers=(), type=RuleType.OUTBOUND, room=NEW_ROOM)
    store.add(full)
    store.add(bare)
    assert store.get(full.id) == store.find(full.id) == full
    assert store.get(bare.id) == bare


def test_an_unknown_rule_is_not_found(store: Rules) -> None:
    assert store.find("rr_none") is None
    for ask in (
        lambda: store.get("rr_none"),
        lambda: store.update("rr_none", lambda rule: rule),
        lambda: store.delete(a_rule()),
    ):
        with pytest.raises(NotFound):
            ask()


def test_a_number_finds_its_inbound_rule_and_an_id_the_default(store: Rules) -> None:
    inbound, default = a_rule(), a_rule(numbers=())
    outbound = a_rule(type=RuleType.OUTBOUND, numbers=(NUMBER, OTHER))
    for rule in (inbound, default, outbound):
        store.add(rule)
    assert store.for_call(NUMBER, None) == (inbound, None)
    assert store.for_call(NUMBER, default.id) == (inbound, default)
    assert store.for_call(OTHER, default.id) == (None, default)
    assert store.for_call("", "rr_gone") == (None, None)


def test_an_inbound_number_is_on_one_inbound_rule_only(store: Rules) -> None:
    store.add(a_rule(numbers=(OTHER, NUMBER)))
    late = a_rule(numbers=("+14155550101", NUMBER))
    with pytest.raises(NumberTaken) as taken:
        store.add(late)
    assert taken.value.number == NUMBER
    assert store.find(late.id) is None
    for _ in range(2):
        store.add(a_rule(type=RuleType.OUTBOUND))


def test_the_database_itself_refuses_a_second_inbound_rule(
    store: Rules, database: Database
) -> None:
    first, second = a_rule(), a_rule(numbers=())
    store.add(first)
    store.add(second)
    row = {"rule_id": second.id, "number": NUMBER, "type": "inbound"}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(rule_numbers).values(row))


def test_one_of_many_simultaneous_rules_gets_a_number(store: Rules) -> None:
    # Each pair has its numbers in another order, in which two transactions could deadlock.
    pairs = [(NUMBER, OTHER), (OTHER, NUMBER)] * 3
    results = at_once(len(pairs), lambda turn: store.add(a_rule(numbers=pairs[turn])))
    assert (
        sorted(str(type(result).__name__) for result in results)
        == ["NoneType"] + ["NumberTaken"] * 5
    )
    assert store.page().total == 1


def test_an_update_replaces_the_numbers_and_checks_them(store: Rules) -> None:
    rule, other = a_rule(numbers=(NUMBER,)), a_rule(numbers=(OTHER,))
    store.add(rule)
    store.add(other)
    with pytest.raises(NumberTaken):
        store.update(rule.id, lambda rule: replace(rule, numbers=(NUMBER, OTHER)))
    assert store.get(rule.id) == rule
    moved = store.update(rule.id, lambda rule: replace(rule, numbers=("+14155550101",), name="x"))
    assert moved == store.get(rule.id) == replace(rule, numbers=("+14155550101",), name="x")
    # A number that was given up is free again.
    assert store.update(other.id, lambda rule: replace(rule, numbers=(NUMBER,))).numbers == (
        NUMBER,
    )


def test_a_change_that_is_refused_changes_nothing(store: Rules) -> None:
    rule = a_rule()
    store.add(rule)

    def refuse(rule: Rule) -> Rule:
        raise Invalid("No.")

    with pytest.raises(Invalid):
        store.update(rule.id, refuse)
    assert store.get(rule.id) == rule


def test_simultaneous_changes_do_not_undo_each_other(store: Rules) -> None:
    rule = a_rule(extra={})
    store.add(rule)
    at_once(
        6,
        lambda turn: store.update(
            rule.id, lambda rule: replace(rule, extra={**rule.extra, str(turn): turn})
        ),
    )
    assert store.get(rule.id).extra == {str(turn): turn for turn in range(6)}


def test_a_deleted_rule_frees_its_numbers_and_leaves_its_connectors(
    store: Rules, database: Database
) -> None:
    rule, kept = a_rule(), a_rule(numbers=())
    store.add(rule)
    store.add(kept)
    connectors = Connectors(database, "secret")
    named, other = a_connector(default_rule_id=rule.id), a_connector(default_rule_id=kept.id)
    connectors.add(named)
    connectors.add(other)
    store.delete(rule)
    assert store.find(rule.id) is None
    assert connectors.get(named.id).default_rule_id is None
    assert connectors.get(other.id).default_rule_id == kept.id
    store.add(a_rule())


def test_a_rule_changed_since_it_was_read_is_not_deleted(store: Rules) -> None:
    rule = a_rule()
    store.add(rule)
    changed = store.update(rule.id, lambda rule: replace(rule, name="New"))
    with pytest.raises(Conflict, match="changed meanwhile"):
        store.delete(rule)
    store.delete(changed)


def test_one_of_two_simultaneous_deletions_finds_the_rule_gone(store: Rules) -> None:
    rule = a_rule()
    store.add(rule)
    results = at_once(2, lambda _: store.delete(rule))
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "NotFound"]


def test_pages_are_newest_first_and_filtered(store: Rules) -> None:
    first, second, third = named(store, "a", "b", "c")
    [outbound] = named(store, "d", type=RuleType.OUTBOUND, room=NEW_ROOM)
    [gateway] = named(store, "e", extra={"gateway_id": "gw_1"})
    assert store.page().items == (gateway, outbound, third, second, first)
    page = store.page(number=2, per_page=2)
    assert (page.items, page.total, page.last) == ((third, second), 5, 3)
    assert store.page(number=10**9).items == ()
    assert store.page(kind=RuleType.OUTBOUND).items == (outbound,)
    assert store.page(rule_ids=[first.id, third.id, "rr_none"]).items == (third, first)
    assert store.page(room_types=[RoomType.DYNAMIC]).items == (outbound,)
    assert store.page(room_types=list(RoomType)).total == 5
    assert store.page(gateway_id="gw_1").items == (gateway,)
    assert store.page(kind=RuleType.INBOUND, rule_ids=[outbound.id]).total == 0


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("support", ["Support"]),
        ("SALES|support", ["Support", "Sales"]),
        ("^s.*t$", ["Support"]),
        # A number is no valid regular expression, and is found as text.
        ("+1415", ["Support"]),
        ("1415", ["Support"]),
        (r"^\+91", ["Sales"]),
        ("(", ["Odd ("]),
        ("nothing", []),
        ("(?=Support)", []),
    ],
)
def test_search_is_a_regular_expression_for_names_and_numbers(
    store: Rules, search: str, expected: list[str]
) -> None:
    store.add(a_rule(name="Odd (", numbers=()))
    store.add(a_rule(name="Sales", numbers=(OTHER,)))
    store.add(a_rule(name="Support", numbers=(NUMBER,)))
    assert [rule.name for rule in store.page(search=search).items] == expected


@pytest.mark.parametrize("search", ["^(a+)+$", "^(a|a)*$", "^(a{1,100}){1,100}$", "(.*)*(.*)*x"])
def test_no_search_hangs_the_process(store: Rules, search: str) -> None:
    """With backtracking, each of these would outlast the test run."""
    named(store, "a" * 120 + "!")
    assert store.page(search=search).items == ()


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("+14155550106", "+14155550106"),
        ("+5215512345678", "+525512345678"),
        ("+525512345678", "+5215512345678"),
        ("+5491123456789", "+541123456789"),
        ("+14155550106", "4155550106"),
        ("+14155550106", "(415) 555-0106"),
        ("+442079460000", "02079460000"),
        ("+14155550106", "01114155550106"),
        ("+14155550106", "+14155550106x5"),
    ],
)
def test_a_dialled_number_is_found_in_every_spelling(
    store: Rules, written: str, called: str
) -> None:
    rule = a_rule(numbers=(written,))
    store.add(rule)
    store.add(a_rule(numbers=("+15005550006",)))
    assert store.for_call(called, None) == (rule, None)


@pytest.mark.parametrize("called", ["", "911", "anonymous", "+4155550106", "+1415555010", "%"])
def test_text_that_only_looks_like_a_number_finds_no_rule(store: Rules, called: str) -> None:
    store.add(a_rule(numbers=("+14155550106",)))
    assert store.for_call(called, None) == (None, None)


def test_a_number_with_a_pin_takes_precedence_over_one_with_the_same_end(store: Rules) -> None:
    guarded = a_rule(numbers=("+14155550106",))
    guarded = replace(guarded, room=replace(guarded.room, pin="4321"))
    for rule in (a_rule(numbers=("+494155550106",)), guarded, a_rule(numbers=("+34155550106",))):
        store.add(rule)
    assert store.for_call("4155550106", None) == (guarded, None)
    assert store.for_call("sip:+14155550106@example.com", None) == (guarded, None)
    assert store.for_call("+14155550106", None) == (guarded, None)


def test_a_number_is_on_one_inbound_rule_in_any_spelling(store: Rules) -> None:
    store.add(a_rule(numbers=("+5215512345678",)))
    with pytest.raises(NumberTaken, match=r"\+5215512345678"):
        store.add(a_rule(numbers=("+525512345678",)))
