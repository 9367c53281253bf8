"""Callers with other codecs and on bad lines are heard correctly."""

from __future__ import annotations

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Codec
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level


@pytest.mark.parametrize(
    ("provider", "line"),
    [
        ("telnyx", {"codec": Codec.ALAW}),
        ("telnyx", {"shuffle": True, "jitter_ms": 30.0, "seed": 1}),
        ("plivo", {"codec": Codec.L16}),
        ("twilio", {"jitter_ms": 60.0, "seed": 1}),
        ("twilio", {"drop_percent": 2.0, "seed": 1}),
    ],
    ids=["telnyx-alaw", "telnyx-shuffled", "plivo-l16", "twilio-jitter", "twilio-loss"],
)
def test_a_caller_is_heard_at_the_right_pitch_and_level(
    patchbay: Patchbay, provider: str, line: dict[str, object]
) -> None:
    # One room each, because a caller of the previous case may not have left yet.
    room = f"{provider}-{'-'.join(line)}"
    with Agent(patchbay.invite(room)["wsUrl"], sound.tone(1300, 1.0)) as agent:
        plan = Scenario(
            webhook_url=patchbay.webhook(provider, room),
            sample=sound.tone(700, 1.0),
            loop=True,
            **line,
        )
        phone = Phone(plan).start()
        try:
            patchbay.eventually(
                lambda: (
                    level(agent.heard[-RATE // 4 :], 700) == pytest.approx(-12, abs=0.5)
                    and level(agent.heard[-RATE // 4 :], 1300) < -50
                )
            )
            patchbay.eventually(
                lambda: level(phone.heard[-RATE // 4 :], 1300) == pytest.approx(-12, abs=0.5)
            )
        finally:
            phone.hang_up()
            phone.join(PATIENCE)
