"""Region, mask and patterns of callers' numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.phone_numbers import WITHHELD, is_allowed, is_number, masked, region

NOT_NUMBERS = ["", "anonymous", "+", "+464", "sip:ann@example.com", "client:ann", "4155550100"]


@pytest.mark.parametrize("caller", ["+14155550100", "+919876543210", "+442071838750"])
def test_e164_is_a_number(caller: str) -> None:
    assert is_number(caller)


@pytest.mark.parametrize("caller", [*NOT_NUMBERS, *sorted(WITHHELD)])
def test_withheld_callers_and_addresses_are_not_numbers(caller: str) -> None:
    assert not is_number(caller)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("+919876543210", "in002"),
        ("+14155550100", "us002"),
        ("+442071838750", "us002"),
        # Bangladesh's code starts like India's.
        ("+8801712345678", "us002"),
        *((caller, "us002") for caller in (*NOT_NUMBERS, *sorted(WITHHELD))),
    ],
)
def test_region_is_that_of_the_country_or_the_default(caller: str, expected: str) -> None:
    assert region(caller) == expected


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("+14155550142", "***42"),
        ("+266696687", "***"),
        *((caller, "***") for caller in NOT_NUMBERS),
    ],
)
def test_mask_shows_two_digits_of_a_number_and_hides_other_text(caller: str, expected: str) -> None:
    assert masked(caller) == expected


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("+91*", ["+919876543210", "+91"], ["+14155550100", "+9", "anonymous", ""]),
        ("+14155550100", ["+14155550100"], ["+141555501001", "+1415555010"]),
        ("*", ["+14155550100", "anonymous", ""], []),
        ("*00", ["+14155550100", "00"], ["+14155550101", "0"]),
        ("+1*0*1", ["+1001", "+101", "+1501"], ["+11", "+10", "+1"]),
        ("+1415**00", ["+14155550100", "+141500"], ["+14150"]),
    ],
)
def test_pattern_matches_the_whole_number(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    assert [caller for caller in matching if not is_allowed(caller, [pattern])] == []
    assert [caller for caller in other if is_allowed(caller, [pattern])] == []


def test_one_matching_pattern_is_enough_and_an_empty_list_allows_every_caller() -> None:
    assert is_allowed("+919876543210", ["+1*", "+91*"])
    assert not is_allowed("+919876543210", ["+1*", "+44*"])
    assert is_allowed("anonymous", [])


@given(st.text("+01", max_size=12), st.text("*+01", max_size=8))
def test_asterisk_matches_any_characters(caller: str, pattern: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert is_allowed(caller, [pattern]) == bool(re.fullmatch(expression, caller))
