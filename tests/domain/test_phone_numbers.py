"""Telephone numbers as people write them and as providers send them."""

from __future__ import annotations

import pytest

from service.domain.phone_numbers import (
    SENTENCE,
    UnreadableError,
    e164,
    ending,
    is_allowed,
    is_number,
    masked,
    read,
    region,
    spellings,
)

PLUS = "must begin with + and a country's code, such as +14155550100"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+14155550106\u202c", "+14155550106"),
        ("\u202a+14155550106\u202c", "+14155550106"),
        ("\u2066+14155550106\u2069", "+14155550106"),
        ("\ufeff+1\u200b4155550106\u200e", "+14155550106"),
        ("+1\u00a0415\u202f555\u00ad0106", "+14155550106"),
        ("\u260e\ufe0e"[1:] + "+14155550106", "+14155550106"),
        ("+1 (415) 555-0100", "+14155550100"),
        ("\t+1.415.555.0100\r\n", "+14155550100"),
        ("+1\u2011415\u2013555\u22120100", "+14155550100"),
        ("+1 415/555/0100", "+14155550100"),
        (
            "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",
            "+14155550100",
        ),
        ("+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "+14155550100"),
        ("tel:+1-415-555-0100", "+14155550100"),
        ("14155550100", "+14155550100"),
        ("0014155550100", "+14155550100"),
        ("00 44 20 7946 0000", "+442079460000"),
        ("+44 (0)20 7946 0000", "+442079460000"),
        ("+39 06 1234 5678", "+390612345678"),
        ("+5215512345678", "+5215512345678"),
        ("+52 1 55 1234 5678", "+5215512345678"),
        ("+525512345678", "+525512345678"),
        ("+5491123456789", "+5491123456789"),
        ("+551187654321", "+551187654321"),
        ("+5511987654321", "+5511987654321"),
    ],
)
def test_a_written_number_is_stored_as_e164(text: str, number: str) -> None:
    assert read(text) == number
    assert read(number) == number
    assert is_number(number)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("+14155550106\u0301", "has U+0301 COMBINING ACUTE ACCENT at its end"),
        ("\u260e+14155550106", "has U+260E BLACK TELEPHONE at its beginning"),
        ("+1415\u041e550106", "has U+041E CYRILLIC CAPITAL LETTER O at place 6"),
        ("+14155550106\x00", "has U+0000 at its end"),
        ("+1415555010\u00b2", "has U+00B2 SUPERSCRIPT TWO at its end"),
        ("3125550100", PLUS),
        ("(312) 555-0100", PLUS),
        ("4712345678", PLUS),
        ("07911123456", PLUS),
        ("13012345678901", PLUS),
        ("", SENTENCE),
        ("+", SENTENCE),
        ("555", SENTENCE),
        ("+1415", SENTENCE),
        ("+1415555010", SENTENCE),
        ("+14155550100,+14155550101", SENTENCE),
        ("+14155550100 +14155550101", SENTENCE),
        ("++14155550100", SENTENCE),
        ("+1-800-FLOWERS", SENTENCE),
        ("+14155550100;ext=5", SENTENCE),
        ("+14155550100 x5", SENTENCE),
        ("+999123456789", SENTENCE),
        ("+266696687", SENTENCE),
        ("+86 282452253", SENTENCE),
        ("sip:ann@example.com", SENTENCE),
        ("1" * 5000, PLUS),
    ],
)
def test_invalid_text_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        read(text)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("14155550100", "+14155550100"),
        ("+14155550100", "+14155550100"),
        (" 14155550100", "+14155550100"),
        ("+1 (415) 555-0100", "+14155550100"),
        ("+1-415-555-0100", "+14155550100"),
        ("tel:+14155550100", "+14155550100"),
        ("+14155550100;oli=62", "+14155550100"),
        ("0014155550100", "+14155550100"),
        ("+0014155550100", "+14155550100"),
        ("00442079460000", "+442079460000"),
        ("442079460000", "+442079460000"),
        ("+4402079460000", "+442079460000"),
        ("+3125550100", "+3125550100"),
        ("+5215512345678", "+5215512345678"),
        ("\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "+14155550100"),
    ],
)
def test_numbers_become_e164(text: str, number: str) -> None:
    assert e164(text) == number
    assert e164(text, plus=False) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "911",
        "72345",
        "anonymous",
        "Restricted",
        "+266696687",
        "266696687",
        "07911123456",
        "3125550100",
        "(312) 555-0100",
        "client:14155550100",
        "sip:14155550100@example.com",
        "sip:+14155550100@example.com;user=phone",
        "14155550100@sip.example.com",
        "+1 415 555 0100 ext. 7",
        "++14155550100",
        "+1415\u041e550106",
        "1" * 200,
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert e164(text) == text
    assert e164(text, plus=False) == text


