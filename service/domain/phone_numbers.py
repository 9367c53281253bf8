"""Phone numbers in E.164: reading, spellings, regions, masking and patterns.

People, providers and stored rules share one reader. Its result is stored, compared and sent, never
the text that it read. A caller without a number (withheld, or a SIP address) is kept as the
provider wrote it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

import phonenumbers

# Twilio's substitutes for a withheld number: words spelled on a keypad (ANONYMOUS, RESTRICTED,
# BLOCKED, UNKNOWN, UNAVAILABLE). Some of them could be numbers.
WITHHELD = frozenset(("+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"))

REGIONS = {91: "in002"}
"""The region of a country, by its calling code. VideoSDK has two regions for telephony."""

DEFAULT_REGION = "us002"

HIDDEN = "***"

SENTENCE = "must be a phone number in E.164, such as +14155550100"

_PUNCTUATION = frozenset("().[]/\u00b7\u2022\u2212\u30fb\uff08\uff09\uff0e\uff0f\uff3b\uff3d")
_INVISIBLE = ("Cf", "Zs", "Zl", "Zp")
_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Variation selectors, which follow digits that were copied as emoji."""
_PLUS = frozenset("+\uff0b\ufe62")
_ORDINARY = re.compile(r"\+?[0-9]+", re.ASCII)
_SCHEME = re.compile(r"\s*tel:", re.IGNORECASE)

_DIGITS = re.compile(r"\+?[0-9]{7,19}")
_EXTENSION = re.compile(r"[^\W\d_]|[,;#*%]")
"""Beginning of an extension: a letter, as in "x5" or "ext.", or a key with a meaning to a phone."""
_ADDRESS = re.compile(
    r"(?:.*<)?\s*(?:[a-z]+:)?(?:(\+[-0-9().]+)(?:[;@>].*)?|([-0-9().]+)(?:;[^@]*)?@.*)",
    re.IGNORECASE | re.DOTALL,
)
"""A number in an address, as in ``sip:+14155550106@example.com`` or ``whatsapp:+14155550106``."""
_ENCODED_PLUS = re.compile("%2b", re.IGNORECASE)
_LONGEST = 19
_NATIONAL = 10
"""Digits up to which a number without a plus sign may lack its country's code."""

# Lines that networks still write in two ways. The Mexican 1 was abolished in 2019; Argentina's 9
# and Brazil's ninth digit of mobile numbers are lost between networks.
_ALIASES = (
    (re.compile(r"\+521([0-9]{10})"), r"+52\1"),
    (re.compile(r"\+52([2-9][0-9]{9})"), r"+521\1"),
    (re.compile(r"\+549([0-9]{10})"), r"+54\1"),
    (re.compile(r"\+54([1-8][0-9]{9})"), r"+549\1"),
    (re.compile(r"\+55([1-9][0-9])9([6-9][0-9]{7})"), r"+55\1\2"),
    (re.compile(r"\+55([1-9][0-9])([6-9][0-9]{7})"), r"+55\g<1>9\2"),
)
_OLD_MEXICAN = _ALIASES[0]


class UnreadableError(ValueError):
    """The reason why a text is no phone number, as a predicate: "must be …"."""


def read(text: str) -> str:
    """Return a number that a person has written as E.164. Raises ``UnreadableError``.

    Spaces, invisible characters and the usual punctuation are dropped, and digits of every script
    are digits. Without a plus sign a number has to show that it begins with a country's code.
    """
    written = plain(text)
    if not re.fullmatch(r"\+?[0-9]+", written):
        raise UnreadableError(SENTENCE)
    number = _international(written, strict=True)
    if number is None:
        if not written.startswith("+") and len(written) >= _NATIONAL:
            raise UnreadableError("must begin with + and a country's code, such as +14155550100")
        raise UnreadableError(SENTENCE)
    if number in WITHHELD:
        raise UnreadableError(SENTENCE)
    return number


def e164(text: str, *, plus: bool = True) -> str:
    """Convert a provider's number to E.164. Any other text stays unchanged.

    ``plus`` says that the provider writes a plus sign before every international number. Without
    one, ten digits or fewer are taken for national there, and no country is guessed. Withheld
    callers, short codes, ``client:`` names and SIP addresses are no numbers.
    """
    unchanged = text.strip()
    try:
        written = plain(unchanged.partition(";")[0])
    except UnreadableError:
        return unchanged
    # A form decoder turns a plus sign that was not escaped into a space.
    if text.startswith(" ") and written[:1].isdigit():
        written = "+" + written
    return _international(written, strict=plus) or unchanged


