"""Rooms and sessions on a real server: participants, their times, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE

PROVIDERS = ("twilio", "plivo", "telnyx")


@pytest.fixture
def lobby() -> str:
    """Return the id of an unused room."""
    return f"lobby-{token_hex(4)}"


@pytest.fixture
def dial(patchbay: Patchbay) -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def dial(provider: str, room: str) -> Phone:
        plan = Scenario(webhook_url=patchbay.webhook(provider, room), loop=True)
        phones.append(Phone(plan).start())
        phones[-1].wait_for("start")
        return phones[-1]

    yield dial
    for phone in phones:
        phone.hang_up()
        phone.join(PATIENCE)


def sessions(patchbay: Patchbay, room: str) -> list[dict[str, Any]]:
    status, answer = patchbay.ask("GET", f"/v2/sessions?roomId={room}")
    assert status == 200
    found: list[dict[str, Any]] = answer["data"]
    return found


def present(patchbay: Patchbay, room: str) -> int:
    return sum(
        visit["end"] is None
        for session in sessions(patchbay, room)
        for participant in session["participants"]
        for visit in participant["timelog"]
    )


def reasons(patchbay: Patchbay, room: str) -> set[str]:
    return {call["endReason"] for call in patchbay.calls(roomId=room)}


def hung_up(*phones: Phone) -> None:
    for phone in phones:
        phone.join(PATIENCE)
        assert phone.report.ended is Ending.SERVER_HUNG_UP


def test_deactivating_a_room_disconnects_all_its_participants(
    patchbay: Patchbay, dial: Callable[..., Phone]
) -> None:
    status, room = patchbay.ask("POST", "/v2/rooms", {"customRoomId": "front-desk"})
    assert status == 200
    room_id = room["roomId"]
    phones = [dial("twilio", "front-desk"), dial("telnyx", room_id)]
    with Agent(patchbay.invite("front-desk", participant={"id": "ann"})["wsUrl"]) as ann:
        assert ann.wait_for("meeting-joined")["roomId"] == room_id
        ann.wait_for("participant-joined", count=2)
        patchbay.eventually(lambda: present(patchbay, room_id) == 3)
        status, closed = patchbay.ask("POST", "/v2/rooms/deactivate", {"roomId": room_id})
        assert (status, closed["disabled"]) == (200, True)
        assert ann.wait_for("meeting-left")["message"] == "The meeting has been closed"
        hung_up(*phones)
        ann.leave()
        assert ann.close_code == 1000
    assert reasons(patchbay, room_id) == {"room-deactivated"}
    (session,) = sessions(patchbay, room_id)
    assert session["status"] == "ended"
    late = Phone(Scenario(webhook_url=patchbay.webhook("plivo", room_id))).start()
    late.join(PATIENCE)
    assert late.report.ended is Ending.REJECTED
    status, refused = patchbay.ask("POST", "/v2/ingest/sessions", {"roomId": room_id})
    assert (status, refused["message"]) == (403, "This room is deactivated: nobody can join it.")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_session_records_its_participants_and_ends_on_request(
    patchbay: Patchbay, lobby: str, dial: Callable[..., Phone], provider: str
) -> None:
    first = dial(provider, lobby)
    patchbay.eventually(lambda: present(patchbay, lobby) == 1)
    second = dial(provider, lobby)
    patchbay.eventually(lambda: present(patchbay, lobby) == 2)
    first.hang_up()
    first.join(PATIENCE)
    patchbay.eventually(lambda: present(patchbay, lobby) == 1)
    (session,) = sessions(patchbay, lobby)
    assert (session["status"], session["end"]) == ("ongoing", None)
    came, stayed = session["participants"]
    assert came["timelog"][0]["end"] > came["timelog"][0]["start"]
    assert stayed["timelog"][0]["end"] is None

    with Agent(patchbay.invite(lobby)["wsUrl"]) as agent:
        assert agent.wait_for("meeting-joined")["sessionId"] == session["id"]
        patchbay.eventually(lambda: present(patchbay, lobby) == 2)
        status, stats = patchbay.ask("GET", f"/v2/sessions/{session['id']}/stats")
        assert status == 200
        came, stayed, _ = stats["stats"]
        assert stayed["audio"]["framesOut"] > 0
        assert (came["callId"] != stayed["callId"], came["time"] < stayed["time"]) == (True, True)
        status, ended = patchbay.ask("POST", "/v2/sessions/end", {"roomId": lobby})
        assert (status, ended["status"], ended["id"]) == (200, "ended", session["id"])
        assert agent.wait_for("meeting-left")["message"] == "Meeting Ended."
        hung_up(second)
    assert {call["endReason"] for call in patchbay.calls(roomId=lobby)} == {
        "caller-hung-up",
        "session-ended",
    }
    third = dial(provider, lobby)
    patchbay.eventually(lambda: len(sessions(patchbay, lobby)) == 2)
    third.hang_up()
    third.join(PATIENCE)
    patchbay.eventually(lambda: present(patchbay, lobby) == 0)
    assert all(each["status"] == "ended" for each in sessions(patchbay, lobby))


def test_a_call_that_is_over_is_deleted_with_its_session(
    patchbay: Patchbay, lobby: str, dial: Callable[..., Phone]
) -> None:
    phone = dial("plivo", lobby)
    patchbay.eventually(lambda: present(patchbay, lobby) == 1)
    (call,) = patchbay.calls(roomId=lobby)
    path = f"/v2/sip/call/{call['callId']}"
    assert patchbay.ask("DELETE", path)[0] == 409
    phone.hang_up()
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.ask("DELETE", path)[0] == 200)
    assert patchbay.ask("GET", path)[0] == 404
    assert (patchbay.calls(roomId=lobby), sessions(patchbay, lobby)) == ([], [])


def test_removing_a_participant_leaves_the_others_in_their_session(
    patchbay: Patchbay, lobby: str, dial: Callable[..., Phone]
) -> None:
    phone = dial("twilio", lobby)
    with (
        Agent(patchbay.invite(lobby, participant={"id": "ann"})["wsUrl"]) as ann,
        Agent(patchbay.invite(lobby, participant={"id": "bob"})["wsUrl"]) as bob,
    ):
        bob.wait_for("participant-joined", count=2)
        patchbay.eventually(lambda: present(patchbay, lobby) == 3)
        (call,) = patchbay.calls(roomId=lobby)
        for name in ("ann", call["participantId"]):
            body = {"participantId": name, "roomId": lobby}
            status, answer = patchbay.ask("POST", "/v2/sessions/participants/remove", body)
            assert (status, answer) == (200, "Participant removed from the session.")
        left = ann.wait_for("meeting-left")
        assert left["message"] == "Participant removed from the meeting"
        hung_up(phone)
        bob.wait_for("participant-left", count=2)
        (session,) = sessions(patchbay, lobby)
        assert (session["status"], present(patchbay, lobby)) == ("ongoing", 1)
    assert reasons(patchbay, lobby) == {"participant-removed"}
    patchbay.eventually(lambda: sessions(patchbay, lobby)[0]["status"] == "ended")


def test_a_returning_call_shares_a_session_with_later_participants(
    patchbay: Patchbay, lobby: str, dial: Callable[..., Phone]
) -> None:
    phone = dial("twilio", lobby)
    phone.wait_for("first-audio")
    patchbay.eventually(lambda: present(patchbay, lobby) == 1)
    before = sessions(patchbay, lobby)
    (call,) = patchbay.calls(roomId=lobby)
    phone.drop()
    # Before the return is stored, a new participant finds an empty room and starts a session.
    patchbay.eventually(
        lambda: (
            "socket-lost" in [rung["event"] for rung in patchbay.call(call["callId"])["timelog"]]
        )
    )
    with Agent(patchbay.invite(lobby)["wsUrl"]) as agent:
        agent.wait_for("participant-joined")
        phone.wait_for("start", count=2)
        patchbay.eventually(lambda: present(patchbay, lobby) == 2)
        (after,) = sessions(patchbay, lobby)
        assert after["id"] == before[0]["id"]
        assert after["participants"][0] == before[0]["participants"][0]


def test_a_lone_caller_is_hung_up_if_the_room_says_so(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, ALONE_SECONDS="1") as patchbay:
        phone = Phone(Scenario(webhook_url=patchbay.webhook("twilio", "lobby"), loop=True)).start()
        hung_up(phone)
        assert reasons(patchbay, "lobby") == {"alone"}
