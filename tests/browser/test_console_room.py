"""The room page: participants, joining from the browser, audio, messages and sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from tests.support.agents import Agent
from tests.support.browsers import signed_in
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.ports import free_port

SILENCE = -60.0


def heard_level(phone: Phone, seconds: float) -> float:
    """Return the level of the last seconds that the caller heard, in dBFS."""
    found = sound.level(phone.heard[-round(seconds * RATE) :])
    return SILENCE if found is None else found


def shown_level(page: Page, meter: str) -> int:
    return int(page.get_by_role("meter", name=meter).get_attribute("aria-valuenow") or "0")


def open_room(page: Page, room: str) -> None:
    page.goto(f"/console/rooms/{room}")
    expect(page.get_by_role("heading", name="Join from this browser")).to_be_visible()


def join(page: Page, verb: str = "Join") -> None:
    page.get_by_role("button", name=verb, exact=True).click()
    expect(page.get_by_text("You are in the room.")).to_be_visible()


def test_caller_and_browser_hear_each_other(patchbay: Patchbay, console_page: Page) -> None:
    page, room = console_page, "both-of-them"
    open_room(page, room)
    join(page)
    with patchbay.calling(room, sample=sound.tone(500, 1.0, -12.0)) as phone:
        # Chromium's fake microphone beeps twice a second.
        patchbay.eventually(lambda: heard_level(phone, 2.0) > -35)
        patchbay.eventually(lambda: abs(shown_level(page, "Room") + 12) <= 2)
        patchbay.eventually(lambda: shown_level(page, "Microphone") > -35)
        said = f"What {phone.scenario.caller} says"
        patchbay.eventually(lambda: abs(shown_level(page, said) + 12) <= 2)

        page.get_by_role("button", name="Mute").click()
        expect(page.get_by_role("button", name="Mute")).to_have_attribute("aria-pressed", "true")
        patchbay.eventually(lambda: heard_level(phone, 2.0) <= SILENCE)
        patchbay.eventually(lambda: shown_level(page, "Microphone") == SILENCE)
        patchbay.eventually(lambda: abs(shown_level(page, "Room") + 12) <= 2)
        page.get_by_role("button", name="Mute").click()
        patchbay.eventually(lambda: heard_level(phone, 2.0) > -35)

    present = page.get_by_role("table", name="Participants in the room now")
    expect(present.get_by_role("row")).to_have_count(2)
    expect(present).to_contain_text("this browser")
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You have left the room.")).to_be_visible()
    expect(page.get_by_text("Nobody is in this room")).to_be_visible()
    session = patchbay.ask("GET", f"/v2/sessions?roomId={room}")[1]["data"][0]
    assert session["status"] == "ended"
    expect(page.get_by_role("table", name="Earlier sessions")).to_contain_text("Console")


def test_leaving_the_page_leaves_the_room(patchbay: Patchbay, console_page: Page) -> None:
    open_room(console_page, "left-behind")
    join(console_page, "Only listen")
    # One meter for the room's mix, and one for each participant.
    expect(console_page.get_by_role("meter")).to_have_count(2)
    console_page.get_by_role("link", name="Connectors").click()
    patchbay.eventually(lambda: ongoing(patchbay, "left-behind") == 0)


def test_browser_that_cannot_play_audio_shows_an_error(
    patchbay: Patchbay, console_page: Page
) -> None:
    console_page.add_init_script("AudioContext.prototype.resume = () => new Promise(() => {})")
    open_room(console_page, "deaf")
    console_page.get_by_role("button", name="Join", exact=True).click()
    expect(console_page.get_by_role("alert")).to_contain_text("connect a loudspeaker")
    expect(console_page.get_by_role("button", name="Join", exact=True)).to_be_enabled()
    assert ongoing(patchbay, "deaf") == 0


def test_move_to_another_room_is_shown(patchbay: Patchbay, console_page: Page) -> None:
    open_room(console_page, "from-here")
    join(console_page, "Only listen")
    move(patchbay, "from-here", "to-there")
    expect(console_page.get_by_text("You were moved to to-there.")).to_be_visible()


def move(patchbay: Patchbay, room: str, there: str) -> None:
    """Move the only participant of a room."""
    patchbay.eventually(lambda: ongoing(patchbay, room) == 1)
    session = patchbay.ask("GET", f"/v2/sessions?roomId={room}")[1]["data"][0]
    (reading,) = patchbay.ask("GET", f"/v2/sessions/{session['id']}/stats")[1]["stats"]
    order = {"callId": reading["callId"], "roomId": there}
    assert patchbay.ask("POST", "/v2/sip/call/switch-room", order)[0] == 200


def ongoing(patchbay: Patchbay, room: str) -> int:
    found: int = patchbay.ask("GET", f"/v2/sessions?roomId={room}&status=ongoing")[1]["pageInfo"][
        "total"
    ]
    return found


def test_messages_and_keys_appear_as_they_arrive(patchbay: Patchbay, console_page: Page) -> None:
    page, room = console_page, "talkative"
    with Agent(patchbay.invite(room, participant={"id": "ann", "name": "Ann"})["wsUrl"]) as agent:
        agent.send(event="subscribe", topic="CHAT")
        open_room(page, room)
        join(page, "Only listen")
        page.get_by_label("Text").fill("Is anybody there?")
        page.get_by_role("button", name="Send").click()
        messages = page.get_by_role("list", name="Messages")
        expect(messages).to_contain_text("Is anybody there?")
        expect(page.get_by_label("Text")).to_have_value("")
        patchbay.eventually(lambda: "Is anybody there?" in str(agent.events))

        agent.send(event="message", topic="CHAT", data="<b>I am</b>")
        expect(messages).to_contain_text("Ann")
        expect(messages).to_contain_text("<b>I am</b>")
        page.get_by_text("Topics", exact=True).click()
        page.get_by_label("Another topic").fill("WEATHER")
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_label("Topic", exact=True)).to_have_value("WEATHER")
        page.get_by_label("Text").fill("Rain")
        page.get_by_role("button", name="Send").click()
        expect(messages.get_by_role("listitem").filter(has_text="Rain")).to_contain_text("WEATHER")

        with patchbay.calling(room, digits="10#") as phone:
            keys = page.get_by_role("list", name="Keys").get_by_role("listitem")
            expect(keys.filter(has_text=phone.scenario.caller).locator("kbd")).to_have_text(
                ["1", "0", "#"]
            )
            assert Axe().run(page).response["violations"] == []


def test_participant_keeps_its_id_across_a_server_restart(browser: Browser, tmp_path: Path) -> None:
    port = str(free_port())
    with running_patchbay(tmp_path, PORT=port) as before, signed_in(browser, before) as page:
        open_room(page, "first")
        join(page)
        move(before, "first", "lasting")
        expect(page.get_by_text("You were moved to lasting.")).to_be_visible()
        before.server.stop()
        expect(page.get_by_text(re.compile("Rejoining in"))).to_be_visible()
        with running_patchbay(tmp_path, PORT=port) as after:
            expect(page.get_by_text("You are in the room.")).to_be_visible()
            with after.calling("lasting") as phone:
                after.eventually(lambda: heard_level(phone, 2.0) > -35)
            page.get_by_role("button", name="Leave").click()
            after.eventually(lambda: ongoing(after, "lasting") == 0)
            sessions = after.ask("GET", "/v2/sessions?roomId=lasting")[1]["data"]
    ids = {
        who["participantId"]
        for session in sessions
        for who in session["participants"]
        if who["name"] == "Console"
    }
    assert len(ids) == 1


def test_page_joins_at_the_address_of_the_rooms_machine(
    browser: Browser, tmp_path: Path, postgres: Callable[[], str]
) -> None:
    port = free_port()
    settings = {
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "NODE_URL": f"http://localhost:{port}",
        "DATABASE_URL": postgres(),
    }
    with (
        running_patchbay(tmp_path, **settings) as machine,
        signed_in(browser, machine) as page,
        page.expect_websocket(lambda socket: "/videosdk" in socket.url) as opened,
    ):
        open_room(page, "elsewhere")
        join(page)
        assert opened.value.url.startswith(f"ws://localhost:{port}/videosdk?ref=")
        page.get_by_role("button", name="Leave").click()
        expect(page.get_by_text("You have left the room.")).to_be_visible()


def test_removed_participant_sees_a_notice_and_does_not_rejoin(
    patchbay: Patchbay, console_page: Page
) -> None:
    page, room = console_page, "strict"
    open_room(page, room)
    join(page)
    page.get_by_role("button", name="Remove Console").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The call or connection ends.")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("You are no longer in the room: Participant removed")).to_be_visible()
    expect(page.get_by_role("button", name="Join", exact=True)).to_be_visible()
    expect(page.get_by_text("Nobody is in this room")).to_be_visible()


def test_room_is_deactivated_after_a_warning(patchbay: Patchbay, console_page: Page) -> None:
    page, room = console_page, "closing"
    patchbay.ask("POST", "/v2/rooms", {"customRoomId": room})
    open_room(page, room)
    page.get_by_role("button", name="Deactivate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("nobody can join it")
    dialog.get_by_role("button", name="Deactivate room").click()
    expect(page.get_by_text("Nobody can join this room")).to_be_visible()
    assert patchbay.ask("GET", f"/v2/rooms/{room}")[1]["disabled"] is True
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("button", name="Join", exact=True)).to_be_visible()


def test_reason_for_a_refused_ticket_is_shown(patchbay: Patchbay, console_page: Page) -> None:
    page, room = console_page, "just-closed"
    patchbay.ask("POST", "/v2/rooms", {"customRoomId": room})
    open_room(page, room)
    patchbay.ask("POST", f"/v2/rooms/{room}", {"status": "disabled"})
    page.get_by_role("button", name="Only listen").click()
    expect(page.get_by_text("This room is deactivated: nobody can join it.")).to_be_visible()


def test_restricted_room_is_joined_as_an_allowed_participant(
    patchbay: Patchbay, console_page: Page
) -> None:
    room = {"customRoomId": "restricted", "allowedParticipantIds": ["host", "guest"]}
    patchbay.ask("POST", "/v2/rooms", room)
    open_room(console_page, "restricted")
    console_page.get_by_label("Join as").select_option("guest")
    join(console_page, "Only listen")
    patchbay.eventually(lambda: ongoing(patchbay, "restricted") == 1)
    session = patchbay.ask("GET", "/v2/sessions?customRoomId=restricted")[1]["data"][0]
    assert [who["participantId"] for who in session["participants"]] == ["guest"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "The browser does not let this page use the microphone."),
        ("NotFoundError", "There is no microphone."),
        ("NotReadableError", "Another program may be using it"),
    ],
)
def test_missing_microphone_is_explained(console_page: Page, name: str, sentence: str) -> None:
    console_page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => "
        f"Promise.reject(new DOMException('no', '{name}'))"
    )
    open_room(console_page, "speechless")
    console_page.get_by_role("button", name="Join", exact=True).click()
    expect(console_page.get_by_role("alert").filter(has_text=sentence)).to_be_visible()
    join(console_page, "Only listen")


def test_rooms_are_listed_found_and_created(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    for number in range(25):
        patchbay.ask("POST", "/v2/rooms", {"customRoomId": f"many-{number:02}"})
    page.goto("/console/rooms")
    table = page.get_by_role("table", name="Rooms")
    expect(table).to_contain_text("many-24")
    page.get_by_role("button", name="Older").click()
    expect(table).to_contain_text("many-00")
    page.get_by_role("searchbox").fill("many-13")
    page.get_by_role("button", name="Find").click()
    expect(table.get_by_role("row")).to_have_count(2)
    page.reload()
    expect(table.get_by_role("row")).to_have_count(2)
    page.get_by_role("searchbox").fill("nowhere")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("No such room")).to_be_visible()

    page.get_by_role("button", name="New room").click()
    page.get_by_role("textbox", name="Custom ID", exact=True).fill("two words")
    page.get_by_role("button", name="Create room").click()
    expect(page.get_by_text("without white space")).to_be_visible()
    page.get_by_role("textbox", name="Custom ID", exact=True).fill("one-word")
    page.get_by_role("button", name="Create room").click()
    expect(page.get_by_role("heading", name="one-word")).to_be_visible()
    assert patchbay.ask("GET", "/v2/rooms/one-word")[0] == 200
