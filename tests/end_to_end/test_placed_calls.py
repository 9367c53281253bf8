"""Calls placed through each provider's REST API, answered and streamed into a room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.report import Ending
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.provider_apis import CREDENTIALS, ProviderApi, provider_api
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

PROVIDERS = ("twilio", "plivo", "telnyx")


@pytest.fixture(scope="module")
def api() -> Iterator[ProviderApi]:
    with provider_api() as api:
        yield api


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory, api: ProviderApi) -> Iterator[Patchbay]:
    urls = {f"{name.upper()}_API_URL": api.url for name in PROVIDERS}
    with running_patchbay(tmp_path_factory.mktemp("data"), **urls) as patchbay:
        yield patchbay


def connector(patchbay: Patchbay, provider: str) -> str:
    body = {"provider": provider, "credentials": CREDENTIALS[provider]}
    status, answer = patchbay.ask("POST", "/v2/connectors", body)
    assert status == 201
    return str(answer["data"]["id"])


def order(patchbay: Patchbay, provider: str, room: str, **more: object) -> dict:
    return {
        "connectorId": connector(patchbay, provider),
        "sipCallFrom": "+14155550199",
        "sipCallTo": "+442071838750",
        "destinationRoomId": room,
        **more,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_callee_is_in_the_room_with_the_others(
    patchbay: Patchbay, api: ProviderApi, provider: str
) -> None:
    api.plan = {}
    room = f"outbound-{provider}"
    with Agent(patchbay.invite(room)["wsUrl"], sound.tone(1300, 1.0)) as agent:
        participant = {"id": "callee", "name": "Ann", "metadata": {"plan": "gold"}}
        body = order(
            patchbay,
            provider,
            room,
            participant=participant,
            metadata={"order": 7},
            recordAudio=True,
        )
        status, answer = patchbay.ask("POST", "/v2/sip/call", body)
        assert status == 200
        assert answer["warnings"] == ["recordAudio was accepted but is not acted on."]
        joined = agent.wait_for("participant-joined")["participant"]
        assert (joined["id"], joined["name"]) == ("callee", "Ann")
        assert joined["metadata"] == {"plan": "gold", "sipUser": True, "callType": "outbound"}
        phone = api.phones[-1]
        patchbay.eventually(lambda: level(phone.heard[-RATE * 3 // 10 :], 1300) > -20)
        patchbay.eventually(lambda: level(agent.heard[-RATE * 3 // 10 :], 440) > -20)
        call = patchbay.call(answer["data"]["callId"])
        assert (call["type"], call["status"]) == ("outbound", "answered")
        assert (call["from"], call["to"]) == ("+14155550199", "+442071838750")
        assert call["metadata"] == {"order": 7}
        assert call["timelog"][0]["status"] == "initiated"
        status, _ = patchbay.ask("POST", "/v2/sip/call/end", {"callId": call["callId"]})
        assert status == 200
        phone.join(PATIENCE)
    assert phone.report.ended is Ending.SERVER_HUNG_UP
    assert phone.report.problems == ()
    patchbay.eventually(lambda: phone.call_id in api.hung_up)
    patchbay.eventually(lambda: patchbay.call(call["callId"])["timelog"][-1]["event"] == "provider")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_waiting_request_is_answered_when_the_callee_does_not_answer(
    patchbay: Patchbay, api: ProviderApi, provider: str
) -> None:
    api.plan = {"outcome": "busy"}
    body = order(patchbay, provider, f"busy-{provider}", waitUntilAnswered=True, ringingTimeout=30)
    status, answer = patchbay.ask("POST", "/v2/sip/call", body)
    assert status == 200
    assert (answer["data"]["status"], answer["data"]["endReason"]) == ("rejected", "callee-busy")


def test_a_waiting_request_is_answered_when_the_callee_answers(
    patchbay: Patchbay, api: ProviderApi
) -> None:
    api.plan = {}
    body = order(patchbay, "twilio", "waiting", waitUntilAnswered=True)
    status, answer = patchbay.ask("POST", "/v2/sip/call", body)
    assert (status, answer["data"]["status"]) == (200, "answered")
    api.phones[-1].hang_up()
    api.phones[-1].join(PATIENCE)
    patchbay.eventually(
        lambda: patchbay.call(answer["data"]["callId"])["endReason"] == "caller-hung-up"
    )


def test_the_callee_may_be_moved_and_transferred_like_a_caller(
    patchbay: Patchbay, api: ProviderApi
) -> None:
    api.plan = {"dialled": "completed"}
    _, answer = patchbay.ask(
        "POST", "/v2/sip/call", order(patchbay, "plivo", "first-room", waitUntilAnswered=True)
    )
    call_id = answer["data"]["callId"]
    move = {"callId": call_id, "roomId": "second-room"}
    assert patchbay.ask("POST", "/v2/sip/call/switch-room", move)[0] == 200
    handed_on = {"callId": call_id, "transferTo": "+14155550123"}
    assert patchbay.ask("POST", "/v2/sip/call/transfer", handed_on)[0] == 200
    phone = api.phones[-1]
    phone.join(PATIENCE)
    assert phone.report.ended is Ending.SERVER_HUNG_UP
    assert patchbay.call(call_id)["endReason"] == "transferred"
    assert patchbay.call(call_id)["roomId"] == "second-room"


def test_no_secret_and_no_key_is_in_the_log(patchbay: Patchbay) -> None:
    output = patchbay.server.output
    for secrets in CREDENTIALS.values():
        for name in ("authToken", "apiKey"):
            assert secrets.get(name, "whk_x") not in output
