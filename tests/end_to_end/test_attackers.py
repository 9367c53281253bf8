"""The benchmark's calls, attackers and short calls against a real server."""

from __future__ import annotations

from urllib.parse import urlsplit

from bench import process_stats
from bench.attackers import ATTACKERS, attacking
from bench.churn import churning
from bench.servers import Server
from bench.trial import Workload, loading
from tests.support.patchbays import Patchbay


def port_of(patchbay: Patchbay) -> int:
    port = urlsplit(patchbay.url).port
    assert port is not None
    return port


def test_load_generator_judges_the_calls_that_it_makes(patchbay: Patchbay) -> None:
    server = Server(port_of(patchbay), process_stats.family(patchbay.server.pid), patchbay.token)
    workload = Workload(room_size=4, dialects=("twilio", "plivo", "telnyx", "websocket"))
    with loading(workload, server, calls=8, seconds=1, cores=None) as load:
        reading = load.finish()
    assert (reading.calls, reading.lost, reading.unsent) == (8, 0, 0)
    # A busy machine may skip some frames.
    assert 0 < reading.heard <= 1
    assert 0 < reading.exact <= 1
    assert 0 < reading.answered <= 1


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
