"""Numbers of rules in E.164: earlier versions stored some as they had been written.

Such a number matched no call, so that callers went past the rule and its PIN.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import phonenumbers
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

logger = logging.getLogger(__name__)

rules = sa.table(
    "routing_rules",
    sa.column("id", sa.String),
    sa.column("pin", sa.String),
    sa.column("allowed_numbers", sa.JSON),
)
numbers = sa.table(
    "rule_numbers",
    sa.column("seq", sa.Integer),
    sa.column("rule_id", sa.String),
    sa.column("number", sa.String),
    sa.column("type", sa.String),
)


def upgrade() -> None:
    connection = op.get_bind()
    all_rules = {row.id: row for row in connection.execute(sa.select(rules))}
    for row in all_rules.values():
        patterns = [_pattern(each) for each in row.allowed_numbers]
        if patterns != row.allowed_numbers:
            connection.execute(
                sa.update(rules).where(rules.c.id == row.id).values(allowed_numbers=patterns)
            )
    rows = connection.execute(sa.select(numbers).order_by(numbers.c.seq)).all()
    by_number: dict[tuple[str, ...], list[Any]] = {}
    for row in rows:
        # A number may be on many outbound rules, and on one inbound rule.
        owner = () if row.type == "inbound" else (row.rule_id,)
        by_number.setdefault((row.type, *owner, _e164(row.number)), []).append(row)
    for (*_, number), same in by_number.items():
        _settle(connection, number, same, all_rules)


def _settle(
    connection: sa.Connection, number: str, rows: Sequence[Any], all_rules: dict[str, Any]
) -> None:
    """Keep one of the rows of a number, in E.164. A rule that asks for a PIN goes before others."""

    def rank(row: Any) -> tuple[bool, bool, bool]:
        rule = all_rules[row.rule_id]
        return rule.pin is not None, bool(rule.allowed_numbers), row.number == number

    kept = max(rows, key=rank)
    for row in rows:
        if row is not kept:
            connection.execute(sa.delete(numbers).where(numbers.c.seq == row.seq))
            if row.rule_id != kept.rule_id:
                logger.warning(
                    "the number %s is on routing rule %s and no longer on %s: both had it, in two "
                    "spellings",
                    number,
                    kept.rule_id,
                    row.rule_id,
                )
    if kept.number != number:
        connection.execute(
            sa.update(numbers).where(numbers.c.seq == kept.seq).values(number=number)
        )
        logger.warning("routing rule %s has its number as %s now", kept.rule_id, number)


def _e164(text: str) -> str:
    """The number that was written; its digits behind a plus sign where it cannot be parsed."""
    if re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        return text
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        digits = "".join(
            str(unicodedata.decimal(each)) for each in text if each.isdecimal()
        ).lstrip("0")
        return f"+{digits}" if digits else text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _pattern(text: str) -> str:
    return re.sub(r"\A\+0+(?=[1-9])", "+", text)
