"""Where a call goes, as a table."""

from __future__ import annotations

import pytest
from records import a_connector

from service.model import Refusal, Route
from service.routing import resolve


@pytest.mark.parametrize(
    ("default_room_id", "expected"),
    [("abcd-efgh-ijkl", Route("abcd-efgh-ijkl")), (None, Refusal.REJECTED)],
)
def test_a_call_goes_to_the_default_room_or_nowhere(
    default_room_id: str | None, expected: Route | Refusal
) -> None:
    assert resolve(a_connector(default_room_id=default_room_id)) == expected
