"""Events are delivered in order to real servers that fail in many ways; the clock is fake."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from service import __version__
from service.domain.webhooks import Delivery, DeliveryStatus, ReceiverLease
from service.http_client.client import HttpClient
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.webhooks.outbox import KEPT, SURPLUS, Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from service.webhooks.attempts import EXPIRED, GONE, TURN_EVENTS
from service.webhooks.scheduler import SUSPECTS, THREADS, DeliveryScheduler
from tests.support.clocks import FakeClock
from tests.support.deliveries import DAY, a_delivery, subscribe, write
from tests.support.receivers import (
    PATIENCE,
    Answer,
    Received,
    Receiver,
    broken_bodies,
    die,
    receiving,
    redirect,
)

LONGEST = 15 * 60


class FakeSigner:
    """Signs with the first two letters."""

    def headers(self, body: bytes) -> dict[str, str]:
        return {"videosdk-signature": body[:2].decode()}


class Deliveries:
    """An outbox, and the scheduler that delivers from it."""

    def __init__(self, database: Database, clock: FakeClock, *, allow_private: bool) -> None:
        self.database = database
        self.clock = clock
        self.outbox = Outbox(database)
        self.receivers = ReceiverLeases(database, "nd_1")
        self.http = HttpClient(clock, allow_private=allow_private)
        self.scheduler = self.another()

    def another(self) -> DeliveryScheduler:
        """A scheduler without the memory of the one before."""
        return DeliveryScheduler(
            self.receivers,
            self.outbox,
            FakeSigner(),
            self.http,
            self.clock,
            self.signal,
            chance=lambda: 0.5,
        )

    @property
    def signal(self) -> threading.Event:
        return self.database.signals[ChangeSignal.OUTBOX]

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.signal.set()

    def tell(self, *numbers: int, receiver: str = "wh_1", **changes: Any) -> None:
        at = self.clock.now()
        write(self.database, *(a_delivery(number, receiver, at, **changes) for number in numbers))

    def deliveries(self, receiver: str = "wh_1") -> list[Delivery]:
        """Oldest first."""
        return list(reversed(self.outbox.recent(receiver, 10_000)))

    def eventually(
        self, holds: Callable[[list[Delivery]], bool], receiver: str = "wh_1"
    ) -> list[Delivery]:
        """Look until it holds: a delivery is written shortly after its response."""
        moment = threading.Event()
        for _ in range(PATIENCE * 100):
            if holds(found := self.deliveries(receiver)):
                return found
            moment.wait(0.01)
        raise AssertionError(self.deliveries(receiver))

    def finished(self, receiver: str = "wh_1") -> list[Delivery]:
        """All deliveries, once none is pending."""
        return self.eventually(
            lambda some: all(one.status is not DeliveryStatus.PENDING for one in some), receiver
        )

    def tried(self, attempts: int, receiver: str = "wh_1") -> Delivery:
        """The oldest delivery, once it has had that many attempts."""
        return self.eventually(lambda some: some[0].attempts >= attempts, receiver)[0]


@contextmanager
def delivering(
    database: Database, clock: FakeClock, *, allow_private: bool = True
) -> Iterator[Deliveries]:
    outgoing = Deliveries(database, clock, allow_private=allow_private)
    try:
        yield outgoing
    finally:
        outgoing.scheduler.stop()
        outgoing.http.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def outgoing(
    sqlite_database: Database, clock: FakeClock, receiver: Receiver
) -> Iterator[Deliveries]:
    subscribe(sqlite_database, "wh_1", receiver.url + "/hook?secret=1")
    with delivering(sqlite_database, clock) as outgoing:
        yield outgoing
        # A scheduler that stops would wait for it.
        receiver.released.set()


def test_an_event_is_sent_as_written_with_its_headers(
    database: Database, clock: FakeClock, receiver: Receiver
) -> None:
    subscribe(database, "wh_1", receiver.url + "/hook?secret=1")
    with delivering(database, clock) as outgoing:
        outgoing.scheduler.start()
        outgoing.tell(1, body='{"name":"Zoë"}')
        (request,) = receiver.wait_for(1)
        (told,) = outgoing.finished()
    assert (request.method, request.path) == ("POST", "/hook?secret=1")
    assert request.body.decode() == '{"name":"Zoë"}'
    said = {name: request.headers[name] for name in ("content-type", "user-agent")}
    assert said == {"content-type": "application/json", "user-agent": f"Patchbay/{__version__}"}
    assert request.headers["videosdk-signature"] == '{"'
    named = {name: text for name, text in request.headers.items() if "patchbay-" in name}
    assert named == {
        "x-patchbay-delivery": "dl_wh_1_1",
        "x-patchbay-event": "call-started",
        "x-patchbay-attempt": "1",
    }
    assert (told.status, told.attempts, told.answer) == (DeliveryStatus.DELIVERED, 1, 200)
    assert told.tried_at == clock.now()


def test_a_backlog_arrives_in_order_on_one_connection(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    numbers = range(2 * TURN_EVENTS + 5)
    outgoing.tell(*numbers)
    outgoing.scheduler.start()
    outgoing.finished()
    assert receiver.bodies == [str(number) for number in numbers]
    assert len({request.connection for request in receiver.received}) == 1


@pytest.mark.parametrize(
    ("trouble", "answer", "error"),
    [
        (500, 500, "It answered 500."),
        (410, 410, "It answered 410."),
        (304, 304, "It answered 304."),
        (die, None, "No answer (RemoteDisconnected)."),
        (redirect(303, "/else"), 303, "It answered 303."),
        (redirect(307), None, "It redirects without saying where."),
    ],
    ids=["500", "410", "304", "disconnect", "303", "redirect without location"],
)
def test_a_failed_delivery_is_retried_before_later_events(
    outgoing: Deliveries, receiver: Receiver, trouble: Answer, answer: int | None, error: str
) -> None:
    receiver.script(200, trouble, trouble)
    outgoing.tell(1, 2, 3)
    outgoing.scheduler.start()
    second = outgoing.eventually(lambda some: some[1].attempts == 1)[1]
    assert (second.status, second.answer, second.error) == (DeliveryStatus.PENDING, answer, error)
    assert second.due_at == outgoing.clock.now() + 1_500
    outgoing.pass_time(1.5)
    second = outgoing.eventually(lambda some: some[1].attempts == 2)[1]
    assert second.due_at == outgoing.clock.now() + 3_000
    outgoing.pass_time(3)
    assert [told.attempts for told in outgoing.finished()] == [1, 3, 1]
    assert receiver.bodies == ["1", "2", "2", "2", "3"]
    again = receiver.received[1:4]
    assert {request.delivery_id for request in again} == {"dl_wh_1_2"}
    assert [request.headers["x-patchbay-attempt"] for request in again] == ["1", "2", "3"]


def test_an_accepted_event_is_not_sent_again(outgoing: Deliveries, receiver: Receiver) -> None:
    answers = broken_bodies(200)
    numbers = range(len(answers) + 1)
    receiver.script(*answers.values())
    outgoing.tell(*numbers)
    outgoing.scheduler.start()
    assert {(told.status, told.attempts, told.answer) for told in outgoing.finished()} == {
        (DeliveryStatus.DELIVERED, 1, 200)
    }
    assert receiver.bodies == [str(number) for number in numbers]


def test_no_retry_is_sent_before_its_time(outgoing: Deliveries, receiver: Receiver) -> None:
    receiver.script(500)
    outgoing.tell(1)
    outgoing.scheduler.start()
    outgoing.tried(1)
    outgoing.pass_time(1.4)
    subscribe(outgoing.database, "wh_2", receiver.url + "/other")
    outgoing.tell(9, receiver="wh_2")
    outgoing.finished("wh_2")
    assert receiver.bodies == ["1", "9"]
    outgoing.pass_time(0.1)
    receiver.wait_for(3)


def test_a_redirect_to_another_address_is_followed(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    with receiving() as other:
        receiver.script(redirect(308, other.url + "/there"))
        outgoing.tell(1)
        outgoing.scheduler.start()
        assert outgoing.finished()[0].status is DeliveryStatus.DELIVERED
        (request,) = other.received
    assert (request.path, request.body) == ("/there", b"1")
    assert request.headers["videosdk-signature"] == "1"


def test_a_private_address_is_refused_unless_allowed(
    sqlite_database: Database, clock: FakeClock, receiver: Receiver
) -> None:
    subscribe(sqlite_database, "wh_1", receiver.url)
    with delivering(sqlite_database, clock, allow_private=False) as outgoing:
        outgoing.scheduler.start()
        outgoing.tell(1)
        told = outgoing.tried(1)
    assert told.error == ("The address is private: set WEBHOOK_ALLOW_PRIVATE=on to allow it.")
    assert receiver.received == ()


def test_deliveries_to_a_deleted_receiver_are_given_up(outgoing: Deliveries) -> None:
    outgoing.tell(1, 2, receiver="wh_2")
    outgoing.scheduler.start()
    assert [(told.status, told.error) for told in outgoing.finished("wh_2")] == [
        (DeliveryStatus.DEAD, GONE)
    ] * 2


def test_an_event_expires_after_a_day_with_the_events_that_are_as_old(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 500
    began = outgoing.clock.now()
    outgoing.tell(1, 2)
    outgoing.clock.advance(60)
    outgoing.tell(3)
    outgoing.scheduler.start()
    attempts = 0
    while (told := outgoing.tried(attempts + 1)).status is DeliveryStatus.PENDING:
        attempts = told.attempts
        assert told.due_at is not None
        outgoing.pass_time((told.due_at - outgoing.clock.now()) / 1000)
    assert outgoing.clock.now() == began + DAY
    first, second, third = outgoing.eventually(lambda some: some[1].status is DeliveryStatus.DEAD)
    assert (first.error, first.attempts) == ("It answered 500.", attempts + 1)
    assert (second.error, second.attempts) == (EXPIRED, 0)
    third = outgoing.eventually(lambda some: (some[2].due_at or 0) > outgoing.clock.now())[2]
    # The receiver gets no more attempts than before because one event follows another.
    assert third.due_at == outgoing.clock.now() + LONGEST * 750
    assert set(receiver.bodies) == {"1"}
    receiver.answer = lambda _: 200
    outgoing.pass_time(LONGEST)
    assert outgoing.finished()[2].status is DeliveryStatus.DELIVERED


def test_an_event_that_expired_while_no_process_ran_is_still_tried_once(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    outgoing.tell(1, 2)
    outgoing.clock.advance(2 * DAY / 1000)
    outgoing.scheduler.start()
    assert [told.status for told in outgoing.finished()] == [DeliveryStatus.DELIVERED] * 2
    assert receiver.bodies == ["1", "2"]


def test_a_redelivery_is_sent_immediately(outgoing: Deliveries, receiver: Receiver) -> None:
    receiver.script(500)
    outgoing.tell(1)
    outgoing.scheduler.start()
    outgoing.tried(1)
    outgoing.outbox.redeliver("wh_1", "dl_wh_1_1", outgoing.clock.now())
    outgoing.finished()
    assert receiver.bodies == ["1", "1"]


def test_the_newest_finished_deliveries_are_kept(outgoing: Deliveries) -> None:
    outgoing.tell(*range(KEPT + SURPLUS + TURN_EVENTS))
    outgoing.scheduler.start()
    outgoing.eventually(lambda some: len(some) <= KEPT + SURPLUS)


def test_hanging_receivers_delay_no_other_receiver(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    """All threads but one are held by receivers that do not answer."""
    with ExitStack() as stack:
        hanging = stack.enter_context(receiving())
        stack.callback(hanging.released.set)
        for number in range(THREADS - 1):
            subscribe(outgoing.database, f"wh_h{number}", f"{hanging.url}/{number}")
            outgoing.tell(1, receiver=f"wh_h{number}")
        hanging.answer = lambda _: hanging.hang
        outgoing.scheduler.start()
        hanging.wait_for(THREADS - 1)
        outgoing.tell(1, 2, 3)
        outgoing.finished()
        assert receiver.bodies == ["1", "2", "3"]


def test_failed_receivers_hold_at_most_half_of_the_threads(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    failing = SUSPECTS + 8
    with ExitStack() as stack:
        hanging = stack.enter_context(receiving())
        stack.callback(hanging.released.set)
        hanging.answer = lambda _: 500
        for number in range(failing):
            subscribe(outgoing.database, f"wh_h{number}", f"{hanging.url}/{number}")
            outgoing.tell(1, receiver=f"wh_h{number}")
        outgoing.scheduler.start()
        hanging.wait_for(failing)
        for number in range(failing):
            outgoing.tried(1, f"wh_h{number}")
        hanging.answer = lambda _: hanging.hang
        outgoing.pass_time(10)
        hanging.wait_for(failing + SUSPECTS)
        outgoing.tell(1, 2, 3)
        outgoing.finished()
        assert receiver.bodies == ["1", "2", "3"]
        assert len(hanging.received) == failing + SUSPECTS
        # The other failed receivers are tried as threads become free.
        hanging.released.set()
        hanging.wait_for(2 * failing)


def test_a_slow_backlog_takes_more_than_one_turn(
    sqlite_database: Database, clock: FakeClock, receiver: Receiver
) -> None:
    class Counting(Outbox):
        turns = 0

        def pending(self, receiver: str, limit: int) -> tuple[Delivery, ...]:
            self.turns += 1
            return super().pending(receiver, limit)

    def slowly(_: Received) -> Answer:
        clock.advance(3)
        return 200

    receiver.answer = slowly
    subscribe(sqlite_database, "wh_1", receiver.url)
    with delivering(sqlite_database, clock) as outgoing:
        outgoing.outbox = Counting(sqlite_database)
        outgoing.scheduler = outgoing.another()
        outgoing.tell(*range(6))
        outgoing.scheduler.start()
        outgoing.finished()
        assert receiver.bodies == list("012345")
        assert outgoing.outbox.turns == 3


class UnavailableOutbox(Outbox):
    """An outbox whose database can be made unavailable."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_away = False
        self.asked = threading.Event()

    def pending(self, receiver: str, limit: int) -> tuple[Delivery, ...]:
        self._ask()
        return super().pending(receiver, limit)

    def delivered(self, lease: ReceiverLease, delivery_id: str, at: int, answer: int) -> bool:
        self._ask()
        return super().delivered(lease, delivery_id, at, answer)

    def _ask(self) -> None:
        if self.is_away:
            self.asked.set()
            raise OSError("the database is away")


