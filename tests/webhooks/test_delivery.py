"""Events reach real servers in order, however these behave; only the clock is a test's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from service import __version__
from service.domain.webhooks import Delivery, DeliveryStatus
from service.http_client.client import HttpClient
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.webhooks.outbox import KEPT, SURPLUS, Outbox
from service.webhooks import delivery as couriers
from service.webhooks.attempts import EXPIRED, GONE, MOST
from service.webhooks.delivery import SUSPECTS, THREADS, DeliveryScheduler
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


class Initials:
    """Signs with the first letters."""

    def headers(self, body: bytes) -> dict[str, str]:
        return {"videosdk-signature": body[:2].decode()}


class Post:
    """An outbox, a courier and receivers."""

    def __init__(self, database: Database, clock: FakeClock, *, allow_private: bool) -> None:
        self.database = database
        self.clock = clock
        self.outbox = Outbox(database)
        self.outgoing = HttpClient(clock, allow_private=allow_private)
        self.courier = self.another()

    def another(self) -> DeliveryScheduler:
        """A courier that knows nothing of the one before."""
        return DeliveryScheduler(
            self.outbox, Initials(), self.outgoing, self.clock, self.signal, chance=lambda: 0.5
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
        """Look until it holds: what a receiver was told is written down a moment later."""
        moment = threading.Event()
        for _ in range(PATIENCE * 100):
            if holds(found := self.deliveries(receiver)):
                return found
            moment.wait(0.01)
        raise AssertionError(self.deliveries(receiver))

    def finished(self, receiver: str = "wh_1") -> list[Delivery]:
        """Once nothing is pending."""
        return self.eventually(
            lambda some: all(one.status is not DeliveryStatus.PENDING for one in some), receiver
        )

    def tried(self, attempts: int, receiver: str = "wh_1") -> Delivery:
        """The oldest, once there were that many attempts."""
        return self.eventually(lambda some: some[0].attempts >= attempts, receiver)[0]


@contextmanager
def a_post(database: Database, clock: FakeClock, *, allow_private: bool = True) -> Iterator[Post]:
    post = Post(database, clock, allow_private=allow_private)
    try:
        yield post
    finally:
        post.courier.stop()
        post.outgoing.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def post(sqlite_database: Database, clock: FakeClock, receiver: Receiver) -> Iterator[Post]:
    subscribe(sqlite_database, "wh_1", receiver.url + "/hook?secret=1")
    with a_post(sqlite_database, clock) as post:
        yield post
        # Or the courier would wait for it.
        receiver.released.set()


def test_an_event_arrives_as_it_was_written_with_what_is_said_of_it(
    database: Database, clock: FakeClock, receiver: Receiver
) -> None:
    subscribe(database, "wh_1", receiver.url + "/hook?secret=1")
    with a_post(database, clock) as post:
        post.courier.start()
        post.tell(1, body='{"name":"Zoë"}')
        (request,) = receiver.wait_for(1)
        (told,) = post.finished()
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


def test_a_backlog_arrives_in_order_on_one_connection(post: Post, receiver: Receiver) -> None:
    numbers = range(2 * MOST + 5)
    post.tell(*numbers)
    post.courier.start()
    post.finished()
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
    ids=["failing", "gone", "no news", "dead", "redirecting", "redirecting to nowhere"],
)
def test_what_does_not_arrive_is_sent_again_before_anything_later(
    post: Post, receiver: Receiver, trouble: Answer, answer: int | None, error: str
) -> None:
    receiver.script(200, trouble, trouble)
    post.tell(1, 2, 3)
    post.courier.start()
    second = post.eventually(lambda some: some[1].attempts == 1)[1]
    assert (second.status, second.answer, second.error) == (DeliveryStatus.PENDING, answer, error)
    assert second.due_at == post.clock.now() + 1_500
    post.pass_time(1.5)
    second = post.eventually(lambda some: some[1].attempts == 2)[1]
    assert second.due_at == post.clock.now() + 3_000
    post.pass_time(3)
    assert [told.attempts for told in post.finished()] == [1, 3, 1]
    assert receiver.bodies == ["1", "2", "2", "2", "3"]
    again = receiver.received[1:4]
    assert {request.delivery_id for request in again} == {"dl_wh_1_2"}
    assert [request.headers["x-patchbay-attempt"] for request in again] == ["1", "2", "3"]


def test_an_accepted_event_is_not_sent_again(post: Post, receiver: Receiver) -> None:
    answers = broken_bodies(200)
    numbers = range(len(answers) + 1)
    receiver.script(*answers.values())
    post.tell(*numbers)
    post.courier.start()
    assert {(told.status, told.attempts, told.answer) for told in post.finished()} == {
        (DeliveryStatus.DELIVERED, 1, 200)
    }
    assert receiver.bodies == [str(number) for number in numbers]


def test_nothing_is_sent_again_before_its_time(post: Post, receiver: Receiver) -> None:
    receiver.script(500)
    post.tell(1)
    post.courier.start()
    post.tried(1)
    post.pass_time(1.4)
    subscribe(post.database, "wh_2", receiver.url + "/other")
    post.tell(9, receiver="wh_2")
    post.finished("wh_2")
    assert receiver.bodies == ["1", "9"]
    post.pass_time(0.1)
    receiver.wait_for(3)


def test_a_redirect_to_another_address_is_followed(post: Post, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.script(redirect(308, other.url + "/there"))
        post.tell(1)
        post.courier.start()
        assert post.finished()[0].status is DeliveryStatus.DELIVERED
        (request,) = other.received
    assert (request.path, request.body) == ("/there", b"1")
    assert request.headers["videosdk-signature"] == "1"


def test_a_private_address_is_not_sent_to_unless_it_is_allowed(
    sqlite_database: Database, clock: FakeClock, receiver: Receiver
) -> None:
    subscribe(sqlite_database, "wh_1", receiver.url)
    with a_post(sqlite_database, clock, allow_private=False) as post:
        post.courier.start()
        post.tell(1)
        told = post.tried(1)
    assert told.error == ("The address is private: set WEBHOOK_ALLOW_PRIVATE=on to allow it.")
    assert receiver.received == ()


def test_a_receiver_that_is_gone_is_told_nothing_more(post: Post) -> None:
    post.tell(1, 2, receiver="wh_2")
    post.courier.start()
    assert [(told.status, told.error) for told in post.finished("wh_2")] == [
        (DeliveryStatus.DEAD, GONE)
    ] * 2


def test_an_event_is_tried_for_a_day_and_then_given_up_with_all_that_is_as_old(
    post: Post, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 500
    began = post.clock.now()
    post.tell(1, 2)
    post.clock.advance(60)
    post.tell(3)
    post.courier.start()
    attempts = 0
    while (told := post.tried(attempts + 1)).status is DeliveryStatus.PENDING:
        attempts = told.attempts
        assert told.due_at is not None
        post.pass_time((told.due_at - post.clock.now()) / 1000)
    assert post.clock.now() == began + DAY
    first, second, third = post.eventually(lambda some: some[1].status is DeliveryStatus.DEAD)
    assert (first.error, first.attempts) == ("It answered 500.", attempts + 1)
    assert (second.error, second.attempts) == (EXPIRED, 0)
    third = post.eventually(lambda some: (some[2].due_at or 0) > post.clock.now())[2]
    # The receiver gets no more attempts than before because one event follows another.
    assert third.due_at == post.clock.now() + LONGEST * 750
    assert set(receiver.bodies) == {"1"}
    receiver.answer = lambda _: 200
    post.pass_time(LONGEST)
    assert post.finished()[2].status is DeliveryStatus.DELIVERED


def test_what_expired_while_nobody_sent_it_is_sent_all_the_same(
    post: Post, receiver: Receiver
) -> None:
    post.tell(1, 2)
    post.clock.advance(2 * DAY / 1000)
    post.courier.start()
    assert [told.status for told in post.finished()] == [DeliveryStatus.DELIVERED] * 2
    assert receiver.bodies == ["1", "2"]


def test_a_redelivery_is_sent_at_once(post: Post, receiver: Receiver) -> None:
    receiver.script(500)
    post.tell(1)
    post.courier.start()
    post.tried(1)
    post.outbox.redeliver("wh_1", "dl_wh_1_1", post.clock.now())
    post.finished()
    assert receiver.bodies == ["1", "1"]


def test_of_what_was_told_the_newest_is_kept(post: Post) -> None:
    post.tell(*range(KEPT + SURPLUS + MOST))
    post.courier.start()
    post.eventually(lambda some: len(some) <= KEPT + SURPLUS)


def test_receivers_that_hang_delay_no_other(post: Post, receiver: Receiver) -> None:
    """As many as there are threads for them, each of them known to be one that fails."""
    with ExitStack() as stack:
        hanging = stack.enter_context(receiving())
        stack.callback(hanging.released.set)
        for number in range(THREADS - 1):
            subscribe(post.database, f"wh_h{number}", f"{hanging.url}/{number}")
            post.tell(1, receiver=f"wh_h{number}")
        hanging.answer = lambda _: hanging.hang
        post.courier.start()
        hanging.wait_for(THREADS - 1)
        post.tell(1, 2, 3)
        post.finished()
        assert receiver.bodies == ["1", "2", "3"]


def test_receivers_that_have_failed_hold_half_of_the_threads_at_most(
    post: Post, receiver: Receiver
) -> None:
    failing = SUSPECTS + 8
    with ExitStack() as stack:
        hanging = stack.enter_context(receiving())
        stack.callback(hanging.released.set)
        hanging.answer = lambda _: 500
        for number in range(failing):
            subscribe(post.database, f"wh_h{number}", f"{hanging.url}/{number}")
            post.tell(1, receiver=f"wh_h{number}")
        post.courier.start()
        hanging.wait_for(failing)
        for number in range(failing):
            post.tried(1, f"wh_h{number}")
        hanging.answer = lambda _: hanging.hang
        post.pass_time(10)
        hanging.wait_for(failing + SUSPECTS)
        post.tell(1, 2, 3)
        post.finished()
        assert receiver.bodies == ["1", "2", "3"]
        assert len(hanging.received) == failing + SUSPECTS
        # Each of the others has its attempt as soon as there is a thread for it.
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
    with a_post(sqlite_database, clock) as post:
        post.outbox = Counting(sqlite_database)
        post.courier = post.another()
        post.tell(*range(6))
        post.courier.start()
        post.finished()
        assert receiver.bodies == list("012345")
        assert post.outbox.turns == 3


class Away(Outbox):
    """An outbox whose database may be away."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_away = False
        self.asked = threading.Event()

    def pending(self, receiver: str, limit: int) -> tuple[Delivery, ...]:
        self._ask()
        return super().pending(receiver, limit)

    def waiting(self) -> Any:
        self._ask()
        return super().waiting()

    def delivered(self, delivery_id: str, at: int, answer: int) -> None:
        self._ask()
        super().delivered(delivery_id, at, answer)

    def _ask(self) -> None:
        if self.is_away:
            self.asked.set()
            raise OSError("the database is away")


