"""The console in a real Chromium, in front of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsers import chromium, signed_in
from patchbays import Patchbay, patchbay
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def bay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    """One server for all tests of a module."""
    with patchbay(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def console_page(browser: Browser, bay: Patchbay) -> Iterator[Page]:
    """A page of the console with somebody signed in; it has not gone anywhere yet."""
    with signed_in(browser, bay) as page:
        yield page
