"""Several nodes deliver from one database: each receiver gets its events in order, and once."""

from __future__ import annotations

import signal
from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise

from service.clock import SystemClock
from service.storage.database import Database
from service.storage.webhooks.outbox import Outbox
from tests.support.deliveries import a_delivery, nothing_waits, subscribe, write
from tests.support.delivering_node import scheduler_of
from tests.support.leases import add_node, end_of_gone, lapse
from tests.support.nodes import another, node_process
from tests.support.receivers import PATIENCE, Answer, Received, Receiver, receiving

RECEIVERS, EVENTS = 6, 40


def subscribed(database: Database, receiver: Receiver, count: int) -> None:
    for number in range(count):
        subscribe(database, f"wh_{number}", f"{receiver.url}/{number}")


def tell(database: Database, receivers: int, first: int, last: int) -> None:
    """Write some events for each receiver."""
    at = SystemClock().now()
    for number in range(receivers):
        write(database, *(a_delivery(event, f"wh_{number}", at) for event in range(first, last)))


def by_receiver(receiver: Receiver) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for request in receiver.received:
        found[request.path].append(int(request.body))
    return found


def test_nodes_share_the_receivers_and_send_each_event_once(database: Database) -> None:
    """Each has written half of the events, in turn, and hears of its own only."""
    with receiving() as receiver, ExitStack() as stack:
        subscribed(database, receiver, RECEIVERS)
        nodes = [database, stack.enter_context(another(database))]
        schedulers = [scheduler_of(node, f"nd_{at}") for at, node in enumerate(nodes)]
        for scheduler in schedulers:
            scheduler.start()
            stack.callback(scheduler.stop)
        for first in range(0, EVENTS, 10):
            tell(nodes[first // 10 % 2], RECEIVERS, first, first + 10)
        receiver.wait_for(RECEIVERS * EVENTS)
        for scheduler in schedulers:
            scheduler.stop()
        assert Outbox(database).count() == 0
    found = by_receiver(receiver)
    assert len(found) == RECEIVERS
    assert all(bodies == list(range(EVENTS)) for bodies in found.values())


def test_node_that_stalls_sends_nothing_after_its_lease(database: Database) -> None:
    """Its attempt is in flight when another node takes the receiver."""
    with receiving() as receiver, another(database) as second, ExitStack() as stack:
        subscribed(database, receiver, 1)
        one, other = scheduler_of(database, "nd_1"), scheduler_of(second, "nd_2")

        def answer(request: Received) -> Answer:
            if len(receiver.received) > 1:
                return 200
            lapse(database)
            other.start()
            stack.callback(other.stop)
            # The other node sends this event again, and the next two.
            receiver.wait_for(4)
            return 200

        receiver.answer = answer
        tell(database, 1, 0, 3)
        one.start()
        receiver.wait_for(4)
        one.stop(PATIENCE)
        tell(second, 1, 3, 4)
        receiver.wait_for(5)
        stack.close()
        assert receiver.bodies == ["0", "0", "1", "2", "3"]
        assert [told.attempts for told in Outbox(database).recent("wh_0")] == [1, 1, 1, 1]


def test_killed_node_loses_no_event_and_no_order(database: Database) -> None:
    with receiving() as receiver, ExitStack() as stack:
        subscribed(database, receiver, RECEIVERS)
        tell(database, RECEIVERS, 0, EVENTS)
        add_node(database, "nd_2")
        killed = stack.enter_context(node_process("delivering_node", database, "nd_1"))
        stack.enter_context(node_process("delivering_node", database, "nd_2"))
        receiver.wait_for(RECEIVERS * EVENTS // 3)
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE)
        end_of_gone(database)
        receiver.wait_for(RECEIVERS * EVENTS)
        nothing_waits(Outbox(database))
    for bodies in by_receiver(receiver).values():
        assert set(bodies) == set(range(EVENTS))
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(bodies))
        assert len(bodies) <= EVENTS + 1
