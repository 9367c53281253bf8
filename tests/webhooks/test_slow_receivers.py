"""Receivers count as slow until they answer fast."""

from __future__ import annotations

from service.webhooks.slow_receivers import SLOW_SECONDS, SlowReceivers


def test_a_receiver_is_slow_from_a_slow_response_until_a_fast_one() -> None:
    slow = SlowReceivers()
    assert "wh_1" not in slow
    slow.answered("wh_1", SLOW_SECONDS + 0.1)
    assert "wh_1" in slow
    assert "wh_2" not in slow
    slow.answered("wh_1", SLOW_SECONDS)
    assert "wh_1" not in slow


def test_a_deleted_receiver_is_forgotten() -> None:
    slow = SlowReceivers()
    slow.answered("wh_1", SLOW_SECONDS + 0.1)
    slow.forget("wh_1")
    assert "wh_1" not in slow
