"""JSON as JavaScript prints it, compared with Node where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.webhook_events import CallEvent
from service.security.canonical_json import stringify

ECHO = """
require('readline').createInterface({input: process.stdin})
  .on('line', line => process.stdout.write(JSON.stringify(JSON.parse(line)) + '\\n'))
"""

CALL = {
    "webhookType": "call-hangup",
    "data": {
        "id": "712350ce-8fff-464d-b427-587bfb66636a",
        "callId": "712350ce-8fff-464d-b427-587bfb66636a",
        "type": "inbound",
        "from": "+14155559876",
        "to": "+14155550123",
        "sessionId": None,
        "metadata": {"name": "Zürich ☎ 👋", "score": 0.1, "10": True, "2": [], "ok": {}},
        "start": "2026-06-21T14:30:45.123Z",
        "timelog": [{"status": "incoming", "timestamp": "2026-06-21T14:30:45.123Z"}],
    },
}

INDICES = st.integers(0, 2**33).map(str)
TEXTS = st.text(st.characters()) | st.sampled_from(["01", "-1", "٣", "4294967294", "4294967295"])
NUMBERS = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e22, 1e22).map(round)
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | INDICES, inner),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def reprinted() -> Iterator[Callable[[str], str]]:
    """A function that has Node parse a line and print it again."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("There is no node here to judge JSON text.")
    with subprocess.Popen(
        [node, "-e", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin
        assert process.stdout
        ask, told = process.stdin, process.stdout

        def reprint(line: str) -> str:
            ask.write(line + "\n")
            ask.flush()
            return told.readline().rstrip("\n")

        yield reprint
        ask.close()


@given(VALUES)
def test_values_are_printed_as_node_prints_them(
    reprinted: Callable[[str], str], value: Any
) -> None:
    text = stringify(value)
    assert text == reprinted(json.dumps(value))
    assert text == reprinted(text)


def test_numbers_beyond_the_largest_are_printed_as_node_prints_them(
    reprinted: Callable[[str], str],
) -> None:
    line = "[1e999,-1e999,1" + "0" * 400 + "]"
    assert stringify(json.loads(line)) == reprinted(line)


@given(VALUES)
def test_printing_is_idempotent(value: Any) -> None:
    text = stringify(value)
    assert stringify(json.loads(text)) == text


@given(st.text())
def test_text_is_read_alike_by_another_parser(text: str) -> None:
    assert orjson.loads(stringify(text)) == text


def test_a_document_is_compact_and_keeps_its_order() -> None:
    assert stringify(CALL) == (
        '{"webhookType":"call-hangup","data":{"id":"712350ce-8fff-464d-b427-587bfb66636a",'
        '"callId":"712350ce-8fff-464d-b427-587bfb66636a","type":"inbound","from":"+14155559876",'
        '"to":"+14155550123","sessionId":null,"metadata":{"2":[],"10":true,'
        '"name":"Zürich ☎ 👋","score":0.1,"ok":{}},"start":"2026-06-21T14:30:45.123Z",'
        '"timelog":[{"status":"incoming","timestamp":"2026-06-21T14:30:45.123Z"}]}}'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (-1e-7, "-1e-7"),
        (5e-324, "5e-324"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.25e21, "-1.25e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (123456789012345680000, "123456789012345680000"),
        (2**53 - 1, "9007199254740991"),
        (2**53 + 1, "9007199254740992"),
        (2**63, "9223372036854776000"),
        (-(2**63), "-9223372036854776000"),
        (10**400, "null"),
        (float("inf"), "null"),
        (float("nan"), "null"),
        (True, "true"),
        (None, "null"),
        ((1, [2], ()), "[1,[2],[]]"),
        (CallEvent.STARTED, '"call-started"'),
    ],
)
def test_a_value_has_one_spelling(value: object, text: str) -> None:
    assert stringify(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"\\/', r'"\"\\/"'),
        ("\b\t\n\f\r", r'"\b\t\n\f\r"'),
        ("\x00\x1b\x1f", r'"\u0000\u001b\u001f"'),
        ("\x7f\x80\u2028\u2029\ufeff\uffff", '"\x7f\x80\u2028\u2029\ufeff\uffff"'),
        ("é👋", '"é👋"'),
        ("\ud83d \udc4b", r'"\ud83d \udc4b"'),
        ("\ud83d\udc4b", '"👋"'),
        ("\udc4b\ud83d", r'"\udc4b\ud83d"'),
    ],
)
def test_only_necessary_characters_are_escaped(value: str, text: str) -> None:
    assert stringify(value) == text
    assert stringify({value: 1}) == f"{{{text}:1}}"


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "a"], ["b", "a"]),
        (["b", "10", "a", "9", "0"], ["0", "9", "10", "b", "a"]),
        (["01", "1", "-1", "1.0", "٣", ""], ["1", "01", "-1", "1.0", "٣", ""]),
        (["4294967295", "x", "4294967294"], ["4294967294", "4294967295", "x"]),
        (["99999999999", "1"], ["1", "99999999999"]),
        (["__proto__", "toJSON"], ["__proto__", "toJSON"]),
    ],
)
def test_indices_come_first_and_by_size(names: list[str], order: list[str]) -> None:
    members = ",".join(f'"{name}":0' for name in order)
    assert stringify(dict.fromkeys(names, 0)) == f"{{{members}}}"


def test_values_that_are_not_json_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^JSON has no set\.$"):
        stringify({"a": [set()]})