@pytest.mark.parametrize("when", ["before", "while it is sent"])
def test_an_outage_of_the_database_loses_no_event(
    sqlite_database: Database,
    clock: FakeClock,
    receiver: Receiver,
    when: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "service.webhooks")
    outbox = UnavailableOutbox(sqlite_database)

    def answer(_: Received) -> Answer:
        if when != "before" and len(receiver.received) == 1:
            outbox.is_away = True
        return 200

    receiver.answer = answer
    subscribe(sqlite_database, "wh_1", receiver.url + "/?secret=1")
    scheduler = DeliveryScheduler(
        ReceiverLeases(sqlite_database, "nd_1"),
        outbox,
        FakeSigner(),
        HttpClient(clock),
        clock,
        sqlite_database.signals[ChangeSignal.OUTBOX],
        trouble_seconds=0.02,
    )
    outbox.is_away = when == "before"
    write(sqlite_database, a_delivery(1), a_delivery(2))
    scheduler.start()
    assert outbox.asked.wait(PATIENCE)
    for _ in range(3):
        outbox.asked.clear()
        assert outbox.asked.wait(PATIENCE)
    outbox.is_away = False
    came = receiver.wait_for(2 if when == "before" else 3)
    scheduler.stop()
    assert [request.body for request in came] == (
        [b"1", b"2"] if when == "before" else [b"1", b"1", b"2"]
    )
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "are delayed" in line]) == 1
    assert said.count("webhooks are no longer delayed") == 1
    assert "secret" not in caplog.text


