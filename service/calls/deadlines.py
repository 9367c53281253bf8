"""Deadlines of calls (to connect, to come back, to end), of sessions, and of phones left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock

from service.calls.ending import CallEnding, farewell, unconnected
from service.calls.serving_state import ServingState
from service.calls.steering import Steering
from service.clock import Clock, Millis
from service.domain import reconnection
from service.domain.calls import Call, EndReason
from service.domain.rooms import AutoCloseType
from service.errors import Busy, Contended
from service.media.engine.engine import Engine
from service.media.rooms.leg import LegSpec
from service.settings import Settings
from service.storage.agents.dispatches import Dispatches
from service.storage.calls.calls import Calls
from service.storage.calls.holds import StoredHolds
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MOST_LOCKED = 5
"""Locked calls that one sweep waits for. The rest is left to the next sweep."""


class SweepFailures:
    """Lets a sweep continue with the next call where one call cannot be ended."""

    def __init__(self) -> None:
        self._locks = 0

    @contextmanager
    def contained(self, call_id: str) -> Iterator[None]:
        """Log the failure to end this call.

        Raises ``Busy`` where other calls could not be ended either: the database is away, or so
        many calls are locked that the whole table may be.
        """
        try:
            yield
        except Contended as error:
            self._locks += 1
            logger.warning("a call is not ended yet: %s", error.message, extra=about(call_id))
            if self._locks == MOST_LOCKED:
                raise
        except Busy:
            raise
        except Exception:
            logger.exception("a call could not be ended", extra=about(call_id))


class Deadlines:
    """The deadlines of the calls of this node, and of those without a node. ``held`` is
    thread-safe; the rest is called by the recorder's thread.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        calls: Calls,
        holds: StoredHolds,
        engine: Engine,
        ending: CallEnding,
        steering: Steering,
        serving: ServingState,
        remote_holds: SimpleQueue[str],
    ) -> None:
        """``remote_holds`` has the calls that other nodes have told to hold."""
        self._settings = settings
        self._clock = clock
        self._database = database
        self._calls = calls
        self._holds = holds
        self._engine = engine
        self._ending = ending
        self._steering = steering
        self._serving = serving
        self._remote_holds = remote_holds
        self._allowed = 1000 * reconnection.seconds(settings.hold_seconds)
        self._began_at: Millis = 0
        self._is_interrupted = False
        self._lock = Lock()
        self._held_at: dict[str, Millis] = {}

    def begin(self) -> None:
        """Restart the deadlines of all calls, which lost their sockets with the last process."""
        self._began_at = self._clock.now()

    def interrupt(self) -> None:
        """Restart the deadlines of all calls once the database is back. Meanwhile any node may have
        told their providers to hold.
        """
        self._is_interrupted = True

    def held(self, call_id: str) -> None:
        """Note that the call's provider was told to hold. The next sweep stores it."""
        with self._lock:
            self._held_at[call_id] = self._clock.now()

    def sweep(self) -> None:
        """Store the holds, and end the calls whose time is up."""
        failures = SweepFailures()
        with suppress(Empty):
            while True:
                self.held(self._remote_holds.get_nowait())
        self._store_holds(failures)
        for call, reason, provided in self._due():
            with failures.contained(call.id), self._database.together():
                self._ending.hang_up(call, reason, None, provided)

    def _due(self) -> Iterator[tuple[Call, EndReason, Callable[[Call], bool]]]:
        """Yield the calls to end, their end reasons, and a condition to check again then: other
        nodes may change them meanwhile.

        A draining process ends none: its calls belong to the next one.
        """
        if self._serving.is_draining:
            return
        self._compare()
        now, node_id = self._clock.now(), self._calls.node_id
        if self._is_interrupted:
            self._is_interrupted, self._began_at = False, now
        waiting = self._calls.unclaimed(now, node_id)
        for call in (*waiting, *self._calls.lost(now - self._allowed, node_id)):
            if self._is_over(call):
                yield call, unconnected(call), self._is_over
        for call in self._calls.overlong(now, self._settings.max_call_seconds, node_id):
            yield call, EndReason.MAX_DURATION, self._is_overlong

    def _store_holds(self, failures: SweepFailures) -> None:
        for call_id, at in list(self._held_at.items()):
            with failures.contained(call_id):
                self._holds.extend(call_id, at + self._allowed)
                with self._lock:
                    if self._held_at[call_id] == at:
                        del self._held_at[call_id]

    def _is_overlong(self, call: Call) -> bool:
        limit = 1000 * self._settings.call_seconds(call.max_seconds)
        return call.answered_at is not None and call.answered_at + limit <= self._clock.now()

    def _is_over(self, call: Call) -> bool:
        """Return whether a call's time without a socket is up."""
        held_at = self._held_at.get(call.id)
        ends_at = reconnection.ends_at(
            call, self._allowed, began_at=self._began_at, held_at=held_at
        )
        return ends_at is not None and ends_at <= self._clock.now()

    def _compare(self) -> None:
        """Compare this process's sockets with the calls in the database. They differ where another
        process has changed the database, or where the answer to a commit was lost.

        A call that is over is hung up. A call that another process marked as detached is
        reattached. A call that is in another room or on another node, or is being transferred, is
        moved or released again: the command to this engine was lost.
        """
        try:
            specs = self._engine.legs()
        except TimeoutError:
            logger.warning("the media engine does not say which calls it has")
            return
        if not specs:
            return
        legs = {leg.leg_id: leg.call_id for leg in specs}
        for call_id, reason in self._calls.over(set(legs.values())).items():
            logger.warning("a call that is over still had a socket", extra=about(call_id))
            self._engine.hang_up(call_id, reason, farewell(reason))
        for call_id, leg_id in self._calls.detached_legs(self._calls.node_id).items():
            if leg_id is not None and legs.get(leg_id) == call_id:
                self._calls.reattached(call_id, leg_id)
        node_id = self._calls.node_id
        steered = {call.id: call for call in self._calls.steered(set(legs.values()), node_id)}
        for leg in specs:
            call = steered.get(leg.call_id)
            if call is None:
                continue
            is_here = call.node_id in (None, node_id)
            if call.is_transferring:
                self._steering.release_socket(call)
            elif not is_here or not _is_in_its_room(call, leg):
                self._steering.move_socket(call)


