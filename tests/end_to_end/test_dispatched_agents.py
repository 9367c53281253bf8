"""Dispatched agents join the room, are heard in it, and leave with the call."""

from __future__ import annotations

import os
import re
import signal
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agent_servers import AgentServer, ReceivedDispatch, agent_server
from tests.support.agents import Agent
from tests.support.keyrings import verify
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

NUMBERS = {"twilio": "+14155550171", "plivo": "+14155550172", "telnyx": "+14155550173"}
CALLER = "+14155550142"
CALLER_TONE, AGENT_TONE = 400.0, 1300.0


class Worker:
    """An agent that joins on every dispatch and repeats a tone."""

    def __init__(self) -> None:
        self.agent_id = ""
        self.program: AgentServer
        self._news = threading.Condition()
        self._sessions: list[Agent] = []

    def come(self, asked: ReceivedDispatch) -> None:
        """Join in a separate thread, so that the answer does not wait for it."""
        threading.Thread(target=self._join, args=(asked.document["wsUrl"],)).start()

    def session(self, count: int = 1) -> Agent:
        """Wait for the ``count``-th join."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._sessions) >= count, PATIENCE)
            return self._sessions[count - 1]

    def leave(self) -> None:
        for session in self._sessions:
            session.leave()

    def _join(self, url: str) -> None:
        session = Agent(url, sound.tone(AGENT_TONE, 1.0))
        with self._news:
            self._sessions.append(session)
            self._news.notify_all()


def employ(patchbay: Patchbay, program: AgentServer) -> str:
    status, answer = patchbay.ask("POST", "/v2/agents", {"name": "Echo", "url": program.url})
    assert status == 201
    return str(answer["data"]["agentId"])


@contextmanager
def working(patchbay: Patchbay) -> Iterator[Worker]:
    worker = Worker()
    with agent_server(on_request=worker.come) as worker.program:
        worker.agent_id = employ(patchbay, worker.program)
        try:
            yield worker
        finally:
            worker.leave()


def dial(patchbay: Patchbay, provider: str, room: str, agent_id: str, **rule: Any) -> Phone:
    """A phone that calls a number whose rule has the agent, and repeats a tone."""
    number = NUMBERS[provider]
    body = {
        "name": room,
        "type": "inbound",
        "phoneNumbers": [number],
        "room": {"type": "static", "id": room},
        "agentId": agent_id,
        **rule,
    }
    status, made = patchbay.ask("POST", "/v2/sip/routing-rule", body)
    assert status == 201
    assert "warnings" not in made
    plan = Scenario(
        webhook_url=patchbay.webhook(provider, None),
        caller=CALLER,
        callee=number,
        sample=sound.tone(CALLER_TONE, 1.0),
        loop=True,
    )
    phone = Phone(plan).start()
    phone.wait_for("start")
    # The number is free for the next test.
    assert patchbay.ask("DELETE", f"/v2/sip/routing-rule/{made['id']}")[0] == 200
    return phone


def last(samples: Samples) -> Samples:
    """Return the last 300 ms."""
    return samples[-RATE * 3 // 10 :]


def hears_only(audio: Samples, tone: float, *, instead_of: float) -> bool:
    """Return whether one tone is loud and the other absent.

    In the same piece, because gaps in a tone, as on a busy machine, sound at all frequencies.
    """
    return level(audio, tone) > -20 and level(audio, instead_of) < -50


def rungs(patchbay: Patchbay, room: str) -> list[str]:
    """Return the agent's steps on the ladder of the room's phone, without the agent's id."""
    (call,) = patchbay.calls(roomId=room)
    found = [rung for rung in call["timelog"] if rung["event"] == "agent"]
    assert all(rung["status"] == "answered" for rung in found)
    return [rung["detail"].split(" ", 2)[2] for rung in found]


