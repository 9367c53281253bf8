"""Floods against a real server: who is turned away, who is let in beside them, and the calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from patchbays import Patchbay, patchbay
from upgrades import upgrade

from service.limits import BURST


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Patchbay]:
    with patchbay(tmp_path) as bay:
        yield bay


def opened(url: str) -> tuple[int, bytes]:
    status, head, connection = upgrade(url)
    connection.close()
    return status, head


@pytest.mark.parametrize(
    "path", ["/twilio/Nf5tQ8wLz2XcR7vKb4MjH9pGs6DyA3eU", "/videosdk?ref=vs_k3x9m2p7q4w8z1r6t5b0"]
)
def test_unknown_references_are_limited_and_known_ones_are_not(bay: Patchbay, path: str) -> None:
    statuses = [opened(bay.url + path)[0] for _ in range(BURST)]
    assert statuses == [404] * BURST
    while (answer := opened(bay.url + path))[0] == 404:
        pass  # One more for each second that this has taken.
    assert answer[0] == 429
    assert b"\r\nRetry-After: 1\r\n" in answer[1]
    url = bay.invite("room-1")["wsUrl"]
    assert opened(url)[0] == 101
    assert opened(url)[0] == 410
