"""Health of receivers: which are suspect, and how many deliveries have failed in a row."""

from __future__ import annotations

from service.webhooks.receiver_health import SLOW_SECONDS, ReceiverHealth


def test_a_receiver_is_healthy_at_first() -> None:
    assert not ReceiverHealth().is_suspect("wh_1")


def test_a_failed_receiver_is_suspect_until_it_answers_fast() -> None:
    health = ReceiverHealth()
    assert [health.failed("wh_1", attempts, "No.") for attempts in (1, 2, 1)] == [1, 2, 3]
    assert health.is_suspect("wh_1")
    assert not health.is_suspect("wh_2")
    health.answered("wh_1", SLOW_SECONDS)
    assert not health.is_suspect("wh_1")
    assert health.failed("wh_1", 1, "No.") == 1


def test_a_slow_receiver_is_suspect_until_it_answers_fast() -> None:
    health = ReceiverHealth()
    health.answered("wh_1", SLOW_SECONDS + 0.1)
    assert health.is_suspect("wh_1")
    health.answered("wh_1", 0.1)
    assert not health.is_suspect("wh_1")


def test_attempts_of_an_earlier_process_count_as_failures() -> None:
    assert ReceiverHealth().failed("wh_1", 7, "No.") == 7


def test_a_deleted_receiver_is_forgotten() -> None:
    health = ReceiverHealth()
    health.failed("wh_1", 1, "No.")
    health.answered("wh_2", SLOW_SECONDS + 1)
    for receiver in ("wh_1", "wh_2"):
        health.forget(receiver)
        assert not health.is_suspect(receiver)
