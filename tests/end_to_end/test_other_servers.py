"""Media sockets work with every supported server: gunicorn's workers and ``flask run``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.ports import free_port
from tests.support.servers import PATIENCE, Server, environment
from tests.support.spectrum import level


@contextmanager
def flask_run(data: Path) -> Iterator[Patchbay]:
    port = str(free_port())
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", port]
    server = Server(command, environment(data, {"PORT": port}))
    try:
        server.wait_for("Running on")
        yield Patchbay(server)
    finally:
        server.stop()


@contextmanager
def sync_worker(data: Path) -> Iterator[Patchbay]:
    with running_patchbay(data, "--worker-class", "sync", "--threads", "1") as patchbay:
        patchbay.server.wait_for("Using worker: sync")
        yield patchbay


@pytest.mark.parametrize("serve", [flask_run, sync_worker])
def test_a_caller_and_an_agent_hear_each_other(serve: object, tmp_path: Path) -> None:
    with serve(tmp_path) as patchbay:
        plan = Scenario(
            webhook_url=patchbay.webhook("telnyx", "r"), sample=sound.tone(700, 1.0), loop=True
        )
        phone = Phone(plan).start()
        with Agent(patchbay.invite("r")["wsUrl"], sound.tone(1300, 1.0)) as agent:
            patchbay.eventually(lambda: level(phone.heard[-RATE // 2 :], 1300) > -20)
            patchbay.eventually(lambda: level(agent.heard[-RATE // 2 :], 700) > -20)
            assert patchbay.server.get("/healthz") == 200
        phone.hang_up()
        phone.join(PATIENCE)
        patchbay.eventually(lambda: patchbay.calls()[0]["endReason"] == "caller-hung-up")
    assert "Traceback" not in patchbay.server.output
