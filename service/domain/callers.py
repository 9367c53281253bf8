"""Callers' numbers: their region, how they are masked, and which are let in.

Telephone numbers are in E.164. Anything else (a withheld caller, a SIP address) is kept as the
provider wrote it and has no region.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.phone_numbers import is_number, parsed, spellings

REGIONS = {91: "in002"}
"""The region of a country, by its calling code. VideoSDK has two regions for telephony."""

DEFAULT_REGION = "us002"

HIDDEN = "***"


def region(caller: str) -> str:
    """The region that the caller's country belongs to; the default where there is none."""
    number = parsed(caller)
    code = None if number is None else number.country_code
    return REGIONS.get(code or 0, DEFAULT_REGION)


def masked(caller: str) -> str:
    """The last two digits of a number, and nothing of what is none."""
    return HIDDEN + caller[-2:] if is_number(caller) else HIDDEN


def is_allowed(caller: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits the whole of ``caller``. Without patterns everybody is
    allowed.

    Where the same line can be written in two ways, a pattern for either fits it.
    """
    written = spellings(caller)
    return not patterns or any(_fits(each, pattern) for pattern in patterns for each in written)


def _fits(caller: str, pattern: str) -> bool:
    """``*`` stands for any characters. Not a regular expression, which some input would stall."""
    first, *rest = pattern.split("*")
    if not rest:
        return caller == pattern
    *middle, last = rest
    if not caller.startswith(first):
        return False
    place = len(first)
    for part in middle:
        found = caller.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(caller) - len(last) >= place and caller.endswith(last)
