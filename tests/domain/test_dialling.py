"""Numbers that may be dialled."""

from __future__ import annotations

import pytest

from service.domain.dialling import require_allowed
from service.errors import Forbidden

US, PREMIUM, JAMAICA, LONDON = "+14155550100", "+19005550100", "+18765550100", "+442071838750"
SATELLITE = "+881612345678"


@pytest.mark.parametrize(
    ("patterns", "number", "own"),
    [
        ((), US, "+12125550100"),
        ((), LONDON, "+441612345678"),
        ((), US, "+18005550100"),
        ((), "+5215512345678", "+525587654321"),
        ((), "+551187654321", "+5511987654321"),
        (("!+1415*",), "+12125550100", US),
        (("*",), SATELLITE, US),
        (("+521*",), "+525587654321", US),
        (("*",), LONDON, "sip:a@b"),
        (("+1*", "+44*"), LONDON, US),
        (("+44",), LONDON, US),
        ((LONDON,), LONDON, US),
        (("+1*",), PREMIUM, US),
        (("+1*", "!+1900*", "+19005550100"), PREMIUM, US),
        (("!*", "+44*"), LONDON, US),
    ],
)
def test_an_allowed_number_may_be_dialled(patterns: tuple[str, ...], number: str, own: str) -> None:
    require_allowed(number, own, patterns)


@pytest.mark.parametrize(
    ("patterns", "number", "own", "sentence"),
    [
        ((), LONDON, US, "is not an ordinary number in the country of"),
        ((), JAMAICA, US, "is not an ordinary number in the country of"),
        ((), PREMIUM, US, "is not an ordinary number in the country of"),
        ((), "+447012345678", LONDON, "is not an ordinary number in the country of"),
        ((), "+447640123456", LONDON, "is not an ordinary number in the country of"),
        ((), "+491805123456", "+4930123456", "is not an ordinary number in the country of"),
        ((), "+49900123456", "+4930123456", "is not an ordinary number in the country of"),
        ((), SATELLITE, "+881612345679", "is not an ordinary number in the country of"),
        ((), US, "sip:a@b", "is not an ordinary number in the country of"),
        ((), US, "", "is not an ordinary number in the country of"),
        (("!+1415*",), US, "+12125550100", "DIAL_ALLOWED excludes"),
        (("!+1415*",), LONDON, US, "is not an ordinary number in the country of"),
        (("+44*",), US, US, "DIAL_ALLOWED has no prefix that fits"),
        (("+1*", "!+1900*"), PREMIUM, US, "DIAL_ALLOWED excludes"),
        (("!+1900*", "+1900*"), PREMIUM, US, "DIAL_ALLOWED excludes"),
        (("*", "!+881*"), SATELLITE, US, "DIAL_ALLOWED excludes"),
        (("!*",), US, US, "DIAL_ALLOWED excludes"),
        (("+52*", "!+5255*"), "+5215587654321", US, "DIAL_ALLOWED excludes"),
    ],
)
def test_other_numbers_are_refused_with_the_reason(
    patterns: tuple[str, ...], number: str, own: str, sentence: str
) -> None:
    with pytest.raises(Forbidden, match=sentence) as refused:
        require_allowed(number, own, patterns)
    assert "DIAL_ALLOWED" in refused.value.message
