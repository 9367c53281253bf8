"""Metrics as a server without calls exposes them."""

from __future__ import annotations

import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.storage.database import Database
from tests.support.apps import API_KEY, API_SECRET, build
from tests.support.clocks import FakeClock


@pytest.fixture
def exposed(sqlite_database: Database, clock: FakeClock) -> dict[str, set[str]]:
    """Names of labels by names of samples in the answer of ``/metrics``."""
    token = jwt.encode({"apikey": API_KEY}, API_SECRET, algorithm="HS256")
    client = build(sqlite_database, clock).test_client()
    answer = client.get("/metrics", headers={"Authorization": token})
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels
