"""The metrics and the log of a real server, with a call under way."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE

TOKEN = "a-token-for-prometheus"
ENDED = 'patchbay_calls_ended_total{provider="twilio",reason="caller-hung-up"}'
FRAMES = 'patchbay_frames_total{direction="in"}'


def figures(patchbay: Patchbay) -> dict[str, float]:
    request = Request(f"{patchbay.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urlopen(request, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_metrics_and_log_follow_a_call(tmp_path: Path) -> None:
    settings = {"METRICS_TOKEN": TOKEN, "LOG_FORMAT": "json"}
    with running_patchbay(tmp_path, **settings) as patchbay:
        hook = patchbay.webhook("twilio", "counted-room-0001")
        before = figures(patchbay)
        assert (before["patchbay_calls"], before["patchbay_sockets"]) == (0, 0)
        plan = Scenario(webhook_url=hook, sample=sound.melody(), loop=True, seconds=60)
        phone = Phone(plan).start()
        patchbay.eventually(lambda: figures(patchbay)[FRAMES] >= 10)
        during = figures(patchbay)
        assert (during["patchbay_calls"], during["patchbay_legs"]) == (1, 1)
        assert during["patchbay_tick_lateness_seconds_count"] >= 10
        answers = 'patchbay_webhook_answer_seconds_count{outcome="answered",provider="twilio"}'
        assert during[answers] >= 1
        phone.hang_up()
        phone.join()
        patchbay.eventually(lambda: figures(patchbay).get(ENDED) == 1)
        after = figures(patchbay)
        assert (after["patchbay_calls"], after["patchbay_sockets"]) == (0, 0)
        assert after[FRAMES] >= during[FRAMES]
        assert after['patchbay_database_transaction_seconds_count{kind="write"}'] > 0
        call_id = patchbay.calls()[0]["callId"]
    lines = [
        json.loads(line) for line in patchbay.server.output.splitlines() if line.startswith("{")
    ]
    told = [line["message"] for line in lines if line.get("call_id") == call_id]
    assert [message.partition(":")[0] for message in told] == [
        "a call of twilio is let in",
        "leg joined its room",
        "leg closed",
    ]
    assert all(line["room_id"] for line in lines if line.get("call_id") == call_id)
    assert all("request_id" in line for line in lines if line["message"] == told[0])
    assert TOKEN not in patchbay.server.output
