"""JSON text as JavaScript prints it: ``JSON.stringify(JSON.parse(text))`` changes nothing.

Some receivers verify a signature over the body that their framework has parsed and printed again,
VideoSDK's sample among them. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from json.encoder import encode_basestring as quoted

EXACT = 2**53
"""Whole numbers below it are exact in JavaScript."""

MAX_INDEX = 2**32 - 2
"""Member names that are whole numbers up to this one come first, in numeric order."""

INDEX = re.compile("0|[1-9][0-9]{0,9}")
SURROGATE = re.compile("[\ud800-\udfff]")


def stringify(value: object) -> str:
    """Return the text of a JSON value. Raises ``TypeError`` for any other value."""
    text = _text(value)
    if text.isascii():
        return text
    # Two surrogates in a row are one character. JavaScript escapes the lone ones.
    paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", paired)


def _text(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ",".join([f"{quoted(n)}:{_text(value[n])}" for n in _names(value)]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(item) for item in value]) + "]"
    if isinstance(value, int) and -EXACT < value < EXACT:
        return str(value)
    if isinstance(value, int | float):
        return _number(value)
    raise TypeError(f"JSON has no {type(value).__name__}.")


def _names(members: dict[str, object]) -> Iterable[str]:
    """Return the members' names in JavaScript's order."""
    indices = [name for name in members if name.isdigit() and _is_index(name)]
    if not indices:
        return members
    return dict.fromkeys([*sorted(indices, key=int), *members])


def _is_index(name: str) -> bool:
    return INDEX.fullmatch(name) is not None and int(name) <= MAX_INDEX


def _number(value: float) -> str:
    """ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20), which has no exponent below 1e21."""
    try:
        number = float(value)
    except OverflowError:
        return "null"
    if not math.isfinite(number):
        return "null"
    sign, decimals, exponent = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, decimals)).rstrip("0")
    if not digits:
        return "0"
    point = len(decimals) + int(exponent)
    if -6 < point <= 0:
        text = "0." + "0" * -point + digits
    elif 0 < point <= 21:
        text = digits.ljust(point, "0")
        text = f"{text[:point]}.{text[point:]}".rstrip(".")
    else:
        text = f"{digits[0]}.{digits[1:]}".rstrip(".") + f"e{point - 1:+d}"
    return f"-{text}" if sign else text
