"""The dispatcher: agents are asked, asked once more, and leave with their call."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from service.agents.dispatch_request import DispatchRequests
from service.agents.dispatcher import Dispatcher
from service.calls.waiting import MOST
from service.domain.agents import Agent, Assignment, Dispatch
from service.domain.calls import Call, EndReason, LadderEvent, Participant
from service.errors import BadGateway, Busy, Forbidden, Gone
from service.http_client.client import HttpClient
from service.http_client.messages import HttpRequest, HttpResponse
from service.security.webhook_signing import Signer
from service.storage.agents.dispatches import Dispatches
from service.storage.database import Database
from tests.support.agent_servers import AgentServer, agent_server
from tests.support.clocks import FakeClock
from tests.support.harness import BASE, Harness, ref_of
from tests.support.keyrings import Keyring, a_pair, verify
from tests.support.nodes import another
from tests.support.receivers import broken_bodies, receiving
from tests.support.records import a_connector, a_rule, an_agent

PATIENCE = 20


class Watched(HttpClient):
    """The real thing, which remembers for how long it was to wait."""

    def __init__(self, clock: FakeClock, *, allow_private: bool) -> None:
        super().__init__(clock, allow_private=allow_private)
        self.waits: list[float | None] = []

    def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        self.waits.append(options.get("seconds"))
        return super().send(request, **options)


class DispatchHarness(Harness):
    """With a dispatcher that runs, and remembers how long it waited for each answer."""

    def __init__(self, database: Database, clock: FakeClock, **changes: Any) -> None:
        super().__init__(database, clock, **{"webhook_allow_private": True, **changes})
        settings = self.services.settings
        self.http = Watched(clock, allow_private=settings.webhook_allow_private)
        signer = Signer(Keyring(a_pair()), clock)
        self.requests = DispatchRequests(settings, signer, self.http)
        self.dispatcher = self.another(self.stores.dispatches)
        self.dispatcher.start()

    def another(self, dispatches: Dispatches) -> Dispatcher:
        return Dispatcher(
            self.steady,
            self.stores.agents,
            self.calls,
            dispatches,
            self.stores.sessions,
            self.requests,
            self.admission,
            self.ending,
            self.waiters,
            self.serving,
        )

    def stop(self) -> None:
        self.dispatcher.stop()
        self.http.close()
        super().stop()

    def employ(self, program: AgentServer) -> Agent:
        agent = an_agent(url=program.url)
        self.stores.agents.add(agent)
        return agent

    def phone(self, agent: Agent, metadata: Mapping[str, Any] | None = None, **rule: Any) -> Call:
        """A phone that is in its room, and whose rule names the agent."""
        extra = {"agent_id": agent.id, "agent_metadata": metadata}
        self.stores.routing_rules.add(a_rule(extra=extra, **rule))
        connector = self.connect(a_connector())
        self.start(ref_of(self.webhook(connector)), connector.provider)
        call: Call = self.call(connector)
        return call

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.stores.dispatches.signal.set()

    def of(self, call: Call) -> Dispatch:
        return self.stores.dispatches.of_call(call.id)[-1]

    def until(self, call: Call, status: str, attempts: int = 0) -> Dispatch:
        """The dispatch of a call, once that has come about."""
        eventually(lambda: (self.of(call).status, self.of(call).attempts) == (status, attempts))
        return self.of(call)

    def refuses(self, ref: str) -> None:
        """Return once all calls but that of the phone are over, and make sure of this ticket."""
        eventually(lambda: self.calls.live() == 1)
        with pytest.raises(Gone):
            self.admission.claim("websocket", ref)

    def agent_steps(self, call: Call) -> list[str]:
        """The details of the ladder's steps of the agent, without its id."""
        steps = self.calls.get(call.id).steps
        texts = [step.detail or "" for step in steps if step.event is LadderEvent.AGENT]
        return [text.split(" ", 2)[2] for text in texts]


