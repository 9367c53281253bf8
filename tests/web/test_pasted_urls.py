"""Tidying of pasted URLs."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.web.pasted_urls import tidied

HOOK = "/v2/hooks/twilio/whk_1"


def wsgi(path: str) -> str:
    return path.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        (f"{HOOK}/", HOOK),
        (f"{HOOK}//", HOOK),
        (f"{HOOK} ", HOOK),
        (f"{HOOK}\t\r\n", HOOK),
        (f"{HOOK}\u00a0", HOOK),
        (f"{HOOK}\nx/", f"{HOOK}\nx"),
        (f"{HOOK}\u200b", HOOK),
        (f"{HOOK}\u202c/ ", HOOK),
        (f"/{HOOK}", HOOK),
        ("/v2//hooks/twilio///whk_1", HOOK),
        (f"{HOOK}/status/", f"{HOOK}/status"),
        (f"{HOOK}//gather", f"{HOOK}/gather"),
        ("/healthz/", "/healthz"),
        ("//readyz", "/readyz"),
        ("/metrics ", "/metrics"),
        (HOOK, HOOK),
    ],
)
def test_characters_added_by_copying_are_dropped(pasted: str, meant: str) -> None:
    assert tidied(wsgi(pasted)) == meant


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "", "/v2/rooms/a//b", "/v2/connectors/", "/console/", "/v2/hooks"),
        *("/v2/hooks/", "/healthz/more", "/twilio/ref/", f" {HOOK}"),
        *(f"{HOOK}\u00e9", f"{HOOK}\u200bx"),
    ],
)
def test_anything_else_is_left_alone(path: str) -> None:
    assert tidied(wsgi(path)) == wsgi(path)


@given(st.text(st.characters(max_codepoint=255)))
@example(f"{HOOK}\xff\xc3/")
def test_no_path_raises(path: str) -> None:
    assert tidied(path) in (path, tidied(tidied(path)))
