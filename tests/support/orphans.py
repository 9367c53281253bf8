"""The takeover of calls that no node has, as at the start of a process."""

from __future__ import annotations

from service.clock import Millis
from service.storage.calls.calls import Calls
from service.storage.cluster.nodes import Nodes


def orphaned(calls: Calls, at: Millis) -> int:
    """Detach the answered calls that no node has, and return how many were attached."""
    return Nodes(calls._database, "nd_test", "secret").take_over(at, has_started=True)
