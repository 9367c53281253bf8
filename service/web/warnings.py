"""Warnings in an answer about fields that were accepted and have no effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g


def warn(sentence: str) -> None:
    """Add a sentence to the ``warnings`` of this request's answer."""
    g.setdefault("warnings", []).append(sentence)


def warn_of(fields: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Warn about fields without effect. ``names`` maps them to the client's spelling."""
    for name, spelling in names.items():
        if fields.get(name):
            warn(f"{spelling} was accepted but is not acted on.")