def eventually(holds: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        pause.wait(0.01)


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[DispatchHarness]:
    harness = DispatchHarness(database, clock)
    yield harness
    harness.stop()


def test_agent_receives_the_call_and_joins_with_its_ticket(harness: DispatchHarness) -> None:
    with agent_server() as program:
        agent = harness.employ(program)
        call = harness.phone(agent, {"team": "support"})
        asked = program.wait_for(1)
        dispatch = harness.until(call, "sent")
        ticket = harness.calls.get(dispatch.ticket_id or "")
        assert asked.document == {
            "agentId": agent.id,
            "callId": call.id,
            "roomId": "rule-room-0001",
            "sessionId": "s1",
            "wsUrl": f"wss://voice.example.com/videosdk?ref={asked.ref}",
            "expiresIn": 10,
            "from": "+14155550100",
            "to": "+14155550199",
            "metadata": {"team": "support"},
        }
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["x-patchbay-dispatch"] == dispatch.id
        assert asked.headers["x-patchbay-key"] == a_pair().id
        signature = b64decode(asked.headers["videosdk-signature"])
        verify(a_pair().public_key, signature, asked.body)
        assert ticket.participant == Participant(
            ticket.participant.id, "Echo", {"agent": True, "agentId": agent.id}
        )
        harness.start(asked.ref, "websocket")
        assert harness.of(call).status == "joined"
        harness.advance(60)
    assert harness.agent_steps(call) == ["was sent for", "joined"]
    assert len(program.asked) == 1
    assert harness.http.waits == [5]


def test_hidden_number_is_masked_for_the_agent_as_for_the_room(harness: DispatchHarness) -> None:
    with agent_server() as program:
        harness.phone(harness.employ(program), hide_phone_number=True)
        document = program.wait_for(1).document
    assert (document["from"], document["to"]) == ("***00", "+14155550199")


def test_public_url_and_region_decide_the_socket_url(database: Database, clock: FakeClock) -> None:
    for settings, base in (
        ({"public_url": "https://other.example.com"}, "wss://other.example.com"),
        ({"regions": {"us002": "wss://us.example.com"}}, "wss://us.example.com"),
    ):
        harness = DispatchHarness(database, clock, **settings)
        with agent_server() as program:
            agent = harness.employ(program)
            ticket = Assignment(agent.id, BASE)
            _, ref = harness.invite("r1", Participant("p", "P"), "us002", ticket)
            harness.start(ref, "websocket")
            document = program.wait_for(1).document
        harness.stop()
        assert document["wsUrl"].startswith(f"{base}/videosdk?ref=vs_")


def test_agent_of_a_ticket_is_dispatched_when_it_is_used(harness: DispatchHarness) -> None:
    with agent_server() as program:
        agent = harness.employ(program)
        call, ref = harness.invite(
            "r1", Participant("ann", "Ann"), None, Assignment(agent.id, BASE, {"a": 1})
        )
        harness.start(ref, "websocket")
        document = program.wait_for(1).document
        harness.until(call, "sent")
    assert (document["callId"], document["roomId"]) == (call.id, "r1")
    assert (document["from"], document["to"], document["metadata"]) == ("ann", "r1", {"a": 1})


def test_agent_that_refuses_is_asked_once_more_with_a_new_ticket(
    harness: DispatchHarness,
) -> None:
    with agent_server(500, 503) as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "pending", attempts=1)
        harness.advance(1)
        first, second = program.wait_for(1), program.wait_for(2)
        failed = harness.until(call, "failed", attempts=2)
        harness.advance(60)
    assert (failed.due_at, failed.ticket_id) == (None, None)
    assert first.ref != second.ref
    assert first.headers["x-patchbay-dispatch"] == second.headers["x-patchbay-dispatch"]
    for asked in (first, second):
        harness.refuses(asked.ref)
    assert len(program.asked) == 2
    assert harness.agent_steps(call) == [
        "was sent for",
        "did not take the dispatch: answered 500, and is sent for again",
        "did not take the dispatch: answered 503",
    ]


def test_second_attempt_may_succeed(harness: DispatchHarness) -> None:
    with agent_server(500, 202) as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "pending", attempts=1)
        harness.advance(1)
        asked = program.wait_for(2)
        harness.until(call, "sent", attempts=1)
        harness.start(asked.ref, "websocket")
    assert harness.of(call).status == "joined"
    assert harness.agent_steps(call)[-1] == "joined"


def test_agent_that_accepts_and_does_not_join_is_asked_once_more(
    harness: DispatchHarness,
) -> None:
    with agent_server() as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "sent")
        harness.advance(9.999)
        assert harness.of(call).attempts == 0
        harness.advance(0.001)
        harness.until(call, "pending", attempts=1)
        harness.refuses(program.wait_for(1).ref)
        harness.advance(1)
        harness.until(call, "sent", attempts=1)
        harness.advance(10)
        harness.until(call, "failed", attempts=2)
        harness.refuses(program.wait_for(2).ref)
    assert harness.agent_steps(call) == [
        "was sent for",
        "did not join within 10 s, and is sent for again",
        "did not join within 10 s",
    ]


def test_agent_that_joins_before_it_answers_has_joined(
    harness: DispatchHarness,
) -> None:
    with agent_server(
        500, on_request=lambda asked: harness.start(asked.ref, "websocket") and None
    ) as it:
        call = harness.phone(harness.employ(it))
        harness.until(call, "joined")
        harness.advance(60)
    assert harness.agent_steps(call) == ["was sent for", "joined"]


def test_deleted_agent_is_not_asked(harness: DispatchHarness) -> None:
    call = harness.phone(an_agent())
    harness.until(call, "failed", attempts=1)
    assert harness.agent_steps(call) == ["was sent for", "is not known here"]


