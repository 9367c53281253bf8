"""What callers' numbers tell, as tables."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.callers import is_allowed, masked, region
from service.domain.phone_numbers import WITHHELD, is_number

NOT_NUMBERS = ["", "anonymous", "+", "+464", "sip:ann@example.com", "client:ann", "4155550100"]


@pytest.mark.parametrize("caller", ["+14155550100", "+919876543210", "+442071838750"])
def test_numbers_are_numbers(caller: str) -> None:
    assert is_number(caller)


@pytest.mark.parametrize("caller", [*NOT_NUMBERS, *sorted(WITHHELD)])
def test_withheld_callers_and_addresses_are_none(caller: str) -> None:
    assert not is_number(caller)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("+919876543210", "in002"),
        ("+14155550100", "us002"),
        ("+442071838750", "us002"),
        # Bangladesh begins like India does, and is not.
        ("+8801712345678", "us002"),
        *((caller, "us002") for caller in (*NOT_NUMBERS, *sorted(WITHHELD))),
    ],
)
def test_the_region_is_the_country_s_or_the_default(caller: str, expected: str) -> None:
    assert region(caller) == expected


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("+14155550142", "***42"),
        ("+266696687", "***"),
        *((caller, "***") for caller in NOT_NUMBERS),
    ],
)
def test_two_digits_are_seen_of_a_number_and_nothing_of_the_rest(
    caller: str, expected: str
) -> None:
    assert masked(caller) == expected


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("+91*", ["+919876543210", "+91"], ["+14155550100", "+9", "anonymous", ""]),
        ("+14155550100", ["+14155550100"], ["+141555501001", "+1415555010"]),
        ("*", ["+14155550100", "anonymous", ""], []),
        ("*00", ["+14155550100", "00"], ["+14155550101", "0"]),
        ("+1*0*1", ["+1001", "+101", "+1501"], ["+11", "+10", "+1"]),
        ("+1415**00", ["+14155550100", "+141500"], ["+14150"]),
    ],
)
def test_a_pattern_fits_the_whole_number(
    pattern: str, fits: list[str], does_not: list[str]
) -> None:
    assert [caller for caller in fits if not is_allowed(caller, [pattern])] == []
    assert [caller for caller in does_not if is_allowed(caller, [pattern])] == []


def test_one_pattern_of_many_is_enough_and_none_at_all_allows_everybody() -> None:
    assert is_allowed("+919876543210", ["+1*", "+91*"])
    assert not is_allowed("+919876543210", ["+1*", "+44*"])
    assert is_allowed("anonymous", [])


@given(st.text("+01", max_size=12), st.text("*+01", max_size=8))
def test_a_pattern_fits_what_the_shell_says_it_fits(caller: str, pattern: str) -> None:
    assert is_allowed(caller, [pattern]) == fnmatchcase(caller, pattern)
