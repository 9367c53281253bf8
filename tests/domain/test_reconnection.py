"""End of the time that a call may be without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain import reconnection
from service.domain.calls import WEBSOCKET, CallStatus, Transfer
from tests.support.records import a_call

ALLOWED = 15_000

LOST: dict[str, Any] = {"status": CallStatus.ANSWERED, "detached_at": 100_000, "expires_at": None}
DIALLED = Transfer("+14155550123", CallStatus.TRANSFERRING)
BACK = Transfer("+14155550123", CallStatus.TRANSFER_FAILED)

# Call, start of this process, last hold, and end of the call.
RULE: list[tuple[str, dict[str, Any], int, int | None, int | None]] = [
    ("has a socket", {**LOST, "detached_at": None}, 0, None, None),
    (
        "has a socket, and a reference beside it",
        {**LOST, "detached_at": None, "expires_at": 1},
        0,
        None,
        None,
    ),
    ("lost its socket", LOST, 0, None, 115_000),
    ("asked again, and has a reference", {**LOST, "expires_at": 203_000}, 0, None, 203_000),
    ("has claimed a reference early", {**LOST, "expires_at": 101_000}, 0, None, 115_000),
    ("lost it before this process began", LOST, 300_000, None, 315_000),
    ("asked before this process began", {**LOST, "expires_at": 350_000}, 300_000, None, 350_000),
    ("was told to hold", LOST, 0, 140_000, 155_000),
    ("was told to hold long ago", {**LOST, "expires_at": 203_000}, 0, 90_000, 203_000),
    ("is dialled on", {**LOST, "transfer": DIALLED}, 0, None, None),
    ("is back from a dial", {**LOST, "transfer": BACK}, 0, None, 115_000),
    ("is a WebSocket that was lost", {**LOST, "provider": WEBSOCKET}, 300_000, None, 100_000),
    ("waits for its first socket", {}, 0, None, 91_000),
    ("waits since before this process began", {}, 300_000, None, 315_000),
    ("waits, and was told to hold", {}, 0, 90_000, 105_000),
    ("rings", {"status": CallStatus.RINGING, "expires_at": 75_000}, 0, None, 75_000),
    ("is a ticket", {"provider": WEBSOCKET}, 0, None, 91_000),
]


@pytest.mark.parametrize(
    ("call", "began_at", "held_at", "ends_at"),
    [row[1:] for row in RULE],
    ids=[row[0] for row in RULE],
)
def test_the_latest_applicable_time_is_used(
    call: dict[str, Any], began_at: int, held_at: int | None, ends_at: int | None
) -> None:
    found = reconnection.ends_at(a_call(**call), ALLOWED, began_at=began_at, held_at=held_at)
    assert found == ends_at


@pytest.mark.parametrize(("hold", "allowed"), [(2, 15), (3, 15), (5, 15), (6, 16), (60, 70)])
def test_a_call_outlives_its_hold(hold: int, allowed: int) -> None:
    assert reconnection.seconds(hold) == allowed