def test_ladder_has_the_reason_where_an_agent_does_not_answer(
    harness: DispatchHarness,
) -> None:
    with agent_server() as program:
        agent = harness.employ(program)
    call = harness.phone(agent)
    harness.until(call, "pending", attempts=1)
    assert harness.agent_steps(call)[-1].startswith("did not take the dispatch: no answer")
    assert agent.url not in str(harness.calls.get(call.id).steps)


@pytest.mark.parametrize("broken", ["a length too large", "a chunk cut off", "a reset"])
def test_agent_whose_answer_breaks_off_has_accepted(harness: DispatchHarness, broken: str) -> None:
    with receiving() as receiver:
        receiver.script(broken_bodies(202)[broken])
        agent = an_agent(url=receiver.url)
        harness.stores.agents.add(agent)
        call = harness.phone(agent)
        harness.until(call, "sent")
        assert len(receiver.received) == 1


def test_agent_at_a_private_address_is_asked_only_if_allowed(
    sqlite_database: Database, clock: FakeClock
) -> None:
    harness = DispatchHarness(sqlite_database, clock, webhook_allow_private=False)
    with agent_server() as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "pending", attempts=1)
        harness.stop()
    assert "WEBHOOK_ALLOW_PRIVATE" in harness.agent_steps(call)[-1]
    assert program.asked == []


def test_agent_is_not_asked_beyond_the_limit_of_calls(
    sqlite_database: Database, clock: FakeClock
) -> None:
    harness = DispatchHarness(sqlite_database, clock, max_calls=1)
    with agent_server() as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "pending", attempts=1)
        harness.stop()
    assert harness.agent_steps(call)[-1] == (
        "was not asked (All 1 calls are taken.), and is sent for again"
    )
    assert program.asked == []


def test_no_agent_is_asked_once_the_call_is_over(harness: DispatchHarness) -> None:
    with agent_server(500) as program:
        call = harness.phone(harness.employ(program))
        harness.until(call, "pending", attempts=1)
        harness.ending.hang_up(call, EndReason.CALLER_HUNG_UP, None)
        harness.advance(1)
        harness.until(call, "failed", attempts=2)
    assert len(program.asked) == 1


def test_no_agent_is_asked_while_draining(harness: DispatchHarness) -> None:
    with agent_server() as program:
        agent = harness.employ(program)
        extra = {"agent_id": agent.id}
        harness.stores.routing_rules.add(a_rule(extra=extra))
        connector = harness.connect(a_connector())
        spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
        harness.serving.begin_drain()
        now = harness.clock.now()
        assert harness.calls.answered(spec.call_id, spec.leg_id, "s1", now)
        call = harness.call(connector)
        harness.advance(5)
        assert harness.of(call).status == "pending"
        harness.serving.is_draining = False
        harness.advance(0)
        harness.until(call, "sent")


def test_slow_agent_delays_no_other(harness: DispatchHarness) -> None:
    wait = threading.Event()
    with agent_server(on_request=lambda _: wait.wait(PATIENCE) and None) as slow:
        with agent_server() as quick:
            first = harness.phone(harness.employ(slow), numbers=("+14155550199",))
            slow.wait_for(1)
            agent = harness.employ(quick)
            second, ref = harness.invite(
                "r2", Participant("ann", "Ann"), None, Assignment(agent.id, BASE)
            )
            harness.start(ref, "websocket")
            harness.until(second, "sent")
            assert harness.of(first).status == "pending"
        wait.set()
        harness.until(first, "sent")


def test_interrupted_attempt_is_repeated_by_the_next_process(
    database: Database, clock: FakeClock
) -> None:
    before = DispatchHarness(database, clock)
    before.dispatcher.stop()
    with agent_server() as program:
        call = before.phone(before.employ(program))
        taken = before.stores.dispatches.take(clock.now(), clock.now() + 10_000)
        assert taken is not None
        ticket, ref = before.invite("rule-room-0001", Participant("a", "A"), None)
        assert before.stores.dispatches.ticketed(taken, ticket.id)
        before.stop()
        after = DispatchHarness(database, clock)
        after.advance(10)
        after.until(call, "sent")
        with pytest.raises(Gone):
            after.admission.claim("websocket", ref)
        after.stop()


def test_two_processes_ask_each_agent_once(database: Database, clock: FakeClock) -> None:
    with another(database) as second, agent_server() as program:
        one, other = DispatchHarness(database, clock), DispatchHarness(second, clock)
        agent = one.employ(program)
        refs = []
        for number in range(6):
            assigned = Assignment(agent.id, BASE)
            who = Participant(f"p{number}", "Ann")
            call, ref = one.invite(f"room-{number}", who, None, assigned)
            refs.append((call, ref))
        for _, ref in refs:
            one.start(ref, "websocket", f"s-{ref}")
        # The signal of the other process is its own.
        other.advance(0)
        for call, _ in refs:
            one.until(call, "sent")
        one.stop()
        other.stop()
    assert len({asked.headers["x-patchbay-dispatch"] for asked in program.asked}) == 6
    assert len(program.asked) == 6