@pytest.mark.parametrize(
    ("text", "twilio", "plivo"),
    [
        # Norway's numbers have eight digits: Plivo omits their plus sign, other providers never do.
        ("4741234567", "4741234567", "+4741234567"),
        ("4712345678", "4712345678", "4712345678"),
        # A number too new for the library, and an old Brazilian mobile number.
        ("551187654321", "551187654321", "+551187654321"),
        ("5215512345678", "+5215512345678", "+5215512345678"),
    ],
)
def test_no_country_is_guessed_for_providers_that_always_send_the_plus_sign(
    text: str, twilio: str, plivo: str
) -> None:
    assert (e164(text), e164(text, plus=False)) == (twilio, plivo)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("4155550106", "4155550106"),
        ("(415) 555-0106", "4155550106"),
        ("04155550106", "4155550106"),
        ("++14155550106", "14155550106"),
        ("5550106", "5550106"),
        ("01114155550106", "1114155550106"),
        ("+14155550106x5", "14155550106"),
        ("+14155550106,,5#", "14155550106"),
        ("+1 415 555 0106 ext. 7", "14155550106"),
        ("+1\u0301 415 555 0106", "14155550106"),
        ("+14155550106", None),
        ("555010", None),
        ("911", None),
        ("", None),
        ("1" * 40, None),
        ("anonymous", None),
        ("%2B14155550106", "14155550106"),
        ("sip:4155550106@example.com", "4155550106"),
        ("4155550106@example.com", "4155550106"),
        ("sip:+14155550106@192.0.2.1:5060;user=phone", "14155550106"),
        ("SIPS:+1-415-555-0106;ext=7@example.com", "14155550106"),
        ("sip:%2b14155550106@example.com", "14155550106"),
        ('"Desk" <sip:+14155550106@example.com>', "14155550106"),
        ("whatsapp:+14155550106", "14155550106"),
        ("sip:100@example.com", None),
        ("sip:desk@example.com", None),
        ("sip:desk14155550106@example.com", None),
        ("sip:desk@14155550106.example.com", None),
        ("client:4155550106", None),
    ],
)
def test_a_called_number_is_matched_by_its_digits(text: str, digits: str | None) -> None:
    assert ending(text) == digits


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+541123456789"),
        ("+5511987654321", "+551187654321"),
    ],
)
def test_both_spellings_of_a_line_are_one_caller(one: str, other: str) -> None:
    assert set(spellings(one)) == set(spellings(other)) == {one, other}
    for caller, pattern in (
        (one, other),
        (other, one),
        (one, one[:5] + "*"),
        (other, one[:5] + "*"),
    ):
        assert is_allowed(caller, [pattern])


@pytest.mark.parametrize("number", ["+14155550100", "+551133334444", "+52155", "anonymous", ""])
def test_other_numbers_have_one_spelling(number: str) -> None:
    assert spellings(number) == (number,)


def test_an_old_mexican_mobile_number_has_a_mask_and_a_region() -> None:
    assert (masked("+5215512345678"), region("+5215512345678")) == ("***78", "us002")