def _is_in_its_room(call: Call, leg: LegSpec) -> bool:
    return (call.room_id, call.participant.id) == (leg.room_id, leg.participant.id)


class SessionDeadlines:
    """The deadlines of sessions, of phones that are alone, and of agents whose call has ended.

    Each node keeps those of all nodes. The condition is checked again before a call is ended.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        calls: Calls,
        rooms: Rooms,
        sessions: Sessions,
        dispatches: Dispatches,
        ending: CallEnding,
        serving: ServingState,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._calls = calls
        self._rooms = rooms
        self._sessions = sessions
        self._dispatches = dispatches
        self._ending = ending
        self._serving = serving

    def sweep(self) -> None:
        """End the sessions whose time is up, phones that were alone for too long, and agents whose
        call has ended.
        """
        if self._serving.is_draining:
            # The calls belong to the next process.
            return
        now = self._clock.now()
        for session in self._sessions.overdue(now):
            logger.info("session %s of room %s has lasted long enough", session.id, session.room_id)
            room = self._rooms.get(session.room_id)
            if room.auto_close and room.auto_close.type is AutoCloseType.DEACTIVATE:
                # Before the calls end, or a participant could join in between.
                self._rooms.deactivate(room.id, now)
            self._end_calls(
                self._sessions.present(session.id),
                EndReason.SESSION_TIMEOUT,
                partial(_is_in, session.id),
            )
        dispatches, sessions = self._dispatches, self._sessions
        self._end_calls(
            dispatches.forsaken(),
            EndReason.ALONE,
            lambda call: call.id in dispatches.forsaken(call.id),
        )
        seconds = self._settings.alone_seconds
        if seconds:
            since = now - seconds * 1000
            self._end_calls(
                sessions.lonely(since),
                EndReason.ALONE,
                lambda call: call.id in sessions.lonely(since, call.id),
            )

    def _end_calls(
        self, call_ids: Iterable[str], reason: EndReason, provided: Callable[[Call], bool]
    ) -> None:
        """End the calls of which the condition is still true then."""
        failures = SweepFailures()
        for call_id in call_ids:
            with failures.contained(call_id), self._database.together():
                self._ending.hang_up(self._calls.get(call_id), reason, None, provided)


def _is_in(session_id: str, call: Call) -> bool:
    """Whether a call is in a session, or between two rooms."""
    return call.session_id in (None, session_id)
