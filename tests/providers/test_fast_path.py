"""Messages that become a pattern: it must compile without delaying the engine."""

from __future__ import annotations

import pytest

from service.providers.base.fast_path import MAX_AROUND, FastPath

HEAD, TAIL = b'{"event":"media","payload":', b',"note":"'


@pytest.mark.parametrize(("around", "fits"), [(MAX_AROUND, True), (MAX_AROUND + 1, False)])
def test_a_message_with_much_around_its_payload_is_no_pattern(around: int, fits: bool) -> None:
    note = b"x" * (around - len(HEAD + TAIL + b'"}'))
    message = HEAD + b'"AAAA"' + TAIL + note + b'"}'
    lean = FastPath()
    lean.learn(message, "AAAA")
    assert (lean.audio(message) is not None) is fits


def test_streams_with_equal_templates_share_a_pattern() -> None:
    """Compiling a pattern takes a millisecond, too long for each of a thousand calls."""
    first, second = FastPath(b"chunk"), FastPath(b"chunk")
    message = (
        b'{"event":"media","media":{"track":"inbound","chunk":"2","payload":"AAAA"},"id":"%s"}'
    )
    first.learn(message % b"one", "AAAA")
    second.learn(message % b"another one", "AAAA")
    assert first.kind() == second.kind() != 0
    assert first.audio(message % b"third") == (bytes(3), 2)


@pytest.mark.parametrize(
    "changed",
    [
        (b'"media",', b'"dtmf",'),
        (b'"inbound"', b'"outbound"'),
        (b'"2"', b'"two"'),
        (b'"2"', b"2"),
        (b'"x"', b'"\\u0041"'),
        (b'"x"', b'"\n"'),
        (b'"x"', b'"\xc3\xa4"'),
        (b'"id"', b'"ID"'),
        (b"AAAA", b"AA=A"),
        (b"}}", b"}} "),
    ],
)
def test_ambiguous_messages_are_left_to_the_general_path(
    changed: tuple[bytes, bytes],
) -> None:
    message = b'{"event":"media","id":"x","media":{"track":"inbound","chunk":"2","payload":"AAAA"}}'
    lean = FastPath(b"chunk")
    lean.learn(message, "AAAA")
    assert lean.audio(message) == (bytes(3), 2)
    assert lean.audio(message.replace(*changed)) is None
