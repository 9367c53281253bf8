"""Floods against a real server: refused and accepted requests, and the quality of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import process_stats
from bench.servers import Server
from bench.trial import Load, Workload, loading
from service.security import access_tokens
from service.security.failure_limit import BURST
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.flooding import besieged, flood, outcome
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.upgrades import upgrade


@pytest.fixture
def patchbay(tmp_path: Path) -> Iterator[Patchbay]:
    # As many connections as the clients that never finish use up several times over.
    with running_patchbay(tmp_path, "--worker-connections", "100") as patchbay:
        yield patchbay


def opened(url: str) -> tuple[int, bytes]:
    status, head, connection = upgrade(url)
    connection.close()
    return status, head


@pytest.mark.parametrize(
    "path", ["/twilio/Nf5tQ8wLz2XcR7vKb4MjH9pGs6DyA3eU", "/videosdk?ref=vs_k3x9m2p7q4w8z1r6t5b0"]
)
def test_unknown_references_are_limited_and_known_ones_are_not(
    patchbay: Patchbay, path: str
) -> None:
    statuses = [opened(patchbay.url + path)[0] for _ in range(BURST)]
    assert statuses == [404] * BURST
    while (answer := opened(patchbay.url + path))[0] == 404:
        pass  # One more for each second that this has taken.
    assert answer[0] == 429
    assert b"\r\nRetry-After: 1\r\n" in answer[1]
    url = patchbay.invite("room-1")["wsUrl"]
    assert opened(url)[0] == 101
    assert opened(url)[0] == 410


FLOOD = 10_000
CALLS = 50
DIALECTS = ("twilio", "plivo", "telnyx", "websocket", "twilio")
SECONDS = 5
"""For which the calls are listened to, while the flood is there."""


def require_heard(load: Load, record_property: Callable[[str, object], None]) -> None:
    """End the calls of ``load``: none of them was lost, and each heard the others."""
    calls = load.finish()
    record_property("frames heard", f"{calls.heard:.2%}")
    record_property("p99 lateness", f"{calls.lateness_p99:.1f} ms")
    assert calls.lost == 0
    # The machine that floods and makes the calls is this one, and other tests run on it. Calls that
    # a flood does disturb hear next to nothing.
    assert calls.heard > 0.2


def late_caller(patchbay: Patchbay) -> Phone:
    """Start a call during the flood."""
    return Phone(Scenario(webhook_url=patchbay.webhook("telnyx", "late"), loop=True)).start()


@pytest.fixture
def load(patchbay: Patchbay) -> Iterator[Load]:
    address = patchbay.url.removeprefix("http://")
    server = Server(
        int(address.rpartition(":")[2]), process_stats.family(patchbay.server.pid), patchbay.token
    )
    workload = Workload(room_size=len(DIALECTS), dialects=DIALECTS)
    with loading(workload, server, CALLS, SECONDS, cores=None) as load:
        yield load


def test_ten_thousand_bad_tokens_and_keys_do_not_disturb_fifty_calls(
    patchbay: Patchbay, load: Load, record_property: Callable[[str, object], None]
) -> None:
    token = access_tokens.mint("key", "another-secret" * 3, 1_000)
    address = patchbay.url.removeprefix("http://")
    paths = ("/v2/connectors", "/v2/hooks/twilio/whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu")
    process = flood(address, FLOOD, f"Authorization: {token}", *paths)
    good = [patchbay.ask("GET", "/v2/connectors")[0] for _ in range(20)]
    late = late_caller(patchbay)
    late.wait_for("first-audio")
    require_heard(load, record_property)
    late.hang_up()
    late.join(PATIENCE)
    statuses = outcome(process)
    assert good == [200] * 20
    assert statuses.keys() == {401, 404, 429}
    assert sum(statuses.values()) == FLOOD
    assert statuses[429] > FLOOD * 9 // 10


def test_clients_that_never_finish_do_not_disturb_fifty_calls(
    patchbay: Patchbay, load: Load, record_property: Callable[[str, object], None]
) -> None:
    with besieged(patchbay.url.removeprefix("http://")):
        for _ in range(10):
            assert patchbay.server.get("/healthz") == 200
            late = late_caller(patchbay)
            late.wait_for("first-audio")
            late.hang_up()
            late.join(PATIENCE)
        require_heard(load, record_property)
        assert patchbay.server.get("/healthz") == 200
    assert patchbay.server.output.count("Booting worker") == 1
    assert "Traceback" not in patchbay.server.output
