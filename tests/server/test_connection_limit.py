"""Limit of connections after descriptors became scarce."""

from __future__ import annotations

from service.server.connection_limit import SCARCE_SECONDS, ConnectionLimit


def test_limit_is_the_lowest_number_at_which_descriptors_were_scarce_of_late() -> None:
    limit = ConnectionLimit()
    assert limit.allowed(100, 70, False, 0.0) == 100
    assert limit.allowed(100, 40, True, 1.0) == 40
    assert limit.allowed(100, 45, True, 1.1) == 40
    assert limit.allowed(100, 30, True, 1.2) == 30
    assert limit.allowed(100, 50, False, 1.2 + SCARCE_SECONDS / 2) == 30
    assert limit.allowed(100, 50, False, 1.2 + SCARCE_SECONDS) == 100
    assert limit.allowed(100, 60, True, 9.0) == 60
    assert limit.allowed(20, 60, False, 9.1) == 20
