"""The test call dialog in a real Chromium, whose fake microphone beeps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from service.simulator.audio import sound
from tests.support.agents import Agent
from tests.support.browsers import signed_in
from tests.support.patchbays import Patchbay, running_patchbay


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    with running_patchbay(tmp_path_factory.mktemp("data"), TEST_CALLS="1") as running:
        yield running


def test_recorded_voice_is_heard_in_the_room(patchbay: Patchbay, console_page: Page) -> None:
    patchbay.webhook("twilio", "recorded")
    with Agent(patchbay.invite("recorded")["wsUrl"]) as agent:
        console_page.goto("/console/connectors")
        console_page.get_by_role("button", name="Place a test call").click()
        dialog = console_page.get_by_role("dialog")
        dialog.get_by_label("My voice").check()
        dialog.get_by_role("button", name="Record").click()
        expect(dialog.get_by_text(re.compile(r"^[1-9]\d* of 30 s$"))).to_be_visible()
        level = dialog.get_by_role("meter", name="Input level")
        patchbay.eventually(lambda: int(level.get_attribute("aria-valuenow") or "-60") > -50)
        dialog.get_by_role("button", name="Stop").click()
        expect(dialog.get_by_text("s recorded")).to_be_visible()

        dialog.get_by_label("Seconds").fill("0")
        dialog.get_by_role("button", name="Place the call").click()
        expect(dialog.get_by_text("seconds must be a whole number from 1 to 300.")).to_be_visible()
        dialog.get_by_label("Seconds").fill("300")
        dialog.get_by_role("button", name="Place the call").click()
        expect(dialog.get_by_text("In the room", exact=True)).to_be_visible()
        patchbay.eventually(lambda: (sound.level(agent.heard) or -99.0) > -50)

        dialog.get_by_role("button", name="Hang up").click()
        expect(dialog.get_by_text("The caller hung up.")).to_be_visible()
        dialog.get_by_role("button", name="Place another call").click()
        dialog.get_by_role("button", name="Place the call").click()
        dialog.get_by_role("link", name="Hear it in the room").click()
        expect(dialog).to_have_count(0)
        assert "/console/rooms/" in console_page.url


def test_dialog_explains_how_to_turn_on_test_calls(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        running_patchbay(tmp_path_factory.mktemp("data")) as patchbay,
        signed_in(browser, patchbay) as page,
    ):
        patchbay.webhook("plivo", "off")
        page.goto("/console/connectors")
        page.get_by_role("button", name="Place a test call").click()
        expect(page.get_by_role("dialog")).to_contain_text("Start it with TEST_CALLS=3")
