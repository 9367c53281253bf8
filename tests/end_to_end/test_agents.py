"""The custom WebSocket on a real server: participants, messages, keys, marks."""

from __future__ import annotations

import base64
from secrets import token_hex

import numpy as np
import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level


def invited(patchbay: Patchbay, room: str, name: str) -> str:
    participant = {"id": name, "name": name.title(), "metadata": {"shoe": 43}}
    return str(patchbay.invite(room, participant=participant)["wsUrl"])


def say(agent: Agent, seconds: float, hertz: float = 1010.0) -> None:
    """Send a tone at once, in messages of two seconds."""
    samples = sound.tone(hertz, seconds).astype("<i2")
    for start in range(0, len(samples), 2 * RATE):
        payload = base64.b64encode(samples[start : start + 2 * RATE].tobytes()).decode()
        agent.send(event="media", payload=payload)


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
            phone.join(PATIENCE)
            numbers = [
                event["data"]["payload"]["number"] for event in ann.events if "data" in event
            ]
            assert numbers == [1, 5, "0", "*", "#"]
            ann.events.clear()


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_an_agent_that_speaks_after_a_join_is_heard_from_its_first_word(
    patchbay: Patchbay, provider: str
) -> None:
    def attempt() -> None:
        room = f"ready-{token_hex(4)}"
        plan = Scenario(webhook_url=patchbay.webhook(provider, room), loop=True)
        with Agent(invited(patchbay, room, "ann")) as ann:
            phone = Phone(plan).start()
            joined = ann.wait_for("participant-joined")["participant"]
            assert joined["metadata"] == {"sipUser": True, "callType": "inbound"}
            say(ann, 1.0)
            ann.send(event="mark", name="said")
            ann.wait_for("mark")
            said = phone.streamed
            patchbay.eventually(lambda: phone.streamed > said + RATE)
            phone.hang_up()
            phone.join(PATIENCE)
        # The first few milliseconds are faded in, and a sine has its zeros.
        assert np.count_nonzero(phone.heard) > 7_900

    patchbay.undisturbed(attempt)


def test_a_burst_is_played_in_real_time_and_its_mark_is_returned_after_it(
    patchbay: Patchbay,
) -> None:
    def attempt() -> None:
        room = f"burst-{token_hex(4)}"
        with (
            Agent(invited(patchbay, room, "ann")) as ann,
            Agent(invited(patchbay, room, "bob")) as bob,
        ):
            bob.wait_for("participant-joined")
            say(ann, 1.0)
            ann.send(event="mark", name="said")
            assert ann.wait_for("mark")["name"] == "said"
            said = len(bob.heard)
            patchbay.eventually(lambda: len(bob.heard) > said + RATE // 2)
            heard = bob.heard
        spoken = heard[np.flatnonzero(heard)[0] :][:8_000]
        assert np.count_nonzero(spoken) > 7_800
        assert level(spoken, 1010) == pytest.approx(-12, abs=0.5)

    patchbay.undisturbed(attempt)


def test_clear_drops_unmixed_audio(patchbay: Patchbay) -> None:
    with (
        Agent(invited(patchbay, "clear", "ann")) as ann,
        Agent(invited(patchbay, "clear", "bob")) as bob,
    ):
        bob.wait_for("participant-joined")
        say(ann, 20.0)
        ann.send(event="mark", name="one")
        ann.send(event="clear")
        ann.wait_for("mark")
        say(ann, 2.0, hertz=1500.0)
        ann.send(event="mark", name="two")
        ann.wait_for("mark", count=2)
        patchbay.eventually(lambda: level(bob.heard[-RATE // 4 :], 1500) > -20)
        # A busy machine may have played some of it before it was dropped.
        assert np.count_nonzero(bob.heard) < 10 * RATE


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_clear_drops_audio_that_a_phone_has_not_played(patchbay: Patchbay, provider: str) -> None:
    room = f"clear-{provider}"
    with Agent(invited(patchbay, room, "ann")) as ann:
        plan = Scenario(webhook_url=patchbay.webhook(provider, room), loop=True)
        phone = Phone(plan).start()
        ann.wait_for("participant-joined")
        say(ann, 20.0)
        patchbay.eventually(lambda: np.count_nonzero(phone.heard) > 4_000)
        ann.send(event="clear")
        phone.wait_for("clear")
        streamed = phone.streamed
        patchbay.eventually(lambda: phone.streamed > streamed + 2_400)
        phone.hang_up()
        phone.join(PATIENCE)
    assert phone.report.clears == 1
    assert phone.report.problems == ()
    heard = np.flatnonzero(phone.heard)
    assert len(heard) < 10 * RATE
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
