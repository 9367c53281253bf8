"""The console from the sign-in link to the ladder of an ended call, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsers import WIDE
from tests.support.patchbays import Patchbay, running_patchbay

TONE = -20
"""Minimum level of the caller's tone, in dBFS."""

BEEP = -35
"""Minimum level of the beep of Chromium's fake microphone, in dBFS: 20 ms, twice a second."""

BEEPS = -50
"""Minimum level of a whole second that is silent except for its beeps."""


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    data = tmp_path_factory.mktemp("data")
    with running_patchbay(data, "--env", "FIRST_STEPS=1", TEST_CALLS="1") as running:
        yield running


def level(page: Page, name: str) -> float:
    """Return the level that a meter shows, in dBFS."""
    return float(page.get_by_role("meter", name=name).get_attribute("aria-valuenow") or "-60")


def loudest(patchbay: Patchbay, call_id: str, direction: str) -> float:
    """Return the loudest second that the server mixed in a direction, in dBFS."""
    status, answer = patchbay.ask("GET", f"/console/api/calls/{call_id}/loudness")
    assert status == 200
    levels = [level for record in answer["data"] for level in record[direction]]
    return max((level for level in levels if level is not None), default=-99.0)


@pytest.mark.parametrize("provider", ["Twilio", "Plivo", "Telnyx"])
def test_first_link_leads_to_an_ended_call(
    browser: Browser, patchbay: Patchbay, provider: str
) -> None:
    context = browser.new_context(
        base_url=patchbay.url,
        viewport={"width": WIDE[0], "height": WIDE[1]},
        permissions=["microphone"],
        reduced_motion="reduce",
    )
    page = context.new_page()
    if provider == "Twilio":
        patchbay.server.wait_for("export TOKEN=")
        link = next(word for word in patchbay.server.output.split() if "/console/sign-in#" in word)
        page.goto(link)
    else:
        page.goto("/console/")
        page.get_by_label("Token", exact=True).fill(patchbay.token)
        page.get_by_role("button", name="Sign in with the token").click()
    expect(page.locator("main h1")).to_have_text("Live")
    assert "#" not in page.url

    page.get_by_role("link", name="Connectors", exact=True).click()
    page.get_by_role("button", name="New connector").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(provider).check()
    dialog.get_by_label("Name", exact=True).fill(f"{provider} line")
    dialog.get_by_label("Room", exact=True).fill(f"whole-{provider.lower()}")
    dialog.get_by_role("button", name="Create connector").click()
    expect(page.locator("main h1")).to_have_text(f"{provider} line")
    expect(page.locator(".first-call")).to_have_text("No call has reached this URL yet.")

    page.get_by_role("button", name="Place a test call").click()
    dialog.get_by_label("Tone").check()
    dialog.get_by_label("Seconds").fill("300")
    dialog.get_by_role("button", name="Place the call").click()
    expect(dialog.get_by_text("In the room", exact=True)).to_be_visible()
    dialog.get_by_role("link", name="Hear it in the room").click()

    page.get_by_role("button", name="Join", exact=True).click()
    expect(page.get_by_text("You are in the room.")).to_be_visible()
    patchbay.eventually(lambda: len(patchbay.calls(status="answered")) == 1)
    call_id = patchbay.calls(status="answered")[0]["callId"]
    patchbay.eventually(lambda: level(page, "Microphone") > BEEP)
    patchbay.eventually(lambda: level(page, "Room") > TONE)
    patchbay.eventually(lambda: loudest(patchbay, call_id, "said") > TONE)
    patchbay.eventually(lambda: loudest(patchbay, call_id, "heard") > BEEPS)
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You have left the room.")).to_be_visible()

    page.get_by_role("link", name="Live", exact=True).click()
    page.locator(f'a[href="/console/calls/{call_id}"]').first.click()
    page.get_by_role("button", name="End call").click()
    page.get_by_role("dialog").get_by_role("button", name="End call").click()
    patchbay.eventually(lambda: patchbay.call(call_id)["status"] == "ended")
    # The socket closes after the end, and the loudness of its leg is stored then.
    patchbay.eventually(lambda: loudest(patchbay, call_id, "heard") > BEEPS)
    page.get_by_role("button", name="Refresh").click()
    for step in (
        "asked what to do",
        "opened the media socket",
        "First audio from",
        "First audio to",
    ):
        expect(page.locator(".ladder")).to_contain_text(step)
    expect(page.locator(".ladder")).to_contain_text(
        "It was ended in the console or through the API."
    )
    expect(page.get_by_role("img", name="Heard by the caller")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("main h1")).to_have_text("Sign in to Patchbay")
    page.goto(f"/console/calls/{call_id}")
    expect(page.locator("main h1")).to_have_text("Sign in to Patchbay")
    context.close()
