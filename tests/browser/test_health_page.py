"""The page of the server's health, of a server that has had no calls yet."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.browsers import signed_in
from tests.support.patchbays import running_patchbay


def test_page_shows_the_state_of_the_server(browser: Browser, tmp_path: Path) -> None:
    with running_patchbay(tmp_path) as patchbay, signed_in(browser, patchbay) as page:
        patchbay.webhook("twilio", "some-room-0001")
        page.goto("/console/health")
        main = page.locator("main")
        expect(main).to_contain_text("of 200 at most")
        expect(main).to_contain_text("to count the calls in SQLite")
        expect(main).to_contain_text("nothing to measure yet")
        expect(main).to_contain_text("MAX_CALL_SECONDS")
