"""The rate limit for failed requests."""

from __future__ import annotations

import logging
import threading

import pytest

from service.security.failure_limit import BURST, FailureLimit
from tests.support.clocks import FakeClock

HERE = "192.0.2.1"


@pytest.fixture
def failures(clock: FakeClock) -> FailureLimit:
    return FailureLimit(clock)


def exhaust(failures: FailureLimit, address: str) -> None:
    for _ in range(BURST):
        assert failures.count(address) == 0


def test_address_with_too_many_failures_gets_a_waiting_time(
    failures: FailureLimit,
) -> None:
    exhaust(failures, HERE)
    assert failures.count(HERE) == 1
    assert failures.count("192.0.2.2") == 0


def test_failures_are_forgiven_one_at_a_time(failures: FailureLimit, clock: FakeClock) -> None:
    exhaust(failures, HERE)
    clock.advance(0.4)
    assert failures.count(HERE) == 1
    clock.advance(0.6)
    assert failures.count(HERE) == 0
    assert failures.count(HERE) == 1
    clock.advance(3)
    assert [failures.count(HERE) for _ in range(4)] == [0, 0, 0, 1]


def test_refused_requests_are_not_counted(failures: FailureLimit, clock: FakeClock) -> None:
    for _ in range(10_000):
        failures.count(HERE)
    clock.advance(BURST)
    exhaust(failures, HERE)


def test_burst_is_bounded_after_a_long_pause(failures: FailureLimit, clock: FakeClock) -> None:
    failures.count(HERE)
    clock.advance(100_000)
    exhaust(failures, HERE)
    assert failures.count(HERE) == 1


def test_waiting_time_is_read_without_counting(failures: FailureLimit) -> None:
    for _ in range(BURST):
        assert failures.wait(HERE) == 0
        assert failures.count(HERE) == 0
    assert failures.wait(HERE) == failures.wait(HERE) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:db8:1:2::1", "2001:0DB8:0001:0002::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2"),
        ("", "unknown"),
        ("x" * 64 + "1", "y"),
        ("203.0.113.7:1", "203.0.113.7:52341"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::2"),
        ("203.0.113.7:1:1", "203.0.113.7:1:2"),
    ],
)
def test_addresses_of_one_owner_share_a_count(failures: FailureLimit, one: str, other: str) -> None:
    exhaust(failures, one)
    assert failures.wait(other) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("192.0.2.1", "unknown"),
        ("203.0.113.7:52341", "203.0.113.8:52341"),
    ],
)
def test_other_addresses_have_their_own_count(failures: FailureLimit, one: str, other: str) -> None:
    exhaust(failures, one)
    assert failures.wait(other) == 0


def test_oldest_failure_is_dropped_beyond_the_limit_of_addresses(clock: FakeClock) -> None:
    failures = FailureLimit(clock, addresses=3)
    a, b, c, d = (f"192.0.2.{number}" for number in range(4))
    for address in (a, b, c):
        exhaust(failures, address)
    assert failures.count(a) == 1
    failures.count(d)
    assert [failures.wait(address) for address in (a, b, c, d)] == [1, 0, 1, 0]


def test_limited_address_is_logged_once(
    failures: FailureLimit, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "service.security.failure_limit")
    for _ in range(3):
        for _ in range(BURST + 50):
            failures.count(HERE)
        clock.advance(2)
    assert len(caplog.records) == 1
    assert HERE in caplog.text
    clock.advance(BURST)
    for _ in range(BURST + 50):
        failures.count(HERE)
    assert len(caplog.records) == 2


def test_threads_share_one_count(failures: FailureLimit) -> None:
    found: list[int] = []

    def fail() -> None:
        found.extend(failures.count(HERE) for _ in range(50))

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(0) == BURST
