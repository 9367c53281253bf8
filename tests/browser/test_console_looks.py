"""Layout and accessibility of every page on a wide and a narrow screen.

Screenshots are written to the folder in ``SCREENSHOTS`` if it is set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE
from tests.support.browsers import NARROW, WIDE, signed_in
from tests.support.patchbays import Patchbay, running_patchbay

ROOM = "demo-room-0001"

BETWEEN = (1200, 1024, 940, 900, 800, 640)
"""Further screen widths at which nothing may be cut off; no screenshot is taken."""

PAGES: dict[str, str] = {
    "live": "/console/",
    "calls": "/console/calls",
    "call": "/console/calls/{call}",
    "rooms": "/console/rooms",
    "room": "/console/rooms/{room}",
    "connectors": "/console/connectors",
    "connector": "/console/connectors/{connector}",
    "rules": "/console/rules",
    "webhooks": "/console/webhooks",
    "webhook": "/console/webhooks/{webhook}",
    "agents": "/console/agents",
    "health": "/console/health",
    "nowhere": "/console/nowhere",
}


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    """A server that has one of each thing only."""
    with running_patchbay(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def names(patchbay: Patchbay) -> dict[str, str]:
    """Create one item for each page, and return their ids."""
    with patchbay.calling(ROOM) as phone:
        phone.wait_for("first-audio")
        patchbay.eventually(lambda: phone.streamed > RATE)
    call = patchbay.calls()[0]
    hook = {"url": "https://example.com/hook", "events": ["call-started", "call-hangup"]}
    agent = {"name": "Echo", "url": "https://example.com/agent"}
    rule = {
        "name": "Main number",
        "type": "inbound",
        "phoneNumbers": ["+14155550123"],
        "room": {"type": "static", "id": ROOM, "pin": "4321"},
    }
    made = {
        path: patchbay.ask("POST", path, body)
        for path, body in (
            ("/v2/sip/webhooks", hook),
            ("/v2/agents", agent),
            ("/v2/sip/routing-rule", rule),
        )
    }
    assert {status for status, _ in made.values()} <= {200, 201}, made
    return {
        "call": call["callId"],
        "connector": call["connectorId"],
        "room": call["roomId"],
        "webhook": made["/v2/sip/webhooks"][1]["id"],
    }


@pytest.fixture(scope="module")
def keep() -> Callable[[Page, str], None]:
    """Return a function that saves a screenshot of a page under a name in ``SCREENSHOTS``."""
    folder = os.environ.get("SCREENSHOTS")

    def shoot(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return shoot


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"]
)
def test_every_page_is_fully_visible_and_accessible(
    browser: Browser,
    patchbay: Patchbay,
    names: dict[str, str],
    keep: Callable[[Page, str], None],
    size: tuple[int, int],
    scheme: str,
) -> None:
    faults: list[str] = []
    with (
        signed_in(browser, patchbay, size, scheme) as page,
        patchbay.calling(ROOM, sample=sound.melody()),
    ):
        for name, path in PAGES.items():
            page.goto(path.format(**names))
            expect(page.locator("main h1")).to_be_visible()
            page.wait_for_load_state("networkidle" if name not in ("live", "health") else "load")
            keep(page, f"{name}-{size[0]}")
            faults += [f"{name}: {fault}" for fault in _faults(page)]
            for width in BETWEEN if size == WIDE else ():
                page.set_viewport_size({"width": width, "height": 900})
                faults += [f"{name} at {width} px: {fault}" for fault in _cut_off(page)]
            page.set_viewport_size({"width": size[0], "height": size[1]})
    assert faults == []


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "dark"), (NARROW, "light")], ids=["wide", "narrow"]
)
def test_sign_in_page_is_fully_visible_and_accessible(
    browser: Browser,
    patchbay: Patchbay,
    keep: Callable[[Page, str], None],
    size: tuple[int, int],
    scheme: str,
) -> None:
    with signed_in(browser, patchbay, size, scheme) as page:
        page.context.clear_cookies()
        page.goto("/console/calls")
        expect(page.locator("main h1")).to_have_text("Sign in to Patchbay")
        keep(page, f"sign-in-{size[0]}")
        assert _faults(page) == []
        page.get_by_label("API key", exact=True).fill("key")
        page.get_by_label("API secret", exact=True).fill("wrong")
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="That is not")).to_be_visible()
        page.get_by_label("API secret", exact=True).fill("secret" * 8)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator("main h1")).to_have_text("Calls")


def _faults(page: Page) -> list[str]:
    """Return the violations that axe reports, and the elements that are cut off."""
    found = Axe().run(page).response["violations"]
    faults = [
        f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'])}"
        for each in found
    ]
    return faults + _cut_off(page)


def _cut_off(page: Page) -> list[str]:
    """Return the elements that are wider than the screen or their panel."""
    found: list[str] = page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll(".panel")]
          .filter((each) => each.scrollWidth > each.clientWidth)
          .map((each) => `${each.querySelector("h2, h1").innerText}: ${each.scrollWidth} px`)"""
    )
    return found