def test_attempt_that_was_delayed_does_not_ask(database: Database, clock: FakeClock) -> None:
    """Another process may have taken the dispatch."""

    class Slow(Dispatches):
        def ticketed(self, dispatch: Dispatch, ticket_id: str) -> Dispatch | None:
            ticketed = super().ticketed(dispatch, ticket_id)
            if not delayed.is_set():
                clock.advance(6)
                delayed.set()
            return ticketed

    delayed = threading.Event()
    harness = DispatchHarness(database, clock)
    harness.dispatcher.stop()
    slow = harness.another(Slow(database))
    with agent_server() as program:
        call = harness.phone(harness.employ(program))
        slow.start()
        assert delayed.wait(PATIENCE)
        harness.advance(4)
        harness.until(call, "sent")
        slow.stop()
    assert len(program.asked) == 1


def test_agent_leaves_with_its_call(harness: DispatchHarness) -> None:
    with agent_server() as program:
        call = harness.phone(harness.employ(program))
        asked = program.wait_for(1)
        dispatch = harness.until(call, "sent")
        harness.start(asked.ref, "websocket")
        harness.session_deadlines.sweep()
        assert harness.of(call).status == "joined"
        harness.ending.hang_up(call, EndReason.CALLER_HUNG_UP, None)
        harness.session_deadlines.sweep()
        assert harness.of(call).status == "left"
    assert harness.calls.get(dispatch.ticket_id or "").end_reason is EndReason.ALONE


def test_agent_is_dispatched_into_a_room_without_a_call(harness: DispatchHarness) -> None:
    with agent_server() as program:
        agent = harness.employ(program)
        _, ref = harness.invite("r1", Participant("ann", "Ann"), None)
        harness.start(ref, "websocket", "s7")
        dispatch = harness.dispatcher.send(agent, "r1", BASE, {"a": 1})
        asked = program.wait_for(1)
        assert asked.document == {
            "agentId": agent.id,
            "callId": None,
            "roomId": "r1",
            "sessionId": "s7",
            "wsUrl": f"wss://voice.example.com/videosdk?ref={asked.ref}",
            "expiresIn": 10,
            "from": None,
            "to": None,
            "metadata": {"a": 1},
        }
        harness.start(asked.ref, "websocket", "s7")
        assert harness.stores.dispatches.get(dispatch.id).status == "joined"


def test_agent_that_does_not_join_is_asked_again_without_a_call_too(
    harness: DispatchHarness,
) -> None:
    with agent_server() as program:
        dispatch = harness.dispatcher.send(harness.employ(program), "r1", BASE, {})
        harness.advance(10)
        find = harness.stores.dispatches.get
        eventually(lambda: find(dispatch.id).attempts == 1)
        harness.advance(1)
        program.wait_for(2)
        eventually(lambda: find(dispatch.id).status == "sent")
        harness.advance(10)
        eventually(lambda: find(dispatch.id).status == "failed")


def test_refusal_is_raised_and_not_retried_without_a_call(
    harness: DispatchHarness,
) -> None:
    with agent_server(500) as program:
        agent = harness.employ(program)
        with pytest.raises(BadGateway, match="The agent did not take the dispatch: answered 500"):
            harness.dispatcher.send(agent, "r1", BASE, {})
        harness.advance(60)
        assert harness.calls.live() == 0
        assert harness.stores.dispatches.next_due() is None
    assert len(program.asked) == 1


def test_no_agent_is_asked_into_a_deactivated_room(harness: DispatchHarness) -> None:
    with agent_server() as program:
        harness.stores.rooms.ensure("r1", 1)
        harness.stores.rooms.deactivate("r1", 1)
        with pytest.raises(Forbidden):
            harness.dispatcher.send(harness.employ(program), "r1", BASE, {})
    assert program.asked == []


def test_only_a_few_requests_wait_for_agents_at_a_time(harness: DispatchHarness) -> None:
    wait = threading.Event()
    with agent_server(on_request=lambda _: wait.wait(PATIENCE) and None) as program:
        agent = harness.employ(program)
        threads = [
            threading.Thread(target=harness.dispatcher.send, args=(agent, "r1", BASE, {}))
            for _ in range(MOST)
        ]
        for thread in threads:
            thread.start()
        program.wait_for(MOST)
        with pytest.raises(Busy):
            harness.dispatcher.send(agent, "r1", BASE, {})
        wait.set()
        for thread in threads:
            thread.join(PATIENCE)
