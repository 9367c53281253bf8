"""Parts of a node that use cases share: the media plane, and the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

from service.calls.waiting import Waiters
from service.clock import Clock
from service.cluster.local_node import LocalNode
from service.cluster.membership import Membership
from service.cluster.remote_requests import RemoteRequests
from service.cluster.worker_values import Workers
from service.domain.nodes import NodeState
from service.media.engine.engine import Engine
from service.media.engine.media import Media
from service.providers.base.provider import Provider
from service.simulator.simulated_calls import SimulatedCalls
from service.storage.calls.calls import Calls
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.telemetry.logs import Troubles
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class NodeServices:
    """``start`` may be called again. ``stop`` comes before the end of the engine."""

    media: Media
    waiters: Waiters
    workers: Workers
    on_takeover: Callable[[], object] = lambda: None
    """Called once this node has the database."""

    is_silent: Callable[[str], bool] = lambda _: False
    """Whether another node that takes calls does not answer."""

    tell_lost: Callable[[str, tuple[str, ...]], object] = lambda node_id, call_ids: None
    """Tells another node, without waiting, that these of its calls were taken over."""

    tell_held: Callable[[str], object] = lambda call_id: None
    """Tells other machines, without waiting, that a call was told to hold."""

    remote_holds: SimpleQueue[str] = field(default_factory=SimpleQueue)
    """Calls that other nodes have told to hold while they could not store it."""

    remote_requests: RemoteRequests | None = None
    """Answers messages from other machines; ``None`` where this one is the only one."""

    start: Callable[[], object] = lambda: None
    stop: Callable[[], object] = lambda: None
    is_alive: Callable[[], bool] = lambda: True

    def started_before(self, start: Callable[[], object]) -> Callable[[], None]:
        """Return a function that starts the node, and then the thread that registers it: other
        nodes pass sockets to one that is registered.
        """

        def both() -> None:
            self.start()
            start()

        return both


def node_services(
    member: Membership,
    database: Database,
    calls: Calls,
    clock: Clock,
    wall: Clock,
    engine: Engine,
    simulated_calls: SimulatedCalls,
    troubles: Troubles,
    providers: Mapping[str, Provider],
    metrics: Metrics,
) -> NodeServices:
    if member.machine is None:
        return NodeServices(engine, Waiters(), Workers(None, engine, simulated_calls, troubles))

    def hinted(signals: Iterable[str], call_ids: Iterable[str]) -> None:
        for signal in signals:
            database.signals[ChangeSignal(signal)].set()
        for call_id in call_ids:
            waiters.wake_here(call_id)

    def pass_on(signals: Collection[ChangeSignal]) -> None:
        # The live feed passes changes of calls on by itself.
        if others := set(signals) - {ChangeSignal.CALLS}:
            node.hint(signals=others)

    def is_lost(node_id: str) -> bool:
        # The calls of a node that ends are placed on others, so nobody waits for its answer.
        if not node.is_silent(node_id):
            return False
        found = member.nodes.find(node_id)
        return found is not None and found.state is NodeState.SERVING

    remote_holds: SimpleQueue[str] = SimpleQueue()
    node = LocalNode(
        member.machine.folder,
        member.node_id,
        member.directory,
        member.api_secret,
        calls.nodes_of,
        clock,
        wall,
        engine,
        simulated_calls,
        troubles,
        providers,
        hinted,
        remote_holds.put,
        partial(metrics.message_refused, "socket"),
    )
    waiters = Waiters(lambda call_id: node.hint(calls=(call_id,)))
    database.pass_on = pass_on
    return NodeServices(
        media=node.media,
        waiters=waiters,
        workers=node.workers,
        on_takeover=member.machine.serves,
        is_silent=is_lost,
        tell_lost=node.tell_lost,
        tell_held=node.tell_held,
        remote_holds=remote_holds,
        remote_requests=node.remote_requests,
        start=node.start,
        stop=node.stop,
        is_alive=lambda: node.is_alive,
    )
