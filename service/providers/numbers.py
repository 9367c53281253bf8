"""Phone numbers as the providers write them, in E.164 where they can be."""

from __future__ import annotations

import re

import phonenumbers

_DIGITS = re.compile(r"\+?[0-9]{7,15}")


def e164(text: str) -> str:
    """``text`` as ``+14155550100`` where it is an international number, otherwise unchanged.

    Plivo leaves out the plus sign, and a GET webhook may lose it to a space. Withheld callers
    (``anonymous``, Twilio's ``+266696687``), short codes, ``client:`` names and SIP addresses are
    not numbers and stay as they are.
    """
    text = text.strip()
    if not _DIGITS.fullmatch(text):
        return text
    try:
        number = phonenumbers.parse("+" + text.removeprefix("+"))
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_possible_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
