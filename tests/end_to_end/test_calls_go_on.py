"""A call outlives its socket and its server, and ends when it should."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_hex

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
def mortal(tmp_path: Path) -> Iterator[Patchbay]:
    """Run a server for one test, which stops it."""
    with running_patchbay(tmp_path) as patchbay:
        yield patchbay


@pytest.fixture
def room() -> str:
    return f"room-{token_hex(4)}"


@pytest.fixture
def dial() -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def dial(
        patchbay: Patchbay, provider: str, room: str | None, frequency: float = 440.0
    ) -> Phone:
        plan = Scenario(
            webhook_url=patchbay.webhook(provider, room),
            sample=sound.tone(frequency, 1.0),
            loop=True,
        )
        phones.append(Phone(plan).start())
        return phones[-1]

    yield dial
    for phone in phones:
        phone.hang_up()
        phone.join(PATIENCE)


def hears(patchbay: Patchbay, phone: Phone, frequency: float) -> None:
    """Return when the last 300 ms that the caller heard were this tone."""
    patchbay.eventually(lambda: level(phone.heard[-RATE * 3 // 10 :], frequency) > -20)


def events(call: dict) -> list[str]:
    return [rung["event"] for rung in call["timelog"]]


def test_calls_return_to_their_room_after_the_worker_is_killed(
    mortal: Patchbay, room: str, dial: Callable[..., Phone]
) -> None:
    patchbay = mortal
    phones = {name: dial(patchbay, name, room, 400.0 + 300 * n) for n, name in enumerate(PROVIDERS)}
    for phone in phones.values():
        phone.wait_for("first-audio")
    hears(patchbay, phones["twilio"], 700)
    patchbay.eventually(lambda: len(patchbay.calls(roomId=room, status="answered")) == len(phones))
    before = {call["callId"]: call for call in patchbay.calls(roomId=room)}

    worker = re.search(r"Booting worker with pid: (\d+)", patchbay.server.output)
    os.kill(int(worker[1]), signal.SIGKILL)
    for phone in phones.values():
        phone.wait_for("start", count=2)

    for name, others in (("twilio", (700, 1000)), ("plivo", (400, 1000)), ("telnyx", (400, 700))):
        for frequency in others:
            hears(patchbay, phones[name], frequency)
    patchbay.eventually(
        lambda: all(events(call).count("start") == 2 for call in patchbay.calls(roomId=room))
    )
    after = {call["callId"]: call for call in patchbay.calls(roomId=room)}
    assert after.keys() == before.keys()
    for call_id, call in after.items():
        assert call["status"] == "answered"
        for same in ("participantId", "sessionId", "from", "to", "start"):
            assert call[same] == before[call_id][same]
        assert events(call).count("webhook") == events(call).count("start") == 2
        assert "socket-lost" in events(call)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_lost_its_socket_gets_a_new_one(
    patchbay: Patchbay, room: str, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(patchbay, provider, room)
    with Agent(patchbay.invite(room)["wsUrl"], sound.tone(1300, 1.0)) as agent:
        agent.wait_for("participant-joined")
        hears(patchbay, phone, 1300)
        phone.drop()
        agent.wait_for("participant-left")
        again = agent.wait_for("participant-joined", count=2)
        assert again["participant"]["metadata"] == {"sipUser": True, "callType": "inbound"}
        phone.wait_for("start", count=2)
        hears(patchbay, phone, 1300)
    (call,) = [call for call in patchbay.calls(roomId=room) if call["provider"] == provider]
    assert call["status"] == "answered"
    assert again["participant"]["id"] == call["participantId"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_outlives_its_webhook_key_and_its_connector(
    patchbay: Patchbay, room: str, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(patchbay, provider, room)
    phone.wait_for("first-audio")
    connector = patchbay.ask("GET", "/v2/connectors")[1]["data"][0]["id"]
    assert patchbay.ask("POST", f"/v2/connectors/{connector}/rotate-key")[0] == 200
    phone.drop()
    phone.wait_for("start", count=2)
    assert patchbay.ask("DELETE", f"/v2/connectors/{connector}")[0] == 200
    phone.drop()
    phone.wait_for("start", count=3)
    (call,) = patchbay.calls(roomId=room)
    order = {"callId": call["callId"], "transferTo": "+442071838750"}
    patchbay.eventually(lambda: events(patchbay.call(call["callId"])).count("start") == 3)
    assert patchbay.ask("POST", "/v2/sip/call/transfer", order)[0] == 200
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.call(call["callId"])["endReason"] == "transferred")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_ending_a_call_through_the_api_hangs_up_through_the_markup(
    patchbay: Patchbay, room: str, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(patchbay, provider, room)
    phone.wait_for("first-audio")
    (call,) = patchbay.calls(roomId=room)
    status, answer = patchbay.ask("POST", "/v2/sip/call/end", {"callId": call["callId"]})
    assert (status, answer["data"]["status"]) == (200, "ended")
    phone.join(PATIENCE)
    assert phone.report.ended is Ending.SERVER_HUNG_UP
    assert phone.report.redirects == 1
    ended = patchbay.call(call["callId"])
    assert ended["endReason"] == "ended-by-api"
    assert events(ended).count("end") == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_caller_who_hangs_up_ends_the_call(
    patchbay: Patchbay, room: str, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(patchbay, provider, room)
    phone.wait_for("first-audio")
    phone.hang_up()
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.calls(roomId=room)[0]["status"] == "ended")
    assert patchbay.calls(roomId=room)[0]["endReason"] == "caller-hung-up"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_without_a_room_is_refused_in_the_provider_s_markup(
    patchbay: Patchbay, dial: Callable[..., Phone], provider: str
) -> None:
    phone = dial(patchbay, provider, None)
    phone.join(PATIENCE)
    assert phone.report.ended is Ending.REJECTED
    assert patchbay.calls()[0]["status"] == "rejected"


def test_without_reattach_a_lost_socket_ends_the_call(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, REATTACH="off") as patchbay:
        phone = Phone(Scenario(webhook_url=patchbay.webhook("twilio", "room-1"), loop=True)).start()
        phone.wait_for("first-audio")
        phone.drop()
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.SERVER_HUNG_UP
        patchbay.eventually(lambda: patchbay.calls()[0]["endReason"] == "connection-lost")


def test_a_draining_process_is_not_ready_and_takes_no_new_calls(mortal: Patchbay) -> None:
    host, _, port = mortal.url.removeprefix("http://").partition(":")
    with closing(HTTPConnection(host, int(port), timeout=PATIENCE)) as kept_alive:
        assert asked(kept_alive, "/readyz")[0] == 200
        mortal.server.send(signal.SIGTERM)
        answers: list[tuple[int, dict]] = []
        mortal.eventually(
            lambda: answers.append(asked(kept_alive, "/readyz")) or answers[-1][0] == 503
        )
        assert answers[-1][1]["checks"]["draining"] == "the process is ending"


def asked(connection: HTTPConnection, path: str) -> tuple[int, dict]:
    connection.request("GET", path)
    with connection.getresponse() as answer:
        return answer.status, json.load(answer)


def test_a_graceful_stop_returns_the_calls_to_their_providers(
    mortal: Patchbay, room: str, dial: Callable[..., Phone]
) -> None:
    phone = dial(mortal, "twilio", room)
    with Agent(mortal.invite(room)["wsUrl"]) as agent:
        agent.wait_for("participant-joined")
        assert mortal.server.stop() == 0
        phone.wait_for("closed")
        agent.leave()
        assert agent.close_code == 1012
