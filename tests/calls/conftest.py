"""A harness of the use cases on SQLite, on each kind of database, and with providers' APIs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.connectors import Connector
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import CALL_IDS, Harness, a_harness
from tests.support.provider_apis import ProviderApi, provider_api
from tests.support.records import a_connector


@pytest.fixture
def harness(sqlite_database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(sqlite_database, clock) as harness:
        yield harness


@pytest.fixture
def each_harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def connector(harness: Harness) -> Connector:
    return harness.connect(a_connector())


@pytest.fixture
def api() -> Iterator[ProviderApi]:
    with provider_api() as api:
        yield api


@pytest.fixture
def calling(sqlite_database: Database, clock: FakeClock, api: ProviderApi) -> Iterator[Harness]:
    """A harness whose providers' APIs are on loopback, for three calls of ten minutes."""
    urls = {f"{name}_api_url": api.url for name in CALL_IDS}
    with a_harness(sqlite_database, clock, max_calls=3, max_call_seconds=600, **urls) as harness:
        yield harness
