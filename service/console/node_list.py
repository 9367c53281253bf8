"""The nodes of the health page, from the database and from their own answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.cluster.process_stats import ProcessStats
from service.console.engine_figures import engine_figures
from service.domain.nodes import ListedNode
from service.storage.stores import Stores

logger = logging.getLogger(__name__)


def node_list(stores: Stores, processes: Iterable[ProcessStats]) -> list[dict[str, Any]]:
    """Describe each node, with the statistics of the ``processes`` that answer.

    ``process`` is null for a node that gives no answer, ``stored`` for one that the database does
    not have, or where it is away.
    """
    listed, calls = _stored(stores)
    answers = {each.node: each for each in processes if each.node is not None}
    rows = {each.node.id: _row(each, calls) for each in listed}
    return [
        {"node": node, "stored": rows.get(node), "process": _process(answers.get(node))}
        for node in [*rows, *sorted(answers.keys() - rows.keys())]
    ]


def _stored(stores: Stores) -> tuple[Sequence[ListedNode], Mapping[str | None, int]]:
    try:
        return stores.nodes.listed(), stores.calls_in_progress.by_node()
    except Exception:
        logger.info("the database does not say which nodes there are", exc_info=True)
        return [], {}


def _row(each: ListedNode, calls: Mapping[str | None, int]) -> dict[str, Any]:
    return {
        "machine": each.node.machine_id,
        "url": each.node.url,
        "state": each.node.state,
        "version": each.node.version,
        "upMs": each.up,
        "silentMs": each.silent,
        "calls": calls.get(each.node.id, 0),
    }


def _process(stats: ProcessStats | None) -> dict[str, Any] | None:
    if stats is None:
        return None
    return {
        "cpuSeconds": stats.cpu_seconds,
        "memory": stats.memory,
        "reports": stats.reports,
        "engine": None if stats.engine_stats is None else engine_figures(stats.engine_stats),
    }
