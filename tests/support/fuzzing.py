"""Tools of the fuzz tests: number of examples, wrong values, and memory of a parser."""

from __future__ import annotations

import os
import re
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
"""Number of examples of ``make fuzz``; unset in the normal suite."""


FEW = 20
"""Examples in the normal suite: it runs before each commit, with new examples each time."""


def fuzz(examples: int = FEW) -> settings:
    """Set the number of examples in the normal suite, without limits on time.

    ``make fuzz`` runs more. The time of an example depends on the machine more than on the code.
    """
    return settings(
        max_examples=int(EXAMPLES or examples),
        deadline=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )


texts = st.text(max_size=40) | st.sampled_from(
    ["", "\0", "\x1b[2J", "\x7f", " ", "é", "٣", "𝟙", "\u202e", "x" * 600, "9" * 40]
)
"""Text with difficult characters, but no lone surrogates, which no decoder here returns."""

wholes = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**30])

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | wholes | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""JSON with NaN, infinities and numbers of any length, which Python's encoder accepts."""


@st.composite
def like(draw: st.DrawFn, outline: object) -> Any:
    """Values of the outline, which is a dictionary, a list, a strategy or a constant.

    Occasionally a part is missing or replaced by an arbitrary value.
    """
    if draw(st.integers(0, 19)) == 19:
        return draw(json_values)
    if isinstance(outline, st.SearchStrategy):
        return draw(outline)
    if isinstance(outline, dict):
        return {
            name: draw(like(inner)) for name, inner in outline.items() if draw(st.integers(0, 19))
        }
    if isinstance(outline, list):
        return [draw(like(inner)) for inner in outline]
    return outline


@st.composite
def corrupted(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with a few bytes changed, removed, doubled or inserted."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(changed)))
        stop = draw(st.integers(start, min(len(changed), start + 8)))
        changed[start:stop] = draw(
            st.binary(max_size=4) | st.just(changed[start:stop] * 2) | st.just(b"\0\0\0\0")
        )
    return bytes(changed)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` split at any places."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


PART = 50
"""Bytes of the smallest Python value."""


def held(thing: object) -> int:
    """Estimate the bytes that an object and its parts occupy."""
    if isinstance(thing, str | bytes | bytearray):
        return len(thing)
    if isinstance(thing, re.Pattern):
        return len(thing.pattern)
    if isinstance(thing, dict):
        return sum(held(name) + held(value) for name, value in thing.items())
    if isinstance(thing, list | tuple | set | frozenset):
        return sum(PART + held(each) for each in thing)
    if not type(thing).__module__.startswith("service."):
        return 0
    slots = [name for each in type(thing).__mro__ for name in getattr(each, "__slots__", ())]
    parts = [getattr(thing, name) for name in slots if hasattr(thing, name)]
    return held([*parts, getattr(thing, "__dict__", {})])
