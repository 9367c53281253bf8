"""Sends agents into rooms: one thread that watches what is due, and a few that ask the agents.

An agent is asked to come with a ticket for a custom WebSocket. One that does not take the dispatch,
or takes it and does not join in time, is asked once more, with a ticket of its own; then the
dispatch has failed. An agent that was sent for a call leaves with it, unless others than agents are
still in the room: ``attendance`` sees to that.
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
from service.calls.ending import Switchboard
from service.clock import Millis
from service.domain import ids
from service.domain.agents import Agent, Dispatch, DispatchStatus
from service.domain.calls import Call, EndReason, Participant
from service.errors import BadGateway, Busy, ServiceError
from service.process.background import BackgroundThread
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

ATTEMPTS = 2

RETRY_SECONDS = 1
"""Between an attempt and the next: a program that is just being restarted is back then."""

TAKEN_SECONDS = 2 * ANSWER_SECONDS
"""How long an attempt is left alone. One that takes longer was cut off by the end of a process."""

THREADS = 8
"""Agents that are asked at a time."""

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
"""Seconds between two looks at what is due, unless the signal is set earlier."""


class Dispatcher(BackgroundThread):
    """Thread-safe. The threads start with ``start``, so after any fork."""

    def __init__(self, switchboard: Switchboard, invitations: DispatchRequests) -> None:
        super().__init__("dispatcher", switchboard.dispatches.signal)
        self._switchboard = switchboard
        self._clock = switchboard.clock
        self._dispatches = switchboard.dispatches
        self._invitations = invitations
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dispatcher")
        self._free = threading.Semaphore(THREADS)

    def stop(self, seconds: float | None = None) -> None:
        """Finish the attempts that have been begun, and no more."""
        super().stop(seconds)
        self._pool.shutdown()

    def send(self, agent: Agent, room_id: str, base: str, metadata: Mapping[str, Any]) -> Dispatch:
        """Ask an agent to come into a room, whatever calls are in it, and wait for its answer.

        It is asked again only where it says that it comes and does not. Raises ``BadGateway`` where
        it does not say so, ``Busy`` where too many requests wait already or there is no room for
        another call, and ``Forbidden`` where the room does not let it in.
        """
        dispatch_id, at = ids.new_dispatch_id(), self._clock.now()
        with self._switchboard.waiters.seat(dispatch_id) as seat:
            if seat is None:
                raise Busy("Too many requests are waiting for an answer already.")
            ticket, ref = self._ticket(agent, room_id, None)
            dispatch = Dispatch(
                id=dispatch_id,
                agent_id=agent.id,
                call_id=None,
                room_id=ticket.room_id or room_id,
                base=base,
                metadata=metadata,
                status=DispatchStatus.PENDING,
                attempts=0,
                due_at=at + TAKEN_SECONDS * 1000,
                created_at=at,
                ticket_id=ticket.id,
            )
            self._dispatches.add(dispatch)
            refusal = self._ask(agent, dispatch, None, ticket, ref)
            if refusal is not None and self._miss(dispatch, refusal, is_last=True):
                raise BadGateway(f"The agent {refusal}.")
            return dispatch

    def work(self) -> None:
        """Do what is due: give up on those who have not joined, and have others asked."""
        now = self._clock.now()
        for dispatch in self._dispatches.overdue(now):
            self._miss(dispatch, f"did not join within {JOIN_SECONDS} s")
        while (due := self._take(now)) is not None:
            self._pool.submit(self._attend, due)

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
        """How long there is nothing to do. What is due already waits for a thread."""
        due_at = self._dispatches.next_due()
        if due_at is None:
            return LONGEST_PAUSE
        return min(max((due_at - self._clock.now()) / 1000, SHORTEST_PAUSE), LONGEST_PAUSE)

    def _take(self, now: Millis) -> Dispatch | None:
        """What is due for an attempt, where there is a thread free for it."""
        if self._switchboard.handover.refusal or not self._free.acquire(blocking=False):
            return None
        dispatch = None
        try:
            dispatch = self._dispatches.take(now, now + TAKEN_SECONDS * 1000)
            return dispatch
        finally:
            if dispatch is None:
                self._free.release()

    def _attend(self, dispatch: Dispatch) -> None:
        try:
            self._attempt(dispatch)
        except Exception:
            # It is due again when its time is up.
            logger.exception("an agent could not be sent for", extra=_about(dispatch))
        finally:
            self._free.release()
            self._dispatches.signal.set()

    def _attempt(self, dispatch: Dispatch) -> None:
        call, agent = self._call(dispatch), self._switchboard.agents.find(dispatch.agent_id)
        if agent is None:
            self._miss(dispatch, "is not known here", is_last=True)
            return
        if call is not None and not call.status.is_live:
            self._miss(dispatch, "was too late: the call is over", is_last=True)
            return
        if dispatch.ticket_id is not None:
            self._void(dispatch.ticket_id)
        try:
            ticket, ref = self._ticket(agent, dispatch.room_id, call)
        except ServiceError as error:
            self._miss(dispatch, f"was not asked ({error.message})")
            return
        ticketed = self._dispatches.ticketed(dispatch, ticket.id)
        if ticketed is None:
            self._void(ticket.id)
            return
        refusal = self._ask(agent, ticketed, call, ticket, ref)
        if refusal is not None:
            self._miss(ticketed, refusal)

    def _ask(
        self, agent: Agent, dispatch: Dispatch, call: Call | None, ticket: Call, ref: str
    ) -> str | None:
        """Why the agent does not come, if it says so or says nothing."""
        going_on = self._switchboard.sessions.ongoing(dispatch.room_id)
        session_id = None if going_on is None else going_on.id
        refusal = self._invitations.send(
            DispatchRequest(agent, dispatch, call, session_id, ticket, ref)
        )
        if refusal is not None:
            return f"did not take the dispatch: {refusal}"
        logger.info("agent %s is on its way", agent.id, extra=_about(dispatch))
        self._dispatches.sent(dispatch, self._clock.now() + JOIN_SECONDS * 1000)
        return None

    def _ticket(self, agent: Agent, room_id: str, call: Call | None) -> tuple[Call, str]:
        who = Participant(
            ids.new_participant_id(), agent.name, {"agent": True, "agentId": agent.id}
        )
        return self._switchboard.invite(room_id, who, None if call is None else call.region)

    def _miss(self, dispatch: Dispatch, detail: str, *, is_last: bool = False) -> bool:
        """Have the agent asked once more, or give up. False where it has joined after all."""
        now, call = self._clock.now(), self._call(dispatch)
        is_last |= dispatch.attempts + 1 >= ATTEMPTS
        is_last |= call is not None and not call.status.is_live
        due_at = None if is_last else now + RETRY_SECONDS * 1000
        if self._dispatches.missed(dispatch, detail, now, due_at) is None:
            return False
        logger.warning("agent %s %s", dispatch.agent_id, detail, extra=_about(dispatch))
        if dispatch.ticket_id is not None:
            self._void(dispatch.ticket_id)
        return True

    def _void(self, ticket_id: str) -> None:
        """See to it that nobody comes by this ticket."""
        ticket = self._switchboard.calls.get(ticket_id)
        self._switchboard.hang_up(ticket, EndReason.NO_SOCKET, None)

    def _call(self, dispatch: Dispatch) -> Call | None:
        """The call that the agent is sent for, as it is now."""
        call_id = dispatch.call_id
        return None if call_id is None else self._switchboard.calls.get(call_id)


def _about(dispatch: Dispatch) -> Mapping[str, str]:
    return about(dispatch.call_id, dispatch.room_id, dispatch_id=dispatch.id)
