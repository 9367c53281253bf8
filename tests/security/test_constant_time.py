"""Comparison of secrets."""

from __future__ import annotations

import pytest

from service.security.constant_time import equal


@pytest.mark.parametrize(
    ("sent", "known", "is_equal"),
    [
        ("secret", "secret", True),
        ("gehörnt", "gehörnt", True),
        ("", "", True),
        ("secret", "Secret", False),
        ("secret", "secret ", False),
        ("", "secret", False),
        ("gehörnt", "gehornt", False),
        ("\ud800", "secret", False),
    ],
)
def test_only_the_same_text_is_equal(sent: str, known: str, is_equal: bool) -> None:
    assert equal(sent, known) is is_equal
