"""Callers of three providers and an agent in one room on a real server."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level, stretches

TONES = {"twilio": 400.0, "plivo": 700.0, "telnyx": 1000.0, "agent": 1300.0}
LEVEL = -18.0
SILENCE = -50.0
LADDER = ["webhook", "markup", "socket", "start", "first-audio-in", "first-audio-out"]


def heard_by(name: str, audio: Samples, present: Collection[str]) -> bool:
    """Return whether the last half second is exactly the voices of the others ``present``.

    A busy machine skips audio now and then, but not for good.
    """
    piece = audio[-RATE // 2 :]
    return len(piece) == RATE // 2 and all(
        level(piece, tone) == pytest.approx(LEVEL, abs=1.0)
        if other in present and other != name
        else level(piece, tone) < SILENCE
        for other, tone in TONES.items()
    )


def test_each_participant_hears_exactly_the_others(patchbay: Patchbay) -> None:
    room = "four-of-them"
    phones = {
        name: Phone(
            Scenario(
                webhook_url=patchbay.webhook(name, room),
                sample=sound.tone(TONES[name], 1.0, LEVEL),
                loop=True,
            )
        )
        for name in ("twilio", "plivo", "telnyx")
    }
    url = patchbay.invite(room, participant={"id": "agent", "name": "Agent"})["wsUrl"]
    with Agent(url, sound.tone(TONES["agent"], 1.0, LEVEL)) as agent:
        everybody: dict[str, Phone | Agent] = {**phones, "agent": agent}
        for phone in phones.values():
            phone.start()
        for name, each in everybody.items():
            patchbay.eventually(lambda name=name, each=each: heard_by(name, each.heard, everybody))
        phones["plivo"].hang_up()
        phones["plivo"].join(PATIENCE)
        staying = everybody.keys() - {"plivo"}
        for name in staying:
            patchbay.eventually(lambda name=name: heard_by(name, everybody[name].heard, staying))
        for name in ("twilio", "telnyx"):
            phones[name].hang_up()
            phones[name].join(PATIENCE)

    for name, each in everybody.items():
        own = [level(piece, TONES[name]) for piece in stretches(each.heard, 0.5)]
        # Gaps in the voices of others sound at all frequencies.
        assert max(own) < LEVEL - 15

    patchbay.eventually(
        lambda: all(call["status"] == "ended" for call in patchbay.calls(roomId=room))
    )
    calls = {call["provider"]: call for call in patchbay.calls(roomId=room)}
    assert set(calls) == {"twilio", "plivo", "telnyx"}
    assert len({call["sessionId"] for call in calls.values()}) == 1
    for call in calls.values():
        events = [rung["event"] for rung in call["timelog"]]
        # A new participant may hear the others before it sends audio.
        if events[4:6] == ["first-audio-out", "first-audio-in"]:
            events[4:6] = reversed(events[4:6])
        assert events == [*LADDER, "end"]
        assert call["endReason"] == "caller-hung-up"
        assert call["stats"]["framesOut"] >= phones[call["provider"]].report.frames_heard
        stamps = [rung["timestamp"] for rung in call["timelog"]]
        assert stamps == sorted(stamps)