@pytest.mark.parametrize("when", ["before", "while it is sent"])
def test_a_database_that_was_away_for_a_while_loses_nothing(
    sqlite_database: Database,
    clock: FakeClock,
    receiver: Receiver,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(couriers, "TROUBLE_SECONDS", 0.02)
    caplog.set_level(logging.INFO, "service.webhooks")
    outbox = Away(sqlite_database)

    def answer(_: Received) -> Answer:
        if when != "before" and len(receiver.received) == 1:
            outbox.is_away = True
        return 200

    receiver.answer = answer
    subscribe(sqlite_database, "wh_1", receiver.url + "/?secret=1")
    courier = DeliveryScheduler(
        outbox, Initials(), HttpClient(clock), clock, sqlite_database.signals[ChangeSignal.OUTBOX]
    )
    outbox.is_away = when == "before"
    write(sqlite_database, a_delivery(1), a_delivery(2))
    courier.start()
    assert outbox.asked.wait(PATIENCE)
    for _ in range(3):
        outbox.asked.clear()
        assert outbox.asked.wait(PATIENCE)
    outbox.is_away = False
    came = receiver.wait_for(2 if when == "before" else 3)
    courier.stop()
    assert [request.body for request in came] == (
        [b"1", b"2"] if when == "before" else [b"1", b"1", b"2"]
    )
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "have to wait" in line]) == 1
    assert said.count("webhooks go on") == 1
    assert "secret" not in caplog.text