def is_number(text: str) -> bool:
    """Whether the text is E.164 and a possible number."""
    return parsed(text) is not None


def parsed(number: str) -> phonenumbers.PhoneNumber | None:
    """Return the parts of a number in E.164; ``None`` of any other text."""
    if not re.fullmatch(r"\+[1-9][0-9]*", number) or number in WITHHELD:
        return None
    return _parse(number)


def spellings(number: str) -> tuple[str, ...]:
    """Return the number and, where networks use two spellings of one line, the other one."""
    for pattern, other in _ALIASES:
        if pattern.fullmatch(number):
            return number, pattern.sub(other, number)
    return (number,)


def region(caller: str) -> str:
    """Return the region of the caller's country, or the default region."""
    number = parsed(caller)
    code = None if number is None else number.country_code
    return REGIONS.get(code or 0, DEFAULT_REGION)


def masked(caller: str) -> str:
    """Return the last two digits of a number after a mask, and the mask alone for other text."""
    return HIDDEN + caller[-2:] if is_number(caller) else HIDDEN


def is_allowed(caller: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches the whole of ``caller``. Without patterns every caller is allowed.

    Patterns consist of ``+``, digits and ``*`` (the API accepts nothing else). A pattern for either
    of two spellings of one line matches it.
    """
    written = spellings(caller)
    return not patterns or any(fnmatchcase(each, some) for some in patterns for each in written)


def ending(text: str) -> str | None:
    """Return the digits of a called number that is not E.164, such as one in an address.

    ``None`` for E.164, for names and addresses without a number, and for too few digits.
    """
    text = _SCHEME.sub("", text)
    if re.fullmatch(r"\+[1-9][0-9]*", text):
        return None
    text = _ENCODED_PLUS.sub("+", text)
    if address := _ADDRESS.fullmatch(text):
        written = address[1] or address[2]
    elif re.search("[@:]", text):
        return None
    else:
        written = _EXTENSION.split(text, maxsplit=1)[0]
    digits = "".join(str(unicodedata.decimal(each, "")) for each in written).lstrip("0")
    return digits if 7 <= len(digits) <= _LONGEST else None


def plain(text: str) -> str:
    """Return the text without spaces, invisible characters and punctuation, with ASCII digits.

    Raises ``UnreadableError``, which names the first character that is no part of a number.
    """
    if _ORDINARY.fullmatch(text):
        return text
    text = _SCHEME.sub("", text)
    kept = []
    for place, character in enumerate(text):
        if character in _PLUS:
            kept.append("+")
        elif unicodedata.decimal(character, None) is not None:
            kept.append(str(unicodedata.decimal(character)))
        elif not _means_nothing(character):
            if character.isascii() and character.isprintable():
                kept.append(character)
            else:
                raise UnreadableError(f"has {_named(character)} {_where(place, text)}")
    return "".join(kept)


def _means_nothing(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        character.isspace()
        or category in _INVISIBLE
        or category == "Pd"
        or character in _PUNCTUATION
        or character in _SELECTORS
    )


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()


def _where(place: int, text: str) -> str:
    if place == len(text) - 1:
        return "at its end"
    return "at its beginning" if place == 0 else f"at place {place + 1}"


@lru_cache(maxsize=4096)
def _international(written: str, *, strict: bool) -> str | None:
    """Return digits as E.164. ``strict``: a number without a plus sign may be a national one."""
    if not _DIGITS.fullmatch(written):
        return None
    digits = written.removeprefix("+")
    has_plus = digits != written
    # "00" is dialled in place of the plus sign, and no country's code begins with a zero.
    if digits.startswith("00"):
        digits, has_plus = digits.removeprefix("00"), True
    number = _parse("+" + digits)
    if number is None:
        return None
    is_short = len(digits) <= _NATIONAL
    if not has_plus and strict and is_short:
        return None
    if not has_plus and (strict or is_short) and not phonenumbers.is_valid_number(number):
        return None
    if _OLD_MEXICAN[0].fullmatch("+" + digits):
        return "+" + digits
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse(number: str) -> phonenumbers.PhoneNumber | None:
    """Return the parts of a possible number, which is written with a plus sign."""
    pattern, today = _OLD_MEXICAN
    try:
        found = phonenumbers.parse(pattern.sub(today, number))
    except phonenumbers.NumberParseException:
        return None
    return found if phonenumbers.is_possible_number(found) else None
