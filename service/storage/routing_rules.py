"""Routing rules, and the numbers that lead to them.

An inbound number is on one inbound rule at most. Transactions that write numbers take turns, so
that the second of two rules for one number is refused. A unique index enforces it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import re2
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from service.domain.paging import Page
from service.domain.phone_numbers import ending, spellings
from service.domain.routing_rules import RoomType, Rule, RuleType
from service.errors import Conflict, Invalid, NotFound
from service.security.encryption import Vault
from service.storage.advisory_locks import take_turns
from service.storage.database import Database
from service.storage.routing_rule_rows import PINS, from_row, to_row
from service.storage.tables import INBOUND_NUMBER, connectors, routing_rules, rule_numbers

NUMBERS = 7_300_004
"""Advisory lock (Postgres) under which numbers are assigned to rules."""

NOT_FOUND = "Routing rule not found"
CHANGED = "The routing rule was changed meanwhile; read it again before you delete it."

MAX_PROGRAM = 1 << 20
"""Memory of a compiled search in bytes: a short pattern can describe a very large automaton."""


class NumberTaken(Invalid):
    """An inbound rule has this number already."""

    def __init__(self, number: str) -> None:
        super().__init__(f"The number {number} is on another inbound rule already.")
        self.number = number


@dataclass(frozen=True, slots=True)
class RuleQuery:
    """A query for rules, newest first, with their numbers: two statements for any count."""

    rules: Select[Any]
    numbers: Select[Any]

    @classmethod
    def where(cls, *conditions: ColumnElement[bool]) -> Self:
        chosen = select(routing_rules.c.id).where(*conditions)
        return cls(
            select(routing_rules).where(*conditions).order_by(routing_rules.c.seq.desc()),
            select(rule_numbers)
            .where(rule_numbers.c.rule_id.in_(chosen))
            .order_by(rule_numbers.c.seq),
        )


OWNERS = select(rule_numbers.c.rule_id).where(
    rule_numbers.c.number.in_(bindparam("numbers", expanding=True))
)
# The numbers match by their last digits: one lacks its country code, or has more digits dialled.
DIGITS = bindparam("digits", type_=String)
ENDING = select(rule_numbers.c.rule_id).where(
    rule_numbers.c.number.endswith(DIGITS) | DIGITS.endswith(func.substr(rule_numbers.c.number, 2))
)

BY_ID = RuleQuery.where(routing_rules.c.id == bindparam("rule_id"))
# Spelt as the condition of the index is. SQLite would not use the index for a parameter.
INBOUND = RuleQuery.where(routing_rules.c.id.in_(OWNERS.where(INBOUND_NUMBER)))
INBOUND_ENDING = RuleQuery.where(routing_rules.c.id.in_(ENDING.where(INBOUND_NUMBER)))
OUTBOUND = RuleQuery.where(
    routing_rules.c.id.in_(OWNERS.where(rule_numbers.c.type == RuleType.OUTBOUND))
)


class Rules:
    def __init__(self, database: Database, api_secret: str, previous: str | None = None) -> None:
        self._database = database
        self._vault = Vault(api_secret, PINS, previous)

    def add(self, rule: Rule) -> None:
        """Add a rule. Raises ``NumberTaken``."""
        with self._database.write() as connection:
            connection.execute(insert(routing_rules).values(to_row(rule, self._vault)))
            self._write_numbers(connection, rule)

    def get(self, rule_id: str) -> Rule:
        """Return a rule. Raises ``NotFound``."""
        found = self.find(rule_id)
        if found is None:
            raise NotFound(NOT_FOUND)
        return found

    def find(self, rule_id: str) -> Rule | None:
        with self._database.read() as connection:
            return self._one(connection, BY_ID, rule_id=rule_id)

    def for_call(self, callee: str, default_rule_id: str | None) -> tuple[Rule | None, Rule | None]:
        """Return the inbound rule that has the dialled number, and the rule of the id.

        A number without its country code is compared by its last digits.
        """
        with self._database.read() as connection:
            dialled = self._dialled(connection, callee)
            if default_rule_id is None:
                return dialled, None
            return dialled, self._one(connection, BY_ID, rule_id=default_rule_id)

    def outbound(self, number: str) -> Rule | None:
        """Return the outbound rule that has the number; of several, the newest."""
        with self._database.read() as connection:
            return self._one(connection, OUTBOUND, numbers=spellings(number))

    def page(
        self,
        *,
        search: str | None = None,
        kind: RuleType | None = None,
        rule_ids: Sequence[str] = (),
        room_types: Sequence[RoomType] = (),
        gateway_id: str | None = None,
        number: int = 1,
        per_page: int = 10,
    ) -> Page[Rule]:
        """Return a page of rules, newest first. A page past the last is empty.

        ``search`` is a regular expression that matches the name or a number, ignoring case.
        """
        conditions: list[ColumnElement[bool]] = []
        if kind is not None:
            conditions.append(routing_rules.c.type == kind)
        if rule_ids:
            conditions.append(routing_rules.c.id.in_(rule_ids))
        if room_types:
            conditions.append(routing_rules.c.room_type.in_(room_types))
        with self._database.read() as connection:
            found = self._fetch(connection, RuleQuery.where(*conditions), {})
        if gateway_id is not None:
            found = [rule for rule in found if rule.extra.get("gateway_id") == gateway_id]
        if search is not None:
            fits = _matcher(search)
            found = [rule for rule in found if any(map(fits, (rule.name, *rule.numbers)))]
        return Page.cut(found, number, per_page)

    def update(self, rule_id: str, change: Callable[[Rule], Rule]) -> Rule:
        """Replace a rule by the result of ``change``, under a lock.

        Raises ``NotFound``, ``NumberTaken``, and the errors of ``change``.
        """
        where = routing_rules.c.id == rule_id
        with self._database.write() as connection:
            connection.execute(select(routing_rules.c.seq).where(where).with_for_update())
            rule = self._one(connection, BY_ID, rule_id=rule_id)
            if rule is None:
                raise NotFound(NOT_FOUND)
            changed = change(rule)
            connection.execute(
                update(routing_rules).where(where).values(to_row(changed, self._vault))
            )
            if changed.numbers != rule.numbers:
                connection.execute(delete(rule_numbers).where(rule_numbers.c.rule_id == rule_id))
                self._write_numbers(connection, changed)
            return changed

    def delete(self, rule: Rule) -> None:
        """Delete a rule that is unchanged since it was read. Connectors that name it have no rule
        then.

        Calls keep its id. Raises ``NotFound`` if it is gone, and ``Conflict`` if it has been
        changed since.
        """
        with self._database.write() as connection:
            where = routing_rules.c.id == rule.id
            connection.execute(select(routing_rules.c.seq).where(where).with_for_update())
            stored = self._one(connection, BY_ID, rule_id=rule.id)
            if stored is None:
                raise NotFound(NOT_FOUND)
            if stored != rule:
                raise Conflict(CHANGED)
            connection.execute(delete(rule_numbers).where(rule_numbers.c.rule_id == rule.id))
            connection.execute(delete(routing_rules).where(where))
            connection.execute(
                update(connectors)
                .where(connectors.c.default_rule_id == rule.id)
                .values(default_rule_id=None)
            )

    def _write_numbers(self, connection: Connection, rule: Rule) -> None:
        if not rule.numbers:
            return
        take_turns(connection, NUMBERS)
        if rule.type is RuleType.INBOUND:
            taken = connection.scalar(
                select(rule_numbers.c.number)
                .where(
                    rule_numbers.c.number.in_(chain.from_iterable(map(spellings, rule.numbers))),
                    rule_numbers.c.type == RuleType.INBOUND,
                )
                .order_by(rule_numbers.c.seq)
                .limit(1)
            )
            if taken is not None:
                raise NumberTaken(taken)
        connection.execute(
            insert(rule_numbers),
            [{"rule_id": rule.id, "number": each, "type": rule.type} for each in rule.numbers],
        )

    def _dialled(self, connection: Connection, callee: str) -> Rule | None:
        digits = ending(callee)
        if digits is None:
            return self._one(connection, INBOUND, numbers=spellings(callee))
        found = self._fetch(connection, INBOUND_ENDING, {"digits": digits})
        # Of numbers with the same end, the one with a PIN: another spelling must not avoid the PIN.
        return max(found, key=lambda rule: rule.room.is_closed, default=None)

    def _one(self, connection: Connection, query: RuleQuery, **values: object) -> Rule | None:
        found = self._fetch(connection, query, values)
        return found[0] if found else None

    def _fetch(
        self, connection: Connection, query: RuleQuery, values: Mapping[str, object]
    ) -> list[Rule]:
        """Return rules with their numbers."""
        rows = connection.execute(query.rules, values).mappings().all()
        numbers: defaultdict[str, list[str]] = defaultdict(list)
        if rows:
            for row in connection.execute(query.numbers, values).mappings():
                numbers[row["rule_id"]].append(row["number"])
        return [from_row(row, numbers[row["id"]], self._vault) for row in rows]


def _matcher(search: str) -> Callable[[str], bool]:
    """Return a matcher of RE2, which takes linear time. An invalid expression is searched as text.

    A number is such a text: its plus sign repeats nothing.
    """
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_PROGRAM
    try:
        pattern = re2.compile(search, options)
    except re2.error:
        pattern = re2.compile(re2.escape(search), options)
    return lambda text: pattern.search(text) is not None
