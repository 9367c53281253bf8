"""Transactions that touch the same call, session and room take their locks in one order."""

from __future__ import annotations

from collections.abc import Callable

from service.domain.agents import Assignment
from service.domain.calls import WEBSOCKET, Call, CallStatus, EndReason, Participant
from service.domain.ids import new_call_id
from service.domain.webhooks import Subscription
from service.errors import Conflict
from service.storage.agents.dispatches import Dispatches
from service.storage.calls import rows
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from service.storage.webhooks.subscriptions import Subscriptions
from tests.support.races import at_once
from tests.support.records import a_call, a_subscription

ROUNDS = 12


class SharedSession:
    """A phone with the ticket of its agent, and another phone, in one session."""

    def __init__(self, database: Database) -> None:
        self.calls = Calls(database)
        self.dispatches = Dispatches(database)
        self.phone = self._answered(a_call(agent=Assignment("agent_1", "https://a.example", {})))
        self.other = self._answered(a_call())
        self.agent = a_call(provider=WEBSOCKET, connector_id=None)
        assert self.calls.admit(self.agent, new_call_id(), 10_000)
        (dispatch,) = self.dispatches.of_call(self.phone.id)
        ticketed = self.dispatches.ticketed(dispatch, self.agent.id)
        assert ticketed
        self.dispatch = ticketed

    def claimed(self, call: Call) -> str:
        """Return the leg that is about to start the call."""
        leg_id, ref = new_call_id(), new_call_id()
        assert self.calls.reissue(call.id, ref, 99_000, lambda place: [])
        self.calls.claim(ref, call.provider, leg_id, 5_000)
        return leg_id

    def end(self, call: Call) -> Call | None:
        return self.calls.end(call.id, EndReason.CALLER_HUNG_UP, 9_000)

    def _answered(self, call: Call) -> Call:
        assert self.calls.admit(call, new_call_id(), 10_000)
        answered = self.calls.answered(call.id, self.claimed(call), "s1", 5_000)
        assert answered
        return answered


def test_an_agent_joins_beside_a_transaction_that_holds_its_phone(
    migrated_postgres: Database,
) -> None:
    shared = SharedSession(migrated_postgres)
    leg_id = shared.claimed(shared.agent)
    with migrated_postgres.write() as connection:
        assert rows.locked(connection, shared.phone.id)
        (joined,) = at_once(
            1, lambda _: shared.calls.answered(shared.agent.id, leg_id, "s1", 6_000)
        )
    assert isinstance(joined, Call)
    assert joined.status is CallStatus.ANSWERED


def test_transactions_around_one_session_never_deadlock(
    migrated_postgres: Database,
) -> None:
    rooms, subscriptions = Rooms(migrated_postgres), Subscriptions(migrated_postgres)
    receivers = ReceiverLeases(migrated_postgres, "nd_1")
    outbox, steering = Outbox(migrated_postgres), StoredSteering(migrated_postgres)
    rooms.ensure("abcd-efgh-ijkl", 1_000)

    def round_of(shared: SharedSession, subscription: Subscription) -> list[object]:
        phone, other, agent = shared.phone, shared.other, shared.agent
        lease = receivers.claim(subscription.id)
        assert lease
        agents_leg, phones_leg = shared.claimed(agent), shared.claimed(phone)
        elsewhere = Participant("p2", "Somebody", {})
        works: list[Callable[[], object]] = [
            lambda: shared.calls.answered(agent.id, agents_leg, "s1", 6_000),
            lambda: shared.end(phone),
            lambda: shared.calls.answered(phone.id, phones_leg, "s1", 6_000),
            lambda: shared.end(agent),
            lambda: shared.calls.detached(other.id, other.leg_id or "", 6_000, None, None),
            lambda: steering.move(other.id, "room-2", elsewhere, 6_000),
            lambda: shared.end(other),
            lambda: shared.dispatches.missed(shared.dispatch, "was late", 6_000, None),
            lambda: subscriptions.delete(subscription.id, 6_000),
            lambda: outbox.give_up(lease, 6_000, "gone"),
            lambda: rooms.deactivate("abcd-efgh-ijkl", 6_000),
        ]
        return at_once(len(works), lambda index: works[index]())

    for _ in range(ROUNDS):
        subscription = a_subscription()
        subscriptions.add(subscription)
        done = round_of(SharedSession(migrated_postgres), subscription)
        failed = [each for each in done if isinstance(each, Exception)]
        # A call that is over already cannot be moved.
        assert [each for each in failed if not isinstance(each, Conflict)] == []