def test_the_log_has_the_first_failure_and_the_recovery_of_a_receiver(
    outgoing: Deliveries, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service.webhooks")
    receiver.script(500, die, 500)
    outgoing.tell(1, 2)
    outgoing.scheduler.start()
    for attempts in (1, 2, 3):
        outgoing.tried(attempts)
        outgoing.pass_time(LONGEST)
    outgoing.finished()
    outgoing.scheduler.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "webhooks to wh_1 fail: It answered 500.",
        "webhooks to wh_1 succeed again after 3 failures",
    ]
    assert "secret" not in caplog.text


def test_another_process_continues_the_backoff(outgoing: Deliveries, receiver: Receiver) -> None:
    receiver.script(500, 500, 500)
    outgoing.tell(1)
    outgoing.scheduler.start()
    for attempts in (1, 2):
        outgoing.pass_time(outgoing.tried(attempts) and LONGEST)
    told = outgoing.tried(3)
    outgoing.scheduler.stop()
    later = outgoing.another()
    receiver.script(500)
    later.start()
    outgoing.pass_time(LONGEST)
    again = outgoing.tried(4)
    later.stop()
    assert told.due_at is not None
    assert again.due_at == (again.tried_at or 0) + 12_000


def test_a_second_start_starts_no_thread(outgoing: Deliveries) -> None:
    outgoing.scheduler.start()
    threads = threading.active_count()
    outgoing.scheduler.start()
    assert threading.active_count() == threads


def test_nothing_is_sent_after_the_stop(outgoing: Deliveries, receiver: Receiver) -> None:
    outgoing.scheduler.start()
    outgoing.scheduler.stop()
    outgoing.tell(1)
    assert receiver.received == ()
    assert outgoing.deliveries()[0].attempts == 0


def test_a_stop_ends_a_turn_after_the_event_under_way(
    outgoing: Deliveries, receiver: Receiver
) -> None:
    stopping: list[threading.Thread] = []

    def answer(_: Received) -> Answer:
        if not stopping:
            stopping.append(threading.Thread(target=outgoing.scheduler.stop))
            stopping[0].start()
            assert receiver.released.wait(PATIENCE)
        return 200

    receiver.answer = answer
    outgoing.tell(1, 2)
    others = set(threading.enumerate())
    outgoing.scheduler.start()
    receiver.wait_for(1)
    for thread in set(threading.enumerate()) - others:
        if thread.name == "delivery":
            thread.join(PATIENCE)
    receiver.released.set()
    stopping[0].join(PATIENCE)
    assert [told.status for told in outgoing.deliveries()] == [
        DeliveryStatus.DELIVERED,
        DeliveryStatus.PENDING,
    ]
