"""The console in a real Chromium, in front of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browsers import chromium, signed_in
from tests.support.patchbays import Patchbay


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def console_page(browser: Browser, patchbay: Patchbay) -> Iterator[Page]:
    """A blank page with a console session."""
    with signed_in(browser, patchbay) as page:
        yield page
