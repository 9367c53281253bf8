"""The custom WebSocket on a real server: participants, messages, keys, marks."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay
from tests.support.spectrum import level


def invited(patchbay: Patchbay, room: str, name: str) -> str:
    participant = {"id": name, "name": name.title(), "metadata": {"shoe": 43}}
    return str(patchbay.invite(room, participant=participant)["wsUrl"])


def test_agents_receive_participants_and_messages(patchbay: Patchbay) -> None:
    with Agent(invited(patchbay, "talk", "ann")) as ann:
        joined = ann.wait_for("meeting-joined")
        assert joined["roomId"] == "talk"
        ann.send(event="subscribe", topic="CHAT")
        with Agent(invited(patchbay, "talk", "bob")) as bob:
            card = {"id": "bob", "name": "Bob", "metadata": {"shoe": 43}}
            assert ann.wait_for("participant-joined")["participant"] == card
            assert bob.wait_for("meeting-joined")["sessionId"] == joined["sessionId"]
            assert bob.wait_for("participant-joined")["participant"]["id"] == "ann"
            bob.send(event="subscribe", topic="CHAT")
            bob.send(event="message", topic="CHAT", data="hello")
            for agent in (ann, bob):
                message = agent.wait_for("message")
                assert message["topic"] == "CHAT"
                assert message["data"]["message"] == "hello"
                assert message["data"]["senderId"] == "bob"
                assert message["data"]["senderName"] == "Bob"
            ann.send(event="unsubscribe", topic="CHAT")
            ann.send(event="message", topic="CHAT", data="bye")
            assert bob.wait_for("message", count=2)["data"]["message"] == "bye"
            bob.send(event="stop")
            assert ann.wait_for("participant-left")["participant"]["id"] == "bob"
        assert [event["event"] for event in ann.events].count("message") == 1


def test_keys_a_caller_presses_reach_the_room_as_dtmf_events(patchbay: Patchbay) -> None:
    with Agent(invited(patchbay, "keys", "ann")) as ann:
        ann.send(event="subscribe", topic="DTMF_EVENT")
        for provider in ("twilio", "plivo", "telnyx"):
            phone = Phone(
                Scenario(webhook_url=patchbay.webhook(provider, "keys"), digits="150*#")
            ).start()
            phone.wait_for("digit", count=5)
            ann.wait_for("message", count=5)
            phone.hang_up()
            phone.join(20)
            numbers = [
                event["data"]["payload"]["number"] for event in ann.events if "data" in event
            ]
            assert numbers == [1, 5, "0", "*", "#"]
            ann.events.clear()


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_an_agent_that_speaks_after_a_join_is_heard_from_its_first_word(
    patchbay: Patchbay, provider: str
) -> None:
    room = f"ready-{provider}"
    with Agent(invited(patchbay, room, "ann")) as ann:
        phone = Phone(Scenario(webhook_url=patchbay.webhook(provider, room), seconds=20)).start()
        joined = ann.wait_for("participant-joined")["participant"]
        assert joined["metadata"] == {"sipUser": True, "callType": "inbound"}
        payload = sound.tone(1010, 1.0).astype("<i2").tobytes()
        ann.send(event="media", payload=base64.b64encode(payload).decode())
        # The first few milliseconds are faded in, and a sine has its zeros.
        patchbay.eventually(lambda: int(np.count_nonzero(phone.heard)) > 7_900)
        phone.hang_up()
        phone.join(20)


def test_a_burst_is_played_in_real_time_and_its_mark_is_returned_after_it(
    patchbay: Patchbay,
) -> None:
    with (
        Agent(invited(patchbay, "burst", "ann")) as ann,
        Agent(invited(patchbay, "burst", "bob")) as bob,
    ):
        bob.wait_for("participant-joined")
        payload = sound.tone(1010, 1.0).astype("<i2").tobytes()
        ann.send(event="media", payload=base64.b64encode(payload).decode())
        ann.send(event="mark", name="said")
        assert ann.wait_for("mark")["name"] == "said"
        patchbay.eventually(lambda: int(np.count_nonzero(bob.heard)) > 7_800)
        spoken = bob.heard[np.flatnonzero(bob.heard)[0] :][:8_000]
        assert level(spoken, 1010) == pytest.approx(-12, abs=0.5)


def test_clear_drops_unmixed_audio(patchbay: Patchbay) -> None:
    with (
        Agent(invited(patchbay, "clear", "ann")) as ann,
        Agent(invited(patchbay, "clear", "bob")) as bob,
    ):
        bob.wait_for("participant-joined")
        payload = sound.tone(1010, 1.0).astype("<i2").tobytes()
        for _ in range(2):
            ann.send(event="media", payload=base64.b64encode(payload).decode())
        ann.send(event="mark", name="one")
        ann.send(event="clear")
        ann.wait_for("mark")
        ann.send(event="media", payload=base64.b64encode(payload[:3200]).decode())
        ann.send(event="mark", name="two")
        ann.wait_for("mark", count=2)
        patchbay.eventually(lambda: int(np.count_nonzero(bob.heard)) > 1_500)
        assert np.count_nonzero(bob.heard) < 8_000


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_clear_drops_audio_that_a_phone_has_not_played(patchbay: Patchbay, provider: str) -> None:
    room = f"clear-{provider}"
    with Agent(invited(patchbay, room, "ann")) as ann:
        phone = Phone(Scenario(webhook_url=patchbay.webhook(provider, room), seconds=20)).start()
        ann.wait_for("participant-joined")
        payload = sound.tone(1010, 5.0).astype("<i2").tobytes()
        ann.send(event="media", payload=base64.b64encode(payload[:48_000]).decode())
        ann.send(event="media", payload=base64.b64encode(payload[48_000:]).decode())
        patchbay.eventually(lambda: np.count_nonzero(phone.heard) > 4_000)
        ann.send(event="clear")
        phone.wait_for("clear")
        streamed = phone.streamed
        patchbay.eventually(lambda: phone.streamed > streamed + 2_400)
        phone.hang_up()
        phone.join(20)
    assert phone.report.clears == 1
    assert phone.report.problems == ()
    heard = np.flatnonzero(phone.heard)
    assert len(heard) < 20_000
    # The buffered audio is missing before the last frame, which the engine fades out.
    assert np.diff(heard)[-160:].max() > 160


def test_ending_an_agent_s_session_notifies_it_and_closes_its_socket(patchbay: Patchbay) -> None:
    session = patchbay.invite("shut", participant={"id": "ann"})
    with Agent(session["wsUrl"]) as ann:
        ann.wait_for("meeting-joined")
        assert patchbay.ask("POST", "/v2/sip/call/end", {"callId": session["callId"]})[0] == 200
        assert ann.wait_for("meeting-left")["message"] == "The meeting has been closed"
        ann.leave()
        assert ann.close_code == 1000
    assert patchbay.call(session["callId"])["endReason"] == "ended-by-api"
    assert patchbay.calls(roomId="shut") == []
