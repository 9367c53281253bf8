"""Who counts as likely to hold a thread for long, and how often somebody has failed in a row."""

from __future__ import annotations

from service.webhooks.receiver_health import SLOW_SECONDS, ReceiverHealth


def test_everybody_is_well_at_first() -> None:
    assert not ReceiverHealth().is_suspect("wh_1")


def test_a_receiver_that_failed_is_suspect_until_it_answers_in_good_time() -> None:
    health = ReceiverHealth()
    assert [health.failed("wh_1", attempts, "No.") for attempts in (1, 2, 1)] == [1, 2, 3]
    assert health.is_suspect("wh_1")
    assert not health.is_suspect("wh_2")
    health.answered("wh_1", SLOW_SECONDS)
    assert not health.is_suspect("wh_1")
    assert health.failed("wh_1", 1, "No.") == 1


def test_a_receiver_that_was_slow_is_suspect_until_it_is_not() -> None:
    health = ReceiverHealth()
    health.answered("wh_1", SLOW_SECONDS + 0.1)
    assert health.is_suspect("wh_1")
    health.answered("wh_1", 0.1)
    assert not health.is_suspect("wh_1")


def test_failures_before_the_process_began_count_by_the_attempts_of_the_event() -> None:
    assert ReceiverHealth().failed("wh_1", 7, "No.") == 7


def test_a_receiver_that_is_gone_is_forgotten() -> None:
    health = ReceiverHealth()
    health.failed("wh_1", 1, "No.")
    health.answered("wh_2", SLOW_SECONDS + 1)
    for receiver in ("wh_1", "wh_2"):
        health.forget(receiver)
        assert not health.is_suspect(receiver)
