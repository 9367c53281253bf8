"""Clocks and formatted times."""

from __future__ import annotations

import time

import pytest

from service.clock import SystemClock, iso


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_782_052_245_123, "2026-06-21T14:30:45.123Z"),
        (1_782_052_245_007, "2026-06-21T14:30:45.007Z"),
        (951_782_400_999, "2000-02-29T00:00:00.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_iso_is_utc_with_milliseconds(at: int, text: str) -> None:
    assert iso(at) == text


def test_iso_does_not_depend_on_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert iso(1_782_052_245_123) == "2026-06-21T14:30:45.123Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_system_clock_tells_milliseconds_since_the_epoch() -> None:
    before = time.time()
    now = SystemClock().now()
    assert isinstance(now, int)
    assert before * 1000 - 1 <= now <= time.time() * 1000


def test_the_monotonic_clock_counts_seconds_and_never_goes_back() -> None:
    clock = SystemClock()
    before = time.monotonic()
    first = clock.monotonic()
    second = clock.monotonic()
    assert before <= first <= second <= time.monotonic()
