"""The dispatcher of agents: a thread that finds due dispatches, and a few that ask the agents.

An agent is sent a ticket for a custom WebSocket. If it refuses the dispatch, or accepts it and does
not join in time, it is asked once more with a new ticket; then the dispatch fails. An agent that
was dispatched for a call leaves with it, unless participants who are no agents are still in the
room: ``SessionDeadlines`` ends its call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.agents.dispatch_request import (
    ANSWER_SECONDS,
    JOIN_SECONDS,
    DispatchRequest,
    DispatchRequests,
)
from service.calls.admission import Admission, Ticket
from service.calls.ending import CallEnding
from service.calls.serving_state import ServingState
from service.calls.waiting import Waiters
from service.clock import Clock, Millis
from service.domain import ids
from service.domain.agents import Agent, Dispatch, DispatchStatus
from service.domain.calls import Call, EndReason, Participant
from service.errors import BadGateway, Busy, ServiceError
from service.process.background import BackgroundThread
from service.storage.agents.agents import Agents
from service.storage.agents.dispatches import Dispatches
from service.storage.calls.calls import Calls
from service.storage.rooms.sessions import Sessions
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

ATTEMPTS = 2

RETRY_SECONDS = 1
"""Pause between two attempts, long enough for a program to restart."""

TAKEN_SECONDS = 2 * ANSWER_SECONDS
"""Timeout of an attempt. A longer one was interrupted by the end of its process, and any node may
repeat it."""

THREADS = 8
"""Most agents that are asked at a time."""

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two searches for due dispatches, unless the signal is set earlier. The signal is
of this process, and the dispatch may be left from another one.
"""


