"""Names of events, and the patterns with which a room's webhook selects them."""

from __future__ import annotations

import pytest

from service.domain.webhook_events import CallEvent, RoomEvent, matches

EVENTS = [*CallEvent, *RoomEvent]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["*"], set(EVENTS)),
        ([], set()),
        (["session-started"], {RoomEvent.SESSION_STARTED}),
        (["session-*"], {RoomEvent.SESSION_STARTED, RoomEvent.SESSION_ENDED}),
        (["session*"], {RoomEvent.SESSION_STARTED, RoomEvent.SESSION_ENDED}),
        (["session"], set()),
        (["recording-*", ".*", "*-started", "Session-*", ""], set()),
        (
            ["recording-*", "participant-j*", "session-ended"],
            {RoomEvent.PARTICIPANT_JOINED, RoomEvent.SESSION_ENDED},
        ),
    ],
)
def test_a_pattern_is_a_name_or_a_prefix(
    patterns: list[str], chosen: set[CallEvent | RoomEvent]
) -> None:
    assert {event for event in EVENTS if matches(patterns, event)} == chosen
