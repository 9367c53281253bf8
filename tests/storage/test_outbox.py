"""The outbox: order, receivers, outcomes and retention of deliveries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event

from service.domain.rooms import Room
from service.domain.webhooks import DeliveryStatus, ReceiverLease, room_receiver
from service.errors import NotFound
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.webhooks.outbox import KEPT, PIECE, SURPLUS, Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases, WaitingReceiver
from tests.support.deliveries import DAY, a_delivery, subscribe, write


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def receivers(database: Database) -> ReceiverLeases:
    """The leases of one node."""
    return ReceiverLeases(database, "nd_1")


@pytest.fixture
def lease(receivers: ReceiverLeases) -> ReceiverLease:
    return claimed(receivers)


def claimed(receivers: ReceiverLeases, receiver: str = "wh_1") -> ReceiverLease:
    lease = receivers.claim(receiver)
    assert lease
    return lease


def pending(outbox: Outbox, receiver: str = "wh_1") -> list[str]:
    return [delivery.body for delivery in outbox.pending(receiver, 10_000)]


def statuses(outbox: Outbox, receiver: str = "wh_1") -> dict[str, str]:
    return {delivery.body: delivery.status for delivery in outbox.recent(receiver)}


def test_deliveries_are_pending_in_the_order_of_their_writes(
    database: Database, outbox: Outbox
) -> None:
    some = [a_delivery(number) for number in range(5)]
    write(database, *some)
    assert outbox.pending("wh_1", 3) == tuple(some[:3])
    assert outbox.pending("wh_2", 3) == ()


def test_each_receiver_is_due_with_its_oldest_pending_delivery(
    database: Database, outbox: Outbox, receivers: ReceiverLeases
) -> None:
    assert receivers.waiting() == ()
    write(
        database,
        a_delivery(1, "wh_1", due_at=9_000),
        a_delivery(2, "wh_1", due_at=2_000),
        a_delivery(1, "wh_2", due_at=3_000),
        a_delivery(1, "room:abcd", due_at=4_000),
        a_delivery(1, "wh_3", due_at=5_000),
        a_delivery(2, "wh_3", due_at=6_000),
    )
    outbox.delivered(claimed(receivers, "wh_2"), "dl_wh_2_1", 1, 200)
    outbox.delivered(claimed(receivers, "wh_3"), "dl_wh_3_1", 1, 200)
    assert set(receivers.waiting()) == {
        WaitingReceiver("wh_1", 9_000),
        WaitingReceiver("room:abcd", 4_000),
        WaitingReceiver("wh_3", 6_000),
    }


def test_a_successful_delivery_is_finished(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    first = a_delivery(1)
    write(database, first, a_delivery(2))
    outbox.failed(lease, first.id, 1_500, None, "No answer.", 2_500)
    outbox.delivered(lease, first.id, 2_600, 204)
    assert pending(outbox) == ["2"]
    assert outbox.recent("wh_1")[1] == replace(
        first,
        status=DeliveryStatus.DELIVERED,
        attempts=2,
        due_at=None,
        expires_at=None,
        tried_at=2_600,
        answer=204,
        error=None,
    )


def test_a_failed_delivery_keeps_its_place(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    first = a_delivery(1)
    write(database, first, a_delivery(2))
    outbox.failed(lease, first.id, 1_500, 500, "It answered 500.", 2_500)
    assert outbox.pending("wh_1", 1) == (
        replace(
            first, attempts=1, due_at=2_500, tried_at=1_500, answer=500, error="It answered 500."
        ),
    )


def test_a_delivery_without_a_next_attempt_is_dead(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    first = a_delivery(1)
    write(database, first, a_delivery(2))
    outbox.failed(lease, first.id, 1_500, None, "No answer.", None)
    assert pending(outbox) == ["2"]
    dead = outbox.recent("wh_1")[1]
    assert (dead.status, dead.attempts, dead.due_at, dead.expires_at, dead.error) == (
        DeliveryStatus.DEAD, 1, None, None, "No answer.",
    )  # fmt: skip


def test_a_delivery_that_died_during_an_attempt_stays_dead_unless_delivered(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    first, second = a_delivery(1), a_delivery(2)
    write(database, first, second)
    outbox.give_up(lease, 5_000, "It is gone.")
    outbox.failed(lease, first.id, 6_000, 500, "It answered 500.", 7_000)
    outbox.delivered(lease, second.id, 6_000, 200)
    assert statuses(outbox) == {"1": "dead", "2": "delivered"}
    assert outbox.recent("wh_1")[1].due_at is None


def test_the_address_of_a_subscription_is_its_url(database: Database, outbox: Outbox) -> None:
    subscribe(database, "wh_1", "https://one.example/hook")
    subscribe(database, "wh_2", "https://two.example/hook", deleted_at=2)
    assert outbox.address("wh_1") == "https://one.example/hook"
    assert outbox.address("wh_2") is None
    assert outbox.address("wh_3") is None


def test_the_address_of_a_room_is_its_webhooks(database: Database, outbox: Outbox) -> None:
    webhook = {"endPoint": "https://room.example/hook", "events": ["*"]}
    for room_id, hook in (("abcd", webhook), ("efgh", None)):
        Rooms(database).create(Room(room_id, f"object-{room_id}", 1, 1, webhook=hook))
    assert outbox.address(room_receiver("abcd")) == "https://room.example/hook"
    assert outbox.address(room_receiver("efgh")) is None
    assert outbox.address(room_receiver("ijkl")) is None
    assert outbox.address("abcd") is None


def test_pending_deliveries_of_a_deleted_receiver_are_given_up(
    database: Database, outbox: Outbox, receivers: ReceiverLeases, lease: ReceiverLease
) -> None:
    write(database, *(a_delivery(number) for number in range(PIECE + 1)), a_delivery(1, "wh_2"))
    outbox.delivered(lease, "dl_wh_1_0", 1, 200)
    assert outbox.give_up(lease, 5_000, "It is gone.") == PIECE
    assert receivers.waiting() == (WaitingReceiver("wh_2", 1_000),)
    newest = outbox.recent("wh_1")[0]
    assert (newest.status, newest.error, newest.attempts) == (DeliveryStatus.DEAD, "It is gone.", 0)
    assert outbox.recent("wh_1", PIECE + 1)[-1].status is DeliveryStatus.DELIVERED


def test_expired_deliveries_die_and_the_next_one_is_due_later(
    database: Database, outbox: Outbox, receivers: ReceiverLeases, lease: ReceiverLease
) -> None:
    write(database, *(a_delivery(number, at=number * 1_000) for number in range(5)))
    assert outbox.expire(lease, DAY + 2_000, "Too late.", DAY + 9_000) == 3
    assert statuses(outbox) == dict.fromkeys("43", "pending") | dict.fromkeys("210", "dead")
    assert receivers.waiting() == (WaitingReceiver("wh_1", DAY + 9_000),)
    assert [delivery.due_at for delivery in outbox.pending("wh_1", 2)] == [DAY + 9_000, 4_000]


def test_a_lapse_may_leave_no_pending_delivery(
    database: Database, outbox: Outbox, receivers: ReceiverLeases, lease: ReceiverLease
) -> None:
    write(database, a_delivery(1))
    assert outbox.expire(lease, 2 * DAY, "Too late.", 3 * DAY) == 1
    assert receivers.waiting() == ()


def test_recent_returns_the_newest_deliveries_of_any_status(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    write(database, *(a_delivery(number) for number in range(6)))
    outbox.delivered(lease, "dl_wh_1_2", 1, 200)
    outbox.failed(lease, "dl_wh_1_4", 1, None, "No.", None)
    recent = [(delivery.body, str(delivery.status)) for delivery in outbox.recent("wh_1", 4)]
    assert recent == [("5", "pending"), ("4", "dead"), ("3", "pending"), ("2", "delivered")]


def test_a_redelivery_makes_a_delivery_pending(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    first = a_delivery(1)
    write(database, first, a_delivery(2))
    outbox.failed(lease, first.id, 1_500, 500, "It answered 500.", None)
    database.signals[ChangeSignal.OUTBOX].clear()
    again = outbox.redeliver("wh_1", first.id, 7_000)
    assert again == replace(
        first,
        due_at=7_000,
        expires_at=7_000 + DAY,
        tried_at=1_500,
        answer=500,
        error="It answered 500.",
    )
    assert outbox.pending("wh_1", 1) == (again,)
    assert database.signals[ChangeSignal.OUTBOX].is_set()


def test_only_a_receivers_own_delivery_can_be_redelivered(
    database: Database, outbox: Outbox
) -> None:
    write(database, a_delivery(1))
    for receiver, delivery_id in (("wh_2", "dl_wh_1_1"), ("wh_1", "dl_wh_1_2")):
        with pytest.raises(NotFound, match="Delivery not found"):
            outbox.redeliver(receiver, delivery_id, 7_000)
    assert outbox.recent("wh_1") == (a_delivery(1),)


def test_the_newest_finished_deliveries_stay(database: Database, outbox: Outbox) -> None:
    finished = [
        a_delivery(number, receiver, status=DeliveryStatus.DELIVERED, due_at=None)
        for receiver in ("wh_1", "wh_2")
        for number in range(KEPT + SURPLUS + PIECE)
    ]
    write(database, a_delivery(9_998), *finished, a_delivery(9_999))
    assert outbox.prune("wh_1") == SURPLUS + PIECE
    kept = [delivery.body for delivery in outbox.recent("wh_1", 10_000)]
    newest = [str(number) for number in range(SURPLUS + PIECE, KEPT + SURPLUS + PIECE)]
    assert kept == ["9999", *reversed(newest), "9998"]
    assert len(outbox.recent("wh_2", 10_000)) == len(finished) // 2


def test_a_small_surplus_is_not_pruned(database: Database, outbox: Outbox) -> None:
    finished = [
        a_delivery(number, status=DeliveryStatus.DELIVERED, due_at=None)
        for number in range(KEPT + SURPLUS)
    ]
    write(database, *finished)
    assert outbox.prune("wh_1") == 0


def test_every_query_of_the_outbox_uses_an_index(sqlite_database: Database) -> None:
    """Judged by one word in SQLite's plans."""
    outbox, receivers = Outbox(sqlite_database), ReceiverLeases(sqlite_database, "nd_1")
    write(sqlite_database, a_delivery(1))
    asked: list[tuple[str, tuple[object, ...]]] = []
    with sqlite_database.read() as connection:
        engine = connection.engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, sql: str, values: tuple, *_: object) -> None:
        if sql != "BEGIN":
            asked.append((sql, values))

    receivers.waiting()
    outbox.pending("wh_1", 50)
    outbox.recent("wh_1")
    outbox.prune("wh_1")
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 5
    with sqlite_database.read() as connection:
        for sql, values in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            steps = [step[-1] for step in plan if "deliveries" in step[-1]]
            assert steps
            assert all(step.startswith("SEARCH") for step in steps), steps
            assert "TEMP B-TREE" not in str(plan)


def test_deliveries_about_a_call_are_found_for_all_receivers(
    database: Database, outbox: Outbox, lease: ReceiverLease
) -> None:
    body = '{"data":{"callId":"c_1"}}'
    write(database, a_delivery(1, body=body), a_delivery(2, body=body.replace("c_1", "cX1")))
    write(database, a_delivery(3, "room:r", body=body), a_delivery(4, body=body, at=999))
    outbox.delivered(lease, "dl_wh_1_1", 1, 200)
    assert [each.id for each in outbox.of_call("c_1", 1_000)] == ["dl_wh_1_1", "dl_room:r_3"]
