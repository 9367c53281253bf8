"""Values that each node keeps in memory: its statistics, its test calls and its last warnings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from service.cluster.codec import Malformed, unpack
from service.cluster.messages import (
    GetProcess,
    GetSimulatedCalls,
    GetTroubles,
    HangUpSimulatedCall,
    Message,
)
from service.cluster.process_stats import ProcessStats, process_stats
from service.cluster.routed_peers import AnyPeers
from service.errors import NotFound
from service.media.engine.engine import Engine
from service.simulator.scenario import Scenario
from service.simulator.simulated_calls import SimulatedCall, SimulatedCalls
from service.telemetry.logs import Trouble, Troubles, limited

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Workers:
    """Thread-safe. A node that does not answer in time is left out."""

    def __init__(
        self,
        node: str | None,
        engine: Engine,
        simulated_calls: SimulatedCalls,
        troubles: Troubles,
        peers: AnyPeers | None = None,
    ) -> None:
        """Without ``peers`` this process is the only one."""
        self._node = node
        self._engine = engine
        self._simulated_calls = simulated_calls
        self._troubles = troubles
        self._peers = peers

    @property
    def are_several(self) -> bool:
        """Whether there are nodes beside this one."""
        return self._peers is not None and bool(self._peers.ids())

    def processes(self) -> tuple[ProcessStats, ...]:
        """Return the statistics of the processes of all nodes, this one's first."""
        return self._processes([] if self._peers is None else self._peers.ids())

    def processes_of_machine(self) -> tuple[ProcessStats, ...]:
        """Return the statistics of the processes of this machine, this one's first."""
        return self._processes([] if self._peers is None else self._peers.siblings())

    def count_elsewhere(self) -> int:
        """Return the number of nodes on other machines."""
        if self._peers is None:
            return 0
        return len({*self._peers.ids()} - {*self._peers.siblings()})

    def _processes(self, others: Sequence[str]) -> tuple[ProcessStats, ...]:
        found = self._ask_these(others, GetProcess(), ProcessStats)
        return (process_stats(self._node, self._engine), *found)

    def troubles(self) -> tuple[Trouble, ...]:
        """Return the last warnings and errors of all nodes, newest first."""
        found = [*self._troubles.last(), *self._ask(GetTroubles(), Trouble)]
        return limited(sorted(found, key=lambda each: -each.at))

    def simulated_calls(self) -> tuple[SimulatedCall, ...]:
        """Return the test calls of all nodes, newest first."""
        found = [*self._simulated_calls.all(), *self._ask(GetSimulatedCalls(), SimulatedCall)]
        return tuple(sorted(found, key=lambda each: -each.placed_at))

    def simulated_call(self, simulated_call_id: str) -> SimulatedCall:
        """Return a test call. Raises ``NotFound``."""
        try:
            return self._simulated_calls.get(simulated_call_id)
        except NotFound:
            others = self._ask(GetSimulatedCalls(), SimulatedCall)
            found = next((each for each in others if each.id == simulated_call_id), None)
            if found is None:
                raise
            return found

    def place(self, connector_id: str, scenario: Scenario) -> SimulatedCall:
        """Place a test call on this node. Raises ``Conflict``.

        The limit is that of all nodes. Two calls placed at the same moment on two nodes may exceed
        it by one.
        """
        self._simulated_calls.require_on()
        others = self._ask(GetSimulatedCalls(), SimulatedCall)
        elsewhere = sum(each.report is None for each in others)
        return self._simulated_calls.place(connector_id, scenario, elsewhere)

    def hang_up(self, simulated_call_id: str) -> SimulatedCall:
        """Hang up as the caller of a test call. Raises ``NotFound``."""
        try:
            return self._simulated_calls.hang_up(simulated_call_id)
        except NotFound:
            found = self._ask(HangUpSimulatedCall(simulated_call_id), SimulatedCall)
            if not found:
                raise
            return found[0]

    def _ask(self, question: Message, kind: type[T]) -> list[T]:
        """Ask all other nodes. Return the values of their answers, which are lists."""
        return [] if self._peers is None else self._ask_these(self._peers.ids(), question, kind)

    def _ask_these(self, nodes: Sequence[str], question: Message, kind: type[T]) -> list[T]:
        if self._peers is None:
            return []
        questions = dict.fromkeys(nodes, question)
        found: list[T] = []
        for node_id, answer in self._peers.ask_all(questions).items():
            try:
                found += [unpack(kind, each) for each in answer]
            except (Malformed, TypeError) as error:
                logger.warning("the answer of node %s cannot be read: %s", node_id, error)
        return found
