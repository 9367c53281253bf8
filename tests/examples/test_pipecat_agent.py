"""A Pipecat pipeline in a room with a phone, on a real server, if Pipecat is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.dispatches import dispatch, invitation, running
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level, stretches

pytest.importorskip("pipecat", reason="pipecat-ai is not installed: pip install '.[pipecat]'")


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    data: Path = tmp_path_factory.mktemp("data")
    with running_patchbay(data) as patchbay:
        yield patchbay


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_the_parrot_hears_a_caller_speaks_and_is_interrupted(
    patchbay: Patchbay, provider: str
) -> None:
    said = sound.tone(700, 1.0, -18)
    plan = Scenario(webhook_url=patchbay.webhook(provider, provider), sample=said, loop=True)
    with running("pipecat_agent") as url:
        phone = Phone(plan).start()
        phone.wait_for("first-audio")
        call_id, body = invitation(patchbay, provider)
        assert dispatch(url, body) == 204
        patchbay.eventually(lambda: patchbay.call(call_id)["status"] == "answered")
        streamed = phone.streamed
        patchbay.eventually(lambda: phone.streamed > streamed + 3 * RATE)
        phone.press("1")
        patchbay.eventually(lambda: np.count_nonzero(phone.heard) > RATE)
        phone.press("2")
        phone.wait_for("clear")
        phone.hang_up()
        phone.join(PATIENCE)
    assert phone.report.problems == ()
    loud = [level(stretch, 700) for stretch in stretches(phone.heard, 0.25)]
    assert max(loud) == pytest.approx(-18, abs=1)
