"""The nodes of the health page: from the database, and by their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from service.cluster.process_stats import ProcessStats
from service.console.node_list import node_list
from service.media.engine.stats import EngineStats
from service.storage.database import Database
from service.storage.stores import Stores
from service.web.services import services_of
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.clusters import MACHINE, a_cluster
from tests.support.missing_tables import missing_table

STATS = ProcessStats("nd_one", 1, 2.5, 4096, 9, 0, 3, EngineStats(sockets=2))


@pytest.fixture
def stores(sqlite_database: Database, clock: FakeClock) -> Iterator[Stores]:
    """The repositories of a database with two nodes."""
    app: Flask = build(sqlite_database, clock)
    with a_cluster(sqlite_database) as cluster:
        cluster.serving("nd_one", "nd_two")
        yield services_of(app).stores


def states(found: list[dict[str, Any]]) -> dict[str, tuple[bool, bool]]:
    """Return for each node whether the database has it, and whether it answers."""
    return {
        each["node"]: (each["stored"] is not None, each["process"] is not None) for each in found
    }


def test_node_that_does_not_answer_is_listed(stores: Stores) -> None:
    found = node_list(stores, [STATS])
    assert states(found) == {"nd_one": (True, True), "nd_two": (True, False)}
    assert found[0]["stored"]["state"] == "serving"
    assert (found[0]["stored"]["machine"], found[0]["stored"]["url"]) == (MACHINE, None)
    assert found[0]["process"] | {"engine": None} == {
        "cpuSeconds": 2.5,
        "memory": 4096,
        "reports": 3,
        "engine": None,
    }
    assert found[0]["process"]["engine"]["sockets"] == 2


def test_node_that_the_database_does_not_have_is_listed(stores: Stores) -> None:
    found = node_list(stores, [STATS, replace(STATS, node="nd_new", engine_stats=None)])
    assert states(found)["nd_new"] == (False, True)
    assert found[-1]["process"]["engine"] is None


def test_nodes_that_answer_are_listed_while_the_database_is_away(
    stores: Stores, sqlite_database: Database
) -> None:
    with missing_table(sqlite_database, "nodes"):
        assert states(node_list(stores, [STATS])) == {"nd_one": (False, True)}
