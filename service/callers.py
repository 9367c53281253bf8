"""What a caller's number tells: whether it is one, where it belongs, what others may see of it.

Numbers come in E.164 where they are numbers; what is none (a withheld caller, a SIP address) is
kept as the provider wrote it, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import phonenumbers

# What Twilio sends in place of a withheld number: words, spelled on a keypad (ANONYMOUS,
# RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE). Some of them could be numbers.
WITHHELD = frozenset(("+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"))

REGIONS = {91: "in002"}
"""The region of a country, by its calling code. VideoSDK has two regions for telephony."""

DEFAULT_REGION = "us002"

HIDDEN = "***"


def is_number(caller: str) -> bool:
    """Whether it is an international number that could belong to somebody."""
    number = _parsed(caller)
    return number is not None and phonenumbers.is_possible_number(number)


def region(caller: str) -> str:
    """The region that the caller's country belongs to; the default where there is none."""
    number = _parsed(caller)
    code = None if number is None else number.country_code
    return REGIONS.get(code or 0, DEFAULT_REGION)


def masked(caller: str) -> str:
    """The last two digits of a number, and nothing of what is none."""
    return HIDDEN + caller[-2:] if is_number(caller) else HIDDEN


def is_allowed(caller: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits the whole of ``caller``; no patterns allow everybody."""
    return not patterns or any(_fits(caller, pattern) for pattern in patterns)


def _parsed(caller: str) -> phonenumbers.PhoneNumber | None:
    if not caller.startswith("+") or caller in WITHHELD:
        return None
    try:
        return phonenumbers.parse(caller)
    except phonenumbers.NumberParseException:
        return None


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
