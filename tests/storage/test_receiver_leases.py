"""Leases of receivers: one node at a time, and no marks by a node that has lost its lease."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from service.domain.webhooks import DeliveryStatus, ReceiverLease
from service.storage.database import Database
from service.storage.leases import UNTIL
from service.storage.tables import receiver_leases
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases, WaitingReceiver
from tests.support.deliveries import DAY, a_delivery, write
from tests.support.leases import add_node, end_of_gone, lapse
from tests.support.races import at_once


class TwoNodes:
    """The receivers of one database as two nodes see them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outbox = Outbox(database)
        self.one, self.other = (ReceiverLeases(database, f"nd_{n}") for n in (1, 2))

    def lost(self) -> tuple[ReceiverLease, ReceiverLease]:
        """Return a lease that has lapsed, and that of the node which has claimed it since."""
        before = self.one.claim("wh_1")
        lapse(self.database)
        after = self.other.claim("wh_1")
        assert before
        assert after
        return before, after


@pytest.fixture
def nodes(database: Database) -> TwoNodes:
    return TwoNodes(database)


def test_a_receiver_is_claimed_by_one_node_until_it_is_released(nodes: TwoNodes) -> None:
    lease = nodes.one.claim("wh_1")
    assert lease == ReceiverLease("wh_1", "nd_1", 1, 0)
    assert nodes.other.claim("wh_1") is None
    assert nodes.other.claim("wh_2")
    nodes.one.release(lease)
    assert nodes.other.claim("wh_1") == ReceiverLease("wh_1", "nd_2", 2, 0)


def test_one_of_many_simultaneous_nodes_gets_a_receiver(database: Database) -> None:
    nodes = [ReceiverLeases(database, f"nd_{number}") for number in range(8)]
    for receiver in ("wh_1", "wh_2"):
        claimed = at_once(len(nodes), lambda index, name=receiver: nodes[index].claim(name))
        assert not [each for each in claimed if isinstance(each, Exception)]
        assert len([each for each in claimed if each]) == 1


def test_a_lease_lapses_and_its_old_holder_cannot_release_it(nodes: TwoNodes) -> None:
    before, after = nodes.lost()
    assert (after.holder, after.epoch) == ("nd_2", 2)
    nodes.one.release(before)
    nodes.one.forget(before)
    assert nodes.one.claim("wh_1") is None


@pytest.mark.parametrize(("seconds", "is_free"), [(1, False), (60, True)])
def test_a_lease_from_long_before_the_clock_was_set_back_is_free(
    nodes: TwoNodes, seconds: int, is_free: bool
) -> None:
    assert nodes.one.claim("wh_1")
    with nodes.database.write() as connection:
        connection.execute(update(receiver_leases).values(expires_at=UNTIL + seconds * 1_000))
    assert (nodes.other.claim("wh_1") is not None) is is_free


def test_a_holder_may_claim_again(nodes: TwoNodes) -> None:
    first, second = nodes.one.claim("wh_1"), nodes.one.claim("wh_1")
    assert (first and first.epoch, second and second.epoch) == (1, 2)


def test_receivers_of_other_nodes_are_not_waiting(nodes: TwoNodes) -> None:
    write(nodes.database, a_delivery(1), a_delivery(1, "wh_2"))
    assert nodes.one.claim("wh_1")
    assert nodes.one.waiting() == (
        WaitingReceiver("wh_1", 1_000),
        WaitingReceiver("wh_2", 1_000),
    )
    assert nodes.other.waiting() == (WaitingReceiver("wh_2", 1_000),)
    lapse(nodes.database)
    assert len(nodes.other.waiting()) == 2


@pytest.mark.parametrize("failures", [0, 3])
def test_a_node_that_has_lost_its_lease_marks_nothing(nodes: TwoNodes, failures: int) -> None:
    first = a_delivery(1)
    write(nodes.database, first, a_delivery(2, expires_at=2_000))
    lost, _ = nodes.lost()
    lost = ReceiverLease(lost.receiver, lost.holder, lost.epoch, failures)
    assert not nodes.outbox.delivered(lost, first.id, 5_000, 200)
    assert not nodes.outbox.failed(lost, first.id, 5_000, 500, "It answered 500.", 6_000)
    assert nodes.outbox.give_up(lost, 5_000, "It is gone.") == 0
    assert nodes.outbox.expire(lost, DAY, "Too late.", DAY) == 0
    assert nodes.outbox.pending("wh_1", 9) == (first, a_delivery(2, expires_at=2_000))
    assert nodes.other.waiting() == (WaitingReceiver("wh_1", 1_000),)


def test_lapsed_and_unclaimed_lease_still_marks(nodes: TwoNodes) -> None:
    write(nodes.database, a_delivery(1))
    lease = nodes.one.claim("wh_1")
    assert lease
    lapse(nodes.database)
    assert nodes.outbox.delivered(lease, "dl_wh_1_1", 5_000, 200)
    assert nodes.outbox.recent("wh_1")[0].status is DeliveryStatus.DELIVERED


def test_failures_in_a_row_are_counted_over_nodes(nodes: TwoNodes) -> None:
    write(nodes.database, a_delivery(1), a_delivery(2))
    lease = nodes.one.claim("wh_1")
    assert lease
    failing = ReceiverLease("wh_1", lease.holder, lease.epoch, 7)
    assert nodes.outbox.failed(failing, "dl_wh_1_1", 5_000, 500, "No.", 6_000)
    nodes.one.release(failing)
    assert nodes.other.waiting() == (WaitingReceiver("wh_1", 6_000, 7),)
    taken = nodes.other.claim("wh_1")
    assert taken
    assert taken.failures == 7
    assert nodes.outbox.delivered(taken, "dl_wh_1_1", 6_000, 200)
    assert nodes.other.waiting() == (WaitingReceiver("wh_1", 1_000, 0),)


def test_the_leases_of_a_node_end_with_it(nodes: TwoNodes) -> None:
    assert nodes.one.claim("wh_1")
    assert nodes.other.claim("wh_2")
    add_node(nodes.database, "nd_2")
    end_of_gone(nodes.database)
    assert nodes.other.claim("wh_1")
    assert nodes.one.claim("wh_2") is None
    nodes.other.release_all()
    assert nodes.one.claim("wh_2")
