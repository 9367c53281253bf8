"""The list of calls, and the page of a completed and of a rejected call."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from service.storage.database import Database
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE


def place_call(patchbay: Patchbay, provider: str, room: str | None) -> str:
    """Make a short call, and return its id."""
    url = patchbay.webhook(provider, room)
    phone = Phone(Scenario(webhook_url=url, sample=sound.melody(), loop=True)).start()
    if room is not None:
        phone.wait_for("first-audio")
        patchbay.eventually(lambda: patchbay.calls()[0]["status"] == "answered")
        phone.hang_up()
    phone.join(PATIENCE)
    patchbay.eventually(lambda: patchbay.calls()[0]["status"] in ("ended", "rejected"))
    return str(patchbay.calls()[0]["callId"])


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_call_page_shows_ladder_and_markup(
    patchbay: Patchbay, console_page: Page, provider: str
) -> None:
    call_id = place_call(patchbay, provider, "shown-room-0001")
    console_page.goto(f"/console/calls/{call_id}")
    ladder = console_page.locator(".ladder")
    expect(ladder).to_contain_text("The provider asked what to do")
    expect(ladder).to_contain_text("First audio from the caller")
    expect(ladder).to_contain_text("The caller hung up.")
    panel = console_page.locator("section", has=console_page.get_by_role("heading", name="Markup"))
    # The provider asked once. Every further answer would add a time.
    expect(panel.locator("time")).to_have_count(1)
    markup = panel.locator("pre").inner_text()
    assert "clk_•••" in markup
    assert "<Response>" in markup
    stored = patchbay.call(call_id)["connectorId"]
    status, connector = patchbay.ask("GET", f"/v2/connectors/{stored}")
    assert status == 200
    assert connector["data"]["webhookUrl"].rpartition("/")[2] not in console_page.content()


def test_page_of_a_rejected_call_shows_the_reason(patchbay: Patchbay, console_page: Page) -> None:
    call_id = place_call(patchbay, "twilio", None)
    console_page.goto("/console/calls")
    console_page.locator(f'a[href="/console/calls/{call_id}"]').click()
    expect(console_page.locator(".ladder")).to_contain_text(
        "No routing rule or connector names a room for it."
    )
    expect(console_page.locator("pre")).to_contain_text("<Reject")


def test_calls_are_filtered_by_status(patchbay: Patchbay, console_page: Page) -> None:
    place_call(patchbay, "twilio", None)
    console_page.goto("/console/calls")
    console_page.get_by_label("Status").select_option("rejected")
    expect(console_page.locator("tbody .pill").first).to_have_text("rejected")
    expect(console_page).to_have_url(f"{patchbay.url}/console/calls?status=rejected")
    console_page.get_by_label("Search calls").fill("+4400")
    expect(console_page.locator("main")).to_contain_text("No call contains “+4400”.")
    console_page.get_by_role("button", name="Show all").click()
    expect(console_page.locator("tbody tr")).not_to_have_count(0)
    expect(console_page.get_by_label("Status")).to_have_value("")


def test_call_details_require_a_session(sqlite_database: Database, clock: FakeClock) -> None:
    client = build(sqlite_database, clock).test_client()
    assert client.get("/console/api/calls/abc").status_code == 401
