"""Routing rules on a real server: PINs on every provider, hidden numbers, keys kept secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE

PIN = "4321"
PROVIDERS = {"twilio": "+14155550121", "plivo": "+14155550122", "telnyx": "+14155550123"}
CALLER = "+14155550142"


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    data: Path = tmp_path_factory.mktemp("data")
    with running_patchbay(data, LOG_LEVEL="debug") as patchbay:
        yield patchbay


@pytest.fixture(scope="module")
def webhooks(patchbay: Patchbay) -> dict[str, str]:
    """A webhook URL of each provider, whose number leads to a room with a PIN."""
    for name, number in PROVIDERS.items():
        add_rule(patchbay, number, room={"type": "static", "id": f"pin-{name}", "pin": PIN})
    return {name: patchbay.webhook(name, None) for name in PROVIDERS}


def add_rule(patchbay: Patchbay, number: str, **fields: Any) -> dict[str, Any]:
    body = {"name": f"Rule of {number}", "type": "inbound", "phoneNumbers": [number], **fields}
    status, rule = patchbay.ask("POST", "/v2/sip/routing-rule", body)
    assert status == 201
    return dict(rule)


def ring(webhook: str, number: str, **options: Any) -> Phone:
    plan = Scenario(webhook_url=webhook, caller=CALLER, callee=number, **options)
    return Phone(plan).start()


def call_of(patchbay: Patchbay, number: str) -> dict[str, Any]:
    """Return the newest call of a number."""
    return next(call for call in patchbay.calls() if call["to"] == number)


@pytest.mark.parametrize(("provider", "number"), PROVIDERS.items())
def test_a_caller_with_the_pin_enters_the_room(
    patchbay: Patchbay, webhooks: dict[str, str], provider: str, number: str
) -> None:
    phone = ring(webhooks[provider], number, pins=("1111", f"{PIN}#"), loop=True)
    phone.wait_for("first-audio")
    patchbay.eventually(lambda: call_of(patchbay, number)["status"] == "answered")
    # What has arrived and was not played yet does not count after the end.
    patchbay.eventually(lambda: phone.report.frames_heard > 10)
    phone.hang_up()
    phone.join(PATIENCE)
    report = phone.report
    assert (report.ended, report.problems) == (Ending.CALLER_HUNG_UP, ())
    assert (report.questions, report.redirects) == (2, 0)
    assert report.frames_heard > 0
    patchbay.eventually(lambda: call_of(patchbay, number)["status"] == "ended")
    call = call_of(patchbay, number)
    assert patchbay.calls(roomId=call["roomId"])[0]["id"] == call["id"]
    statuses = [rung["status"] for rung in call["timelog"]]
    assert statuses[:2] == ["incoming"] * 2
    assert list(dict.fromkeys(statuses)) == ["incoming", "verified", "answered", "ended"]


@pytest.mark.parametrize("pins", [("1111", "2222", "3333"), ()], ids=["wrong", "silent"])
@pytest.mark.parametrize(("provider", "number"), PROVIDERS.items())
def test_a_caller_without_the_pin_is_refused_after_three_tries(
    patchbay: Patchbay, webhooks: dict[str, str], provider: str, number: str, pins: tuple[str, ...]
) -> None:
    phone = ring(webhooks[provider], number, pins=pins)
    phone.join(PATIENCE)
    report = phone.report
    assert (report.ended, report.failure, report.problems) == (Ending.SERVER_HUNG_UP, None, ())
    assert report.questions == 3
    assert report.connected_ms is None
    assert report.said[-1] == "Sorry, you cannot be connected. Goodbye."
    call = call_of(patchbay, number)
    assert (call["status"], call["endReason"]) == ("rejected", "no-pin")
    assert call["roomId"] is None


def test_pressed_keys_are_in_neither_the_log_nor_the_ladder(patchbay: Patchbay) -> None:
    number, pressed = "+14155550130", "809172635481"
    add_rule(patchbay, number, room={"type": "static", "id": "r", "pin": "735460192837"})
    phone = ring(patchbay.webhook("twilio", None), number, pins=(pressed, pressed, "735460192837"))
    phone.wait_for("first-audio")
    phone.hang_up()
    phone.join(PATIENCE)
    for digits in (pressed, "735460192837"):
        assert digits not in patchbay.server.output
        assert digits not in json.dumps(call_of(patchbay, number))


def test_a_masked_number_is_hidden_from_an_agent_in_the_room(patchbay: Patchbay) -> None:
    number = "+14155550131"
    room = {"type": "static", "id": "hidden-room"}
    add_rule(patchbay, number, room=room, hidePhoneNumber=True, dtmf=True)
    webhook = patchbay.webhook("twilio", None)
    with Agent(patchbay.invite("hidden-room", participant={"id": "ann"})["wsUrl"]) as ann:
        ann.send(event="subscribe", topic="DTMF_EVENT")
        ann.wait_for("meeting-joined")
        phone = ring(webhook, number, digits="1")
        joined = ann.wait_for("participant-joined")["participant"]
        pressed = ann.wait_for("message")["data"]
        phone.hang_up()
        phone.join(PATIENCE)
        ann.wait_for("participant-left")
        assert joined["name"] == pressed["senderName"] == "***42"
        assert joined["metadata"]["sipUser"] is True
        assert CALLER[1:-2] not in json.dumps(ann.events)
    # The account sees the caller's number.
    assert call_of(patchbay, number)["from"] == CALLER


def test_a_rule_withholds_keys_from_the_room_by_default(patchbay: Patchbay) -> None:
    number = "+14155550132"
    add_rule(patchbay, number, room={"type": "static", "id": "quiet-room"})
    webhook = patchbay.webhook("plivo", None)
    with Agent(patchbay.invite("quiet-room", participant={"id": "ann"})["wsUrl"]) as ann:
        ann.send(event="subscribe", topic="DTMF_EVENT")
        ann.wait_for("meeting-joined")
        phone = ring(webhook, number, digits="12")
        phone.wait_for("digit", count=2)
        phone.hang_up()
        phone.join(PATIENCE)
        # An event about the keys would have come before this one.
        ann.wait_for("participant-left")
        assert [event["event"] for event in ann.events if event["event"] == "message"] == []


def test_callers_that_are_not_allowed_are_refused(patchbay: Patchbay) -> None:
    number = "+14155550133"
    add_rule(patchbay, number, room={"type": "static", "id": "r"}, allowedNumbers=["+91*"])
    for name in PROVIDERS:
        phone = ring(patchbay.webhook(name, "a-default-room"), number)
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.REJECTED
        assert call_of(patchbay, number)["endReason"] == "not-allowed"


def test_callers_of_one_number_meet_in_the_same_room(patchbay: Patchbay) -> None:
    number = "+14155550134"
    add_rule(patchbay, number, room={"type": "dynamic", "prefix": "sipNumber"})
    phones = [ring(patchbay.webhook(name, None), number) for name in ("twilio", "telnyx")]
    for phone in phones:
        phone.wait_for("first-audio")
        phone.hang_up()
        phone.join(PATIENCE)
    rooms = {call["roomId"] for call in patchbay.calls() if call["to"] == number}
    assert len(rooms) == 1
