"""Calls that are moved, transferred and ended through the API, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")


@pytest.fixture
def dial(patchbay: Patchbay) -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def dial(provider: str, room: str, frequency: float = 440.0, **plan: object) -> Phone:
        phones.append(call(patchbay, provider, room, frequency, **plan))
        return phones[-1]

    yield dial
    for phone in phones:
        phone.hang_up()
        phone.join(PATIENCE)


def call(patchbay: Patchbay, provider: str, room: str, frequency: float, **plan: object) -> Phone:
    url = patchbay.webhook(provider, room)
    sample = sound.tone(frequency, 1.0)
    return Phone(Scenario(webhook_url=url, sample=sample, loop=True, **plan)).start()


def hears(patchbay: Patchbay, phone: Phone, frequency: float) -> None:
    """Return when the last 300 ms that the caller heard were this tone."""
    patchbay.eventually(lambda: level(phone.heard[-RATE * 3 // 10 :], frequency) > -20)


def in_room(patchbay: Patchbay, room: str) -> dict:
    """Wait until the only call of a room is answered, and return it."""
    patchbay.eventually(
        lambda: [each["status"] for each in patchbay.calls(roomId=room)] == ["answered"]
    )
    (found,) = patchbay.calls(roomId=room)
    return found


def statuses(call: dict) -> list[str]:
    return [rung["status"] for rung in call["timelog"]]


def stays(patchbay: Patchbay, session_id: str) -> dict[str, list[bool]]:
    """Return the participants of a session, and whether each of their stays continues."""
    status, session = patchbay.ask("GET", f"/v2/sessions/{session_id}")
    assert status == 200
    return {
        each["participantId"]: [stay["end"] is None for stay in each["timelog"]]
        for each in session["participants"]
    }


@pytest.mark.parametrize("reattach", ["on", "off"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_moved_caller_hears_the_other_room_on_the_same_socket(
    patchbay: Patchbay, dial: Callable[..., Phone], tmp_path: Path, provider: str, reattach: str
) -> None:
    if reattach == "off":
        with running_patchbay(tmp_path, REATTACH="off") as other:
            phone = call(other, provider, "here", 440.0)
            moves(other, phone, "here", "there")
            phone.hang_up()
            phone.join(PATIENCE)
        return
    here, there = f"here-{provider}", f"there-{provider}"
    moves(patchbay, dial(provider, here), here, there)


def moves(patchbay: Patchbay, phone: Phone, here: str, there: str) -> None:
    with (
        Agent(patchbay.invite(here)["wsUrl"], sound.tone(700, 1.0)) as ann,
        Agent(patchbay.invite(there)["wsUrl"], sound.tone(1300, 1.0)) as zoe,
    ):
        ann.wait_for("participant-joined")
        zoe.wait_for("meeting-joined")
        hears(patchbay, phone, 700)
        before = in_room(patchbay, here)
        body = {"callId": before["callId"], "roomId": there}
        status, answer = patchbay.ask("POST", "/v2/sip/call/switch-room", body)
        assert (status, answer["data"]["roomId"]) == (200, there)
        hears(patchbay, phone, 1300)
        assert ann.wait_for("participant-left")["participant"]["id"] == before["participantId"]
        assert zoe.wait_for("participant-joined")["participant"]["id"] == before["participantId"]
        patchbay.eventually(lambda: level(zoe.heard[-RATE * 3 // 10 :], 440) > -20)
        patchbay.eventually(lambda: level(ann.heard[-RATE * 3 // 10 :], 440) < -50)
        patchbay.eventually(
            lambda: statuses(patchbay.call(before["callId"]))[-1] == "switch-room-completed"
        )
        after = patchbay.call(before["callId"])
        who, now = before["participantId"], stays(patchbay, after["sessionId"])
        assert (now[who], stays(patchbay, before["sessionId"])[who]) == ([True], [False])
        session = zoe.wait_for("meeting-joined")["sessionId"]
    assert (after["sessionId"], after["status"]) == (session, "answered")
    assert statuses(after)[-2:] == ["switch-room-initiated", "switch-room-completed"]
    assert phone.report.redirects == 0
    assert [event.name for event in phone.events].count("connected") == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_ended_call_hangs_up_without_credentials(
    patchbay: Patchbay, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(provider, f"end-{provider}")
    found = in_room(patchbay, f"end-{provider}")
    status, _ = patchbay.ask("POST", "/v2/sip/call/end", {"callId": found["callId"]})
    assert status == 200
    phone.join(PATIENCE)
    assert phone.report.ended is Ending.SERVER_HUNG_UP
    assert phone.report.problems == ()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answered_transfer_ends_with_its_conversation(
    patchbay: Patchbay, dial: Callable[..., Phone], provider: str
) -> None:
    room = f"transfer-{provider}"
    phone = dial(provider, room, dialled="completed")
    found = in_room(patchbay, room)
    body = {"callId": found["callId"], "transferTo": "+44 20 7183 8750"}
    status, answer = patchbay.ask("POST", "/v2/sip/call/transfer", body)
    assert (status, answer["data"]["status"]) == (200, "answered")
    assert answer["data"]["transfer"] == {"to": "+442071838750", "status": "transfer-initiated"}
    dialled = phone.wait_for("dial")
    assert dialled.detail == ("442071838750" if provider == "plivo" else "+442071838750")
    phone.join(PATIENCE)
    assert phone.report.ended is Ending.SERVER_HUNG_UP
    ended = patchbay.call(found["callId"])
    assert (ended["status"], ended["endReason"]) == ("ended", "transferred")
    assert ended["transfer"]["status"] == "transferred"
    transfer = [rung["status"] for rung in ended["timelog"] if rung["event"] == "transfer"]
    assert transfer == ["transfer-initiated", "transferring", "transferred"]
    assert phone.report.problems == ()


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_failed_transfer_returns_the_caller_to_the_room(
    patchbay: Patchbay, dial: Callable[..., Phone], provider: str, outcome: str
) -> None:
    room = f"back-{provider}-{outcome}"
    phone = dial(provider, room, dialled=outcome)
    with Agent(patchbay.invite(room)["wsUrl"], sound.tone(1300, 1.0)) as agent:
        found = in_room(patchbay, room)
        body = {"callId": found["callId"], "transferTo": "+442071838750"}
        assert patchbay.ask("POST", "/v2/sip/call/transfer", body)[0] == 200
        agent.wait_for("participant-left")
        phone.wait_for("start", count=2)
        back = agent.wait_for("participant-joined", count=2)
        assert back["participant"]["id"] == found["participantId"]
        hears(patchbay, phone, 1300)
    patchbay.eventually(
        lambda: patchbay.call(found["callId"])["transfer"]["status"] == "transfer-failed"
    )
    after = patchbay.call(found["callId"])
    assert (after["status"], after["sessionId"]) == ("answered", found["sessionId"])
    assert "transfer-failed" in statuses(after)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_caller_who_hangs_up_during_a_transfer_ends_the_call(
    patchbay: Patchbay, dial: Callable[..., Phone], provider: str
) -> None:
    room = f"gone-{provider}"
    phone = dial(provider, room, dialled="no-answer", dial_seconds=60.0)
    found = in_room(patchbay, room)
    body = {"callId": found["callId"], "transferTo": "+442071838750"}
    assert patchbay.ask("POST", "/v2/sip/call/transfer", body)[0] == 200
    phone.wait_for("dial")
    phone.hang_up()
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.call(found["callId"])["status"] == "ended")
    after = patchbay.call(found["callId"])
    assert after["endReason"] == "caller-hung-up"
    assert after["transfer"]["status"] == "transfer-failed"
