"""What becomes a pattern: nothing whose making the whole engine would wait for."""

from __future__ import annotations

import pytest

from service.providers.lean import MAX_AROUND, Lean

HEAD, TAIL = b'{"event":"media","payload":', b',"note":"'


@pytest.mark.parametrize(("around", "fits"), [(MAX_AROUND, True), (MAX_AROUND + 1, False)])
def test_a_message_is_a_pattern_only_where_little_stands_around_its_payload(
    around: int, fits: bool
) -> None:
    note = b"x" * (around - len(HEAD + TAIL + b'"}'))
    message = HEAD + b'"AAAA"' + TAIL + note + b'"}'
    lean = Lean()
    lean.learn(message, "AAAA")
    assert (lean.audio(message) is not None) is fits
