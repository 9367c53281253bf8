"""Callers of three providers and an agent in one room on a real server."""

from __future__ import annotations

from statistics import median

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay
from tests.support.spectrum import level, stretches

TONES = {"twilio": 400.0, "plivo": 700.0, "telnyx": 1000.0, "agent": 1300.0}
LEVEL = -18.0
LADDER = ["webhook", "markup", "socket", "start", "first-audio-in", "first-audio-out"]


def levels(samples: Samples, first: float, last: float) -> dict[str, list[float]]:
    """Return the level of each participant's tone per half second between two times, in dBFS."""
    pieces = stretches(samples[round(first * RATE) : round(last * RATE)], 0.5)
    return {name: [level(piece, tone) for piece in pieces] for name, tone in TONES.items()}


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
        for phone in phones.values():
            phone.start()
        for phone in phones.values():
            phone.wait_for("first-audio")
        together = {name: phone.streamed / RATE for name, phone in phones.items()}
        together["agent"] = len(agent.heard) / RATE
        patchbay.eventually(lambda: phones["plivo"].streamed / RATE > together["plivo"] + 5.5)

        phones["plivo"].hang_up()
        phones["plivo"].join(10)
        fewer = {name: phone.streamed / RATE for name, phone in phones.items()}
        fewer["agent"] = len(agent.heard) / RATE
        patchbay.eventually(lambda: phones["twilio"].streamed / RATE > fewer["twilio"] + 2.0)
        for name in ("twilio", "telnyx"):
            phones[name].hang_up()
            phones[name].join(10)

    heard = {name: phone.heard for name, phone in phones.items()} | {"agent": agent.heard}
    for name, samples in heard.items():
        loud = levels(samples, together[name] + 0.3, together[name] + 5)
        assert max(loud.pop(name)) < -50
        for other, found in loud.items():
            # A shared machine stalls occasionally, and the audio of a stall is skipped.
            assert median(found) == pytest.approx(LEVEL, abs=1.5), (name, other)
    for name in ("twilio", "telnyx", "agent"):
        loud = levels(heard[name], fewer[name] + 0.3, fewer[name] + 1.8)
        assert max(*loud.pop(name), *loud.pop("plivo")) < -50
        for other, found in loud.items():
            assert median(found) == pytest.approx(LEVEL, abs=1.5), (name, other)
    for phone in phones.values():
        assert phone.report.frames_missing <= phone.report.frames_heard // 10

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
        assert call["stats"]["framesOut"] >= 250
        stamps = [rung["timestamp"] for rung in call["timelog"]]
        assert stamps == sorted(stamps)
