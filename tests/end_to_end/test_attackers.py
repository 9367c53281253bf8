"""The benchmark's attackers and short calls against a real server."""

from __future__ import annotations

from urllib.parse import urlsplit

from bench.attackers import ATTACKERS, attacking
from bench.churn import churning
from tests.support.patchbays import Patchbay


def port_of(patchbay: Patchbay) -> int:
    port = urlsplit(patchbay.url).port
    assert port is not None
    return port


def test_a_disconnected_attacker_connects_again(patchbay: Patchbay) -> None:
    [peer] = [peer for peer in ATTACKERS if peer.name == "pings, 5,000 a second"]
    with attacking(peer, port_of(patchbay), patchbay.token) as attack:
        patchbay.eventually(lambda: attack.closed >= 1 and attack.opened >= 2)
    assert attack.sent > len(peer.burst)


def test_all_new_calls_are_accepted(patchbay: Patchbay) -> None:
    with churning(port_of(patchbay), patchbay.token) as churn:
        patchbay.eventually(lambda: len(churn.seconds) >= 10)
    assert churn.failed == 0
    assert churn.begun == len(churn.seconds)
    assert 0 < churn.p99 < float("inf")
