"""Fields for phone numbers, patterns of callers and search texts."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from marshmallow import ValidationError

from service.domain.phone_numbers import WITHHELD, UnreadableError, plain, read
from service.web.schemas.fields import Text

PATTERN = re.compile(r"\+?[0-9*]{1,32}")


class PhoneNumber(Text):
    """A phone number, converted to E.164."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        try:
            return read(super()._deserialize(value, *args, **kwargs))
        except UnreadableError as error:
            raise ValidationError(str(error)) from None

    def openapi(self) -> dict[str, Any]:
        return {
            "pattern": r"^\+[1-9][0-9]{6,14}$",
            "examples": ["+14155550100"],
            "description": "E.164. Spaces, punctuation and `00` for the plus sign are read too.",
        }


class SearchText(Text):
    """A search text. A whole phone number may have spaces and punctuation."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        if re.fullmatch(r"\+?[1-9][0-9]*", text):
            return text
        with suppress(UnreadableError):
            return read(text)
        with suppress(UnreadableError):
            digits = plain(text)
            if not text.isascii() and re.fullmatch(r"\+?[0-9]+", digits):
                return digits
        return text


class CallerPattern(Text):
    """A caller's number, or a pattern with ``*`` for any digits."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            pattern = plain(text)
            if pattern in WITHHELD:
                return pattern
            if PATTERN.fullmatch(pattern):
                return _anchored(pattern) if "*" in pattern else read(text)
        except UnreadableError as error:
            raise ValidationError(str(error)) from None
        raise ValidationError("must be a phone number or a pattern such as +91*")

    def openapi(self) -> dict[str, Any]:
        return {"pattern": r"^(\+[1-9]|\*)[0-9*]{0,30}$", "examples": ["+91*"]}


def _anchored(pattern: str) -> str:
    """Return the pattern, with a plus sign before a country's code."""
    digits = re.sub(r"\A(\+?00|\+)(?=[0-9])", "", pattern)
    if digits.startswith("0"):
        raise UnreadableError("must begin with a country's code, such as +91*")
    return f"+{digits}" if digits[0].isdigit() else digits
