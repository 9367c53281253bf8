"""Numbers that a provider may be asked to dial, by ``DIAL_ALLOWED``. Pure.

Toll fraud calls the most expensive numbers: premium and foreign ones. Without a setting only
ordinary numbers in the country of the account's own number may be dialled. A request may name any
number to call from; the provider refuses one that is not the account's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import phonenumbers
from phonenumbers import PhoneNumberType

from service.domain.phone_numbers import parsed, spellings
from service.errors import Forbidden

PATTERN = re.compile(r"!?(?:\*|\+[1-9][0-9]{0,14}\*?)")
"""A prefix in E.164 with or without an asterisk; ``!`` excludes it, and ``*`` is any number."""

EXTRAORDINARY = frozenset(
    (
        PhoneNumberType.UNKNOWN,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.PAGER,
    )
)
"""Types of numbers whose called party gets a share of the price, such as Britain's +4470 and +4484,
and of unassigned numbers.
"""


def require_allowed(number: str, own: str, patterns: Sequence[str]) -> None:
    """Raise ``Forbidden`` unless ``number`` may be dialled from ``own``; both are E.164.

    Of the matching patterns the longest decides; of equal length, an exclusion. If none matches and
    all patterns are exclusions, the country decides.
    """
    fitting = [
        (len(prefix), pattern.startswith("!"))
        for pattern in patterns
        for each in spellings(number)
        if each.startswith(prefix := pattern.strip("!*"))
    ]
    if fitting:
        if max(fitting)[1]:
            raise Forbidden(f"DIAL_ALLOWED excludes {number}.")
        return
    if any(not pattern.startswith("!") for pattern in patterns):
        raise Forbidden(f"DIAL_ALLOWED has no prefix that fits {number}.")
    if not _is_ordinary(number, own):
        raise Forbidden(
            f"{number} is not an ordinary number in the country of {own}: it may be dialled "
            "where DIAL_ALLOWED names a prefix of it."
        )


def _is_ordinary(number: str, own: str) -> bool:
    here = parsed(own)
    country = None if here is None else phonenumbers.region_code_for_number(here)
    # "001" stands for numbers without a country, such as satellites.
    if country is None or not country.isalpha():
        return False
    return any(_is_of(country, parsed(each)) for each in spellings(number))


def _is_of(country: str, number: phonenumbers.PhoneNumber | None) -> bool:
    return (
        number is not None
        and phonenumbers.region_code_for_number(number) == country
        and phonenumbers.number_type(number) not in EXTRAORDINARY
    )