@pytest.mark.parametrize("provider", NUMBERS)
def test_the_agent_of_a_rule_and_its_caller_hear_each_other(
    patchbay: Patchbay, provider: str
) -> None:
    room = f"hears-{provider}"
    with working(patchbay) as worker:
        phone = dial(patchbay, provider, room, worker.agent_id, agentMetadata={"team": "support"})
        agent = worker.session()
        asked = worker.program.wait_for(1)
        published = patchbay.ask("GET", "/v2/public/rsa-public-key")[1]["publicKey"]
        verify(published, b64decode(asked.headers["videosdk-signature"]), asked.body)
        document = asked.document
        (call,) = patchbay.calls(roomId=room)
        assert (document["callId"], document["sessionId"]) == (call["callId"], call["sessionId"])
        assert (document["from"], document["to"]) == (CALLER, NUMBERS[provider])
        assert document["metadata"] == {"team": "support"}

        joined = agent.wait_for("participant-joined")["participant"]
        assert joined["id"] == call["participantId"]
        assert joined["metadata"] == {"sipUser": True, "callType": "inbound"}
        patchbay.eventually(
            lambda: hears_only(last(phone.heard), AGENT_TONE, instead_of=CALLER_TONE)
        )
        patchbay.eventually(lambda: level(last(agent.heard), CALLER_TONE) > -20)

        phone.hang_up()
        phone.join(PATIENCE)
        assert agent.wait_for("meeting-left")
        patchbay.eventually(lambda: agent.close_code == 1000)
        patchbay.eventually(lambda: patchbay.calls(roomId=room)[0]["status"] == "ended")
    assert rungs(patchbay, room) == ["was sent for", "joined"]


def test_the_agent_of_an_ingest_session_hears_it(patchbay: Patchbay) -> None:
    with working(patchbay) as worker:
        ticket = patchbay.invite("ingest", agent={"id": worker.agent_id, "metadata": {"a": 1}})
        with Agent(ticket["wsUrl"], sound.tone(CALLER_TONE, 1.0)) as guest:
            agent = worker.session()
            document = worker.program.wait_for(1).document
            assert document["callId"] == ticket["callId"]
            assert document["metadata"] == {"a": 1}
            participant = guest.wait_for("participant-joined")["participant"]
            assert participant["metadata"] == {"agent": True, "agentId": worker.agent_id}
            patchbay.eventually(lambda: level(last(guest.heard), AGENT_TONE) > -20)
            patchbay.eventually(lambda: level(last(agent.heard), CALLER_TONE) > -20)
        agent.wait_for("meeting-left")


def test_an_agent_dispatched_to_a_room_stays_when_others_leave(patchbay: Patchbay) -> None:
    room = "sent-for"
    with working(patchbay) as worker, Agent(patchbay.invite(room)["wsUrl"]) as guest:
        guest.wait_for("meeting-joined")
        body = {"agentId": worker.agent_id, "meetingId": room, "roomId": room}
        status, answer = patchbay.ask("POST", "/v2/agent/dispatch", body)
        assert (status, answer["data"]["status"]) == (200, "assigned")
        agent = worker.session()
        patchbay.eventually(lambda: level(last(guest.heard), AGENT_TONE) > -20)
        guest.leave()
        agent.wait_for("participant-left")
        assert agent.close_code is None


def test_an_agent_that_refuses_twice_is_on_the_ladder(patchbay: Patchbay) -> None:
    with agent_server(500) as program:
        phone = dial(patchbay, "twilio", "refused", employ(patchbay, program))
        refused = "did not take the dispatch: answered 500"
        expected = ["was sent for", f"{refused}, and is sent for again", refused]
        patchbay.eventually(lambda: rungs(patchbay, "refused") == expected)
        phone.hang_up()
        phone.join(PATIENCE)
    assert len(program.asked) == 2


def test_an_agent_that_never_joins_is_on_the_ladder(patchbay: Patchbay) -> None:
    with agent_server() as program:
        phone = dial(patchbay, "twilio", "silent", employ(patchbay, program))
        expected = ["was sent for", "did not join within 10 s, and is sent for again"]
        patchbay.eventually(lambda: rungs(patchbay, "silent") == expected)
        program.wait_for(2)
        phone.hang_up()
        phone.join(PATIENCE)
    assert len({asked.ref for asked in program.asked}) == 2


def test_a_call_that_returns_after_a_crash_gets_its_agent_again(tmp_path: Path) -> None:
    with (
        running_patchbay(tmp_path, WEBHOOK_ALLOW_PRIVATE="on") as patchbay,
        working(patchbay) as worker,
    ):
        phone = dial(patchbay, "twilio", "crashed", worker.agent_id)
        worker.session()
        patchbay.eventually(lambda: level(last(phone.heard), AGENT_TONE) > -20)

        process = re.search(r"Booting worker with pid: (\d+)", patchbay.server.output)
        assert process
        os.kill(int(process[1]), signal.SIGKILL)
        phone.wait_for("start", count=2)
        agent = worker.session(2)
        patchbay.eventually(lambda: level(last(phone.heard), AGENT_TONE) > -20)
        patchbay.eventually(lambda: level(last(agent.heard), CALLER_TONE) > -20)
        assert rungs(patchbay, "crashed") == [
            "was sent for",
            "joined",
            "left",
            "was sent for",
            "joined",
        ]
        phone.hang_up()
        phone.join(PATIENCE)
