"""Conditions that find a call by a text: parts of numbers and room ids, and their indexes."""

from __future__ import annotations

import re

from sqlalchemy import Column, ColumnElement, case, or_

from service.domain.calls import Direction
from service.storage.tables import calls
from service.storage.tables.calls import CALLEE_END, CALLER_END, LAST_DIGITS

Conditions = tuple[ColumnElement[bool], ...]

PUNCTUATION = re.compile(r"[\s().-]")
"""What people write between the digits of a phone number."""

NUMBER = re.compile(r"\+?[0-9]+")


def ways(text: str, sees_hidden: bool, is_sqlite: bool) -> list[Conditions]:
    """Conditions with an index each, by which numbers and rooms of a text are found."""
    plain = PUNCTUATION.sub("", text)
    is_number = NUMBER.fullmatch(plain) is not None
    digits = plain.removeprefix("+")
    begins = ({f"+{digits}", plain} if is_number else {text}) if plain.isascii() else set()
    found: list[Conditions] = [(calls.c.room_id == text,)]
    ends = {calls.c.caller: CALLER_END, calls.c.callee: CALLEE_END}
    for column, end in ends.items():
        shown = () if sees_hidden else (~_is_hidden(column),)
        found += [(_begins(column, each, is_sqlite), *shown) for each in sorted(begins)]
        if is_number and len(digits) >= LAST_DIGITS and plain == digits:
            last = end == digits[-LAST_DIGITS:]
            found.append((last, column.endswith(digits, autoescape=True), *shown))
    return found


def _begins(column: Column[str], text: str, is_sqlite: bool) -> ColumnElement[bool]:
    after = text[:-1] + chr(ord(text[-1]) + 1)
    if is_sqlite:
        return (column >= text) & (column < after)
    # Byte by byte, whatever language the database sorts by.
    return column.op("~>=~", is_comparison=True)(text) & column.op("~<~", is_comparison=True)(after)


def holds(text: str, sees_hidden: bool) -> ColumnElement[bool]:
    """Whether a number or the room's id has the text in it."""
    plain = PUNCTUATION.sub("", text)
    number = plain if NUMBER.fullmatch(plain) else text
    numbers = (
        column if sees_hidden else case((_is_hidden(column), ""), else_=column)
        for column in (calls.c.caller, calls.c.callee)
    )
    return or_(
        *(each.icontains(number, autoescape=True) for each in numbers),
        calls.c.room_id.icontains(text, autoescape=True),
    )


def _is_hidden(column: Column[str]) -> ColumnElement[bool]:
    """Whether the number is one that only those see who see everything."""
    of = Direction.INBOUND if column is calls.c.caller else Direction.OUTBOUND
    return calls.c.hides_number & (calls.c.direction == of)