def test_the_log_tells_of_a_receiver_that_begins_to_fail_and_is_well_again(
    post: Post, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service.webhooks")
    receiver.script(500, die, 500)
    post.tell(1, 2)
    post.courier.start()
    for attempts in (1, 2, 3):
        post.tried(attempts)
        post.pass_time(LONGEST)
    post.finished()
    post.courier.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "webhooks do not arrive at wh_1: It answered 500.",
        "webhooks arrive at wh_1 again, after 3 failures",
    ]
    assert "secret" not in caplog.text


def test_another_process_goes_on_where_the_last_one_was(post: Post, receiver: Receiver) -> None:
    receiver.script(500, 500, 500)
    post.tell(1)
    post.courier.start()
    for attempts in (1, 2):
        post.pass_time(post.tried(attempts) and LONGEST)
    told = post.tried(3)
    post.courier.stop()
    later = post.another()
    receiver.script(500)
    later.start()
    post.pass_time(LONGEST)
    again = post.tried(4)
    later.stop()
    assert told.due_at is not None
    assert again.due_at == (again.tried_at or 0) + 12_000


def test_a_second_start_starts_nothing(post: Post) -> None:
    post.courier.start()
    threads = threading.active_count()
    post.courier.start()
    assert threading.active_count() == threads


def test_nothing_begins_after_the_stop(post: Post, receiver: Receiver) -> None:
    post.courier.start()
    post.courier.stop()
    post.tell(1)
    assert receiver.received == ()
    assert post.deliveries()[0].attempts == 0


def test_a_stop_ends_a_turn_after_the_event_under_way(post: Post, receiver: Receiver) -> None:
    stopping: list[threading.Thread] = []

    def answer(_: Received) -> Answer:
        if not stopping:
            stopping.append(threading.Thread(target=post.courier.stop))
            stopping[0].start()
            assert receiver.released.wait(PATIENCE)
        return 200

    receiver.answer = answer
    post.tell(1, 2)
    others = set(threading.enumerate())
    post.courier.start()
    receiver.wait_for(1)
    for thread in set(threading.enumerate()) - others:
        if thread.name == "delivery":
            thread.join(PATIENCE)
    receiver.released.set()
    stopping[0].join(PATIENCE)
    assert [told.status for told in post.deliveries()] == [
        DeliveryStatus.DELIVERED,
        DeliveryStatus.PENDING,
    ]
