"""A real Chromium with a fake microphone, signed in to the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.installed import installed
from tests.support.patchbays import Patchbay
from tests.support.servers import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NEEDLESS = (
    # Chromium opens two pages of its own in each window for suggestions in the address bar, and
    # keeps a process for the next site. Both cost more than the pages of a test.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "SpareRendererForSitePerProcess",
    # From Playwright's list, which this one replaces: Chromium reads the last one only.
    "AimEnabled",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
"""Features of Chromium that no test needs."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=" + ",".join(NEEDLESS),
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

WIDE = (1280, 900)
NARROW = (360, 740)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium. Without one the test is skipped, or fails if
    ``REQUIRE_CHROMIUM`` is set.
    """
    path = installed(*NAMES, required_by="REQUIRE_CHROMIUM")
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def signed_in(
    browser: Browser, patchbay: Patchbay, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[Page]:
    """Open the console, signed in with a token. Errors of its scripts fail the test."""
    context = browser.new_context(
        base_url=patchbay.url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        # A meter that glides is drawn sixty times a second, without a graphics card.
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE * 1000)
    answer = context.request.post("/console/api/session", data={"token": patchbay.token})
    assert answer.ok
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _note(message, complaints))
    yield page
    assert complaints == [], complaints
    context.close()


def _note(message: ConsoleMessage, complaints: list[str]) -> None:
    # The browser also logs refused requests, which the page shows itself.
    told = ("Failed to load resource", "WebSocket connection to")
    if message.type == "error" and not any(words in message.text for words in told):
        complaints.append(message.text)