class Dispatcher(BackgroundThread):
    """Thread-safe. The threads start with ``start``, so after any fork."""

    def __init__(
        self,
        clock: Clock,
        agents: Agents,
        calls: Calls,
        dispatches: Dispatches,
        sessions: Sessions,
        requests: DispatchRequests,
        admission: Admission,
        ending: CallEnding,
        waiters: Waiters,
        serving: ServingState,
    ) -> None:
        super().__init__("dispatcher", dispatches.signal)
        self._clock = clock
        self._agents = agents
        self._calls = calls
        self._dispatches = dispatches
        self._sessions = sessions
        self._requests = requests
        self._admission = admission
        self._ending = ending
        self._waiters = waiters
        self._serving = serving
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dispatcher")
        self._free = threading.Semaphore(THREADS)

    def stop(self, seconds: float | None = None) -> None:
        """Finish the attempts that have begun, and start no more."""
        super().stop(seconds)
        self._pool.shutdown()

    def send(self, agent: Agent, room_id: str, base: str, metadata: Mapping[str, Any]) -> Dispatch:
        """Ask an agent to join a room, with or without calls in it, and wait for its answer.

        It is asked again only if it accepts and does not join. Raises ``BadGateway`` if it does not
        accept, ``Busy`` beyond ``MAX_CALLS`` or if too many requests are waiting, and ``Forbidden``
        where the room does not let it in.
        """
        dispatch_id, at = ids.new_dispatch_id(), self._clock.now()
        with self._waiters.slot(dispatch_id) as slot:
            if slot is None:
                raise Busy("Too many requests are waiting for an answer already.")
            ticket = self._ticket(agent, room_id, None)
            dispatch = Dispatch(
                id=dispatch_id,
                agent_id=agent.id,
                call_id=None,
                room_id=ticket.call.room_id or room_id,
                base=base,
                metadata=metadata,
                status=DispatchStatus.PENDING,
                attempts=0,
                due_at=at + TAKEN_SECONDS * 1000,
                created_at=at,
                ticket_id=ticket.call.id,
            )
            self._dispatches.add(dispatch)
            refusal = self._ask(agent, dispatch, None, ticket)
            if refusal is not None and self._fail_attempt(dispatch, refusal, is_last=True):
                raise BadGateway(f"The agent {refusal}.")
            return dispatch

    def work(self) -> None:
        """Process the due dispatches: fail those whose agent has not joined, and ask others."""
        now = self._clock.now()
        for dispatch in self._dispatches.overdue(now):
            self._fail_attempt(dispatch, f"did not join within {JOIN_SECONDS} s")
        while (due := self._take(now)) is not None:
            self._pool.submit(self._run_attempt, due)

    def _run(self) -> None:
        signal = self._dispatches.signal
        while not self._stopping.is_set():
            signal.clear()
            pause = 1.0
            try:
                self.work()
                pause = self._pause()
            except Busy as error:
                logger.warning("the dispatches could not be looked at: %s", error.message)
            except Exception:
                logger.exception("the dispatches could not be looked at")
            signal.wait(pause)

    def _pause(self) -> float:
        """Return the time until the next dispatch is due. One that is due waits for a thread."""
        due_at = self._dispatches.next_due()
        if due_at is None:
            return LONGEST_PAUSE
        return min(max((due_at - self._clock.now()) / 1000, SHORTEST_PAUSE), LONGEST_PAUSE)

    def _take(self, now: Millis) -> Dispatch | None:
        """Return a dispatch that is due for an attempt, if a thread is free for it."""
        serving = self._serving
        if serving.is_draining or serving.refusal or not self._free.acquire(blocking=False):
            return None
        dispatch = None
        try:
            dispatch = self._dispatches.take(now, now + TAKEN_SECONDS * 1000)
            return dispatch
        finally:
            if dispatch is None:
                self._free.release()

    def _run_attempt(self, dispatch: Dispatch) -> None:
        try:
            self._attempt(dispatch)
        except Exception:
            # The dispatch is due again after TAKEN_SECONDS.
            logger.exception("an agent could not be sent for", extra=_about(dispatch))
        finally:
            self._free.release()
            self._dispatches.signal.set()

    def _attempt(self, dispatch: Dispatch) -> None:
        call, agent = self._call(dispatch), self._agents.find(dispatch.agent_id)
        if agent is None:
            self._fail_attempt(dispatch, "is not known here", is_last=True)
            return
        if call is not None and not call.status.is_live:
            self._fail_attempt(dispatch, "was too late: the call is over", is_last=True)
            return
        if dispatch.ticket_id is not None:
            self._end_ticket(dispatch.ticket_id)
        try:
            ticket = self._ticket(agent, dispatch.room_id, call)
        except ServiceError as error:
            self._fail_attempt(dispatch, f"was not asked ({error.message})")
            return
        ticketed = self._dispatches.ticketed(dispatch, ticket.call.id)
        if ticketed is None:
            self._end_ticket(ticket.call.id)
            return
        if (ticketed.due_at or 0) - self._clock.now() < ANSWER_SECONDS * 1000:
            # Another node may take it before the agent has answered.
            logger.warning("a dispatch was delayed and is repeated", extra=_about(dispatch))
            return
        refusal = self._ask(agent, ticketed, call, ticket)
        if refusal is not None:
            self._fail_attempt(ticketed, refusal)

    def _ask(
        self, agent: Agent, dispatch: Dispatch, call: Call | None, ticket: Ticket
    ) -> str | None:
        """Ask the agent. Return its reason if it refuses or does not answer."""
        going_on = self._sessions.ongoing(dispatch.room_id)
        session_id = None if going_on is None else going_on.id
        refusal = self._requests.send(DispatchRequest(agent, dispatch, call, session_id, ticket))
        if refusal is not None:
            return f"did not take the dispatch: {refusal}"
        logger.info("agent %s is on its way", agent.id, extra=_about(dispatch))
        self._dispatches.sent(dispatch, self._clock.now() + JOIN_SECONDS * 1000)
        return None

    def _ticket(self, agent: Agent, room_id: str, call: Call | None) -> Ticket:
        who = Participant(
            ids.new_participant_id(), agent.name, {"agent": True, "agentId": agent.id}
        )
        return self._admission.invite(room_id, who, None if call is None else call.region)

    def _fail_attempt(self, dispatch: Dispatch, detail: str, *, is_last: bool = False) -> bool:
        """Plan another attempt, or fail the dispatch. Return false where the agent has joined."""
        now, call = self._clock.now(), self._call(dispatch)
        is_last |= dispatch.attempts + 1 >= ATTEMPTS
        is_last |= call is not None and not call.status.is_live
        due_at = None if is_last else now + RETRY_SECONDS * 1000
        if self._dispatches.missed(dispatch, detail, now, due_at) is None:
            return False
        logger.warning("agent %s %s", dispatch.agent_id, detail, extra=_about(dispatch))
        if dispatch.ticket_id is not None:
            self._end_ticket(dispatch.ticket_id)
        return True

    def _end_ticket(self, ticket_id: str) -> None:
        """End the ticket's call, so that the ticket cannot be used."""
        ticket = self._calls.get(ticket_id)
        self._ending.hang_up(ticket, EndReason.NO_SOCKET, None)

    def _call(self, dispatch: Dispatch) -> Call | None:
        """Return the stored call that the agent is dispatched for, if any."""
        call_id = dispatch.call_id
        return None if call_id is None else self._calls.get(call_id)


def _about(dispatch: Dispatch) -> Mapping[str, str]:
    return about(dispatch.call_id, dispatch.room_id, dispatch_id=dispatch.id)
