"""The live page: calls, their meters and their actions."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from service.simulator.audio import sound
from tests.support.browsers import signed_in
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.ports import free_port

ROWS = ".calls-live tbody tr"
ROOM = "live-room-0001"
SAID = sound.tone(700, 1.0)
LOUD = re.compile(r"^-1[1-9]$")
"""Level of a tone of -12 dBFS, with gaps where the machine is busy."""


def row(page: Page, caller: str) -> Locator:
    return page.locator(ROWS).filter(has_text=caller)


def test_calls_appear_and_disappear_and_their_meters_move(
    patchbay: Patchbay, console_page: Page
) -> None:
    page = console_page
    page.goto("/console/")
    expect(page.locator(".empty")).to_contain_text("No call in progress")
    expect(state(page, "live")).to_be_visible()
    with patchbay.calling(ROOM, caller="+14155550111", sample=SAID):
        first = row(page, "+14155550111")
        expect(first.get_by_role("meter", name="What +14155550111 says")).to_have_attribute(
            "aria-valuenow", LOUD
        )
        expect(first).to_contain_text(re.compile(r"0 frames lost\d+\.\d ms jitter"))
        expect(first.get_by_role("link", name="live-room-0001")).to_be_visible()
        # There is only one node, which needs no name.
        expect(first.locator(".node")).to_have_count(0)
        # Focus in a row is kept when other calls arrive.
        first.get_by_role("button", name="Transfer").focus()
        with patchbay.calling(ROOM, caller="+14155550122", sample=SAID):
            second = row(page, "+14155550122")
            expect(second.get_by_role("meter", name="What +14155550122 hears")).to_have_attribute(
                "aria-valuenow", LOUD
            )
            expect(first.get_by_role("button", name="Transfer")).to_be_focused()
        expect(second).to_have_count(0)
        expect(first.get_by_role("button", name="Transfer")).to_be_focused()
    expect(page.locator(".empty")).to_be_visible()


def test_signing_out_of_one_tab_signs_out_of_all(patchbay: Patchbay, console_page: Page) -> None:
    console_page.goto("/console/")
    other = console_page.context.new_page()
    other.goto("/console/calls")
    expect(other.get_by_role("heading", name="Calls", exact=True)).to_be_visible()
    console_page.get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(f"{patchbay.url}/console/sign-in?next=%2Fconsole%2Fcalls")


def test_call_is_moved_and_ended(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    page.goto("/console/")
    with patchbay.calling(ROOM, caller="+14155550133", sample=SAID):
        call = row(page, "+14155550133")
        call.get_by_role("button", name="Move").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Room").fill("")
        dialog.get_by_role("button", name="Move").click()
        expect(dialog.locator(".fault")).to_be_visible()
        dialog.get_by_label("Room").fill("other-room-0002")
        dialog.get_by_role("button", name="Move").click()
        expect(dialog).to_have_count(0)
        expect(call.get_by_role("link", name="other-room-0002")).to_be_visible()
        call.get_by_role("button", name="End").click()
        page.get_by_role("dialog").get_by_role("button", name="End call").click()
        expect(call).to_have_count(0)
    assert patchbay.calls()[0]["endReason"] == "ended-by-api"


def test_call_is_transferred(patchbay: Patchbay, console_page: Page) -> None:
    page = console_page
    page.goto("/console/")
    with patchbay.calling(ROOM, caller="+14155550144", sample=SAID):
        row(page, "+14155550144").get_by_role("button", name="Transfer").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Number").fill("nobody")
        dialog.get_by_role("button", name="Transfer").click()
        expect(dialog.locator(".fault")).to_be_visible()
        dialog.get_by_label("Number").fill("+14155550155")
        dialog.get_by_role("button", name="Transfer").click()
        expect(dialog).to_have_count(0)
        patchbay.eventually(lambda: patchbay.calls()[0]["transfer"] is not None)


def test_page_reconnects_after_a_server_restart(browser: Browser, tmp_path: Path) -> None:
    port = str(free_port())
    with ExitStack() as stack:
        with running_patchbay(tmp_path, PORT=port) as patchbay:
            page = stack.enter_context(signed_in(browser, patchbay))
            page.goto("/console/")
            expect(state(page, "live")).to_be_visible()
        expect(state(page, "server unreachable, reconnecting …")).to_be_visible()
        with (
            running_patchbay(tmp_path, PORT=port) as patchbay,
            patchbay.calling(ROOM, caller="+14155550166", sample=SAID),
        ):
            expect(state(page, "live")).to_be_visible()
            expect(row(page, "+14155550166")).to_be_visible()


def state(page: Page, text: str) -> Locator:
    return page.locator(".title [role=status]").get_by_text(text, exact=True)
