"""What comes beside calls, against a real server: bad peers, and calls that come and go."""

from __future__ import annotations

from urllib.parse import urlsplit

from bench.attackers import ATTACKERS, attacking
from bench.churn import churning
from tests.support.patchbays import Patchbay


def port_of(patchbay: Patchbay) -> int:
    port = urlsplit(patchbay.url).port
    assert port is not None
    return port


def test_an_attacking_peer_that_is_cut_off_connects_again(patchbay: Patchbay) -> None:
    [peer] = [peer for peer in ATTACKERS if peer.name == "pings, 5,000 a second"]
    with attacking(peer, port_of(patchbay), patchbay.token) as attack:
        patchbay.eventually(lambda: attack.closed >= 1 and attack.opened >= 2)
    assert attack.sent > len(peer.burst)


def test_calls_that_come_are_all_let_in(patchbay: Patchbay) -> None:
    with churning(port_of(patchbay), patchbay.token) as churn:
        patchbay.eventually(lambda: len(churn.seconds) >= 10)
    assert churn.failed == 0
    assert churn.begun == len(churn.seconds)
    assert 0 < churn.p99 < float("inf")
