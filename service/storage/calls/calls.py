"""Calls: their begin, progress and end, one transaction for each change.

Each method locks the call's row, asks the table of transitions, and writes the change together with
its step of the ladder. Late or repeated events, and events of a leg that does not hold the call,
change nothing; the return value says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.clock import Millis
from service.domain.call_state import require_new
from service.domain.call_transitions import Phase, Trigger
from service.domain.calls import Call, EndReason, LadderEvent
from service.domain.nodes import Place
from service.errors import Conflict, Gone
from service.storage.agents import dispatch_rows
from service.storage.calls import endings, media_references, provider_requests
from service.storage.calls.media_references import Used
from service.storage.calls.placed import PlacedCalls, StepsAt
from service.storage.calls.rows import (
    KNOWN,
    advance,
    insert_call,
    is_known,
    locked,
    locked_row,
    permitted,
    transfer_in,
)
from service.storage.rooms import presence

__all__ = ["Calls", "Used"]

START_MILLIS = 15_000
"""Time for a leg that was let in to start. After it the call counts as never connected."""

SIGNS_OF_LIFE = (LadderEvent.FIRST_AUDIO_IN, LadderEvent.NO_AUDIO)

REPEATED = (LadderEvent.OVERRUN, LadderEvent.NO_AUDIO)
"""Events that one leg may report repeatedly."""


class Calls(PlacedCalls):
    def admit(
        self, call: Call, ref_digest: str | None, limit: int, steps: StepsAt | None = None
    ) -> Place | None:
        """Add a call that waits for its socket, with its reference, if it has one, and return its
        place. ``steps`` makes its ladder, where that depends on the place.

        Returns ``None``, and writes nothing, if each node that may take it has ``limit`` calls. The
        reference expires with ``call.expires_at``. Raises ``Conflict`` if the call is known.
        """
        if call.expires_at is None:
            raise ValueError("a call that waits for its socket needs expires_at")
        require_new(call, Trigger.ADMITTED, Trigger.PIN_ASKED)
        with self._database.write() as connection:
            place = self._placement.place_of_new(connection, call, limit)
            if place is None:
                if is_known(connection, call):
                    raise Conflict(KNOWN)
                return None
            ladder = steps(place) if steps else call.steps
            insert_call(connection, replace(call, node_id=place.node_id, steps=tuple(ladder)))
            if ref_digest is not None:
                media_references.issue(connection, ref_digest, call.id, call.expires_at)
            return place

    def add(self, call: Call) -> None:
        """Add a call that is over already, with its ladder. Raises ``Conflict`` like ``admit``."""
        with self._database.write() as connection:
            insert_call(connection, call)

    def reissue(
        self, call_id: str, ref_digest: str, expires_at: Millis, steps: StepsAt
    ) -> Place | None:
        """Store another answer to a provider that asked again about a live call, with a new
        reference, and return the place of the call.

        Counts as an attempt. The call may be without a socket until the reference expires. The
        steps get the status of the call. Returns ``None`` if the call may have no reference.
        """
        with self._database.write() as connection:
            found = permitted(connection, call_id, Trigger.REFERENCE_ISSUED)
            if found is None:
                return None
            call, state = found
            media_references.issue(connection, ref_digest, call_id, expires_at)
            place = self._placement.place_of_next(connection, call.room_id)
            advance(
                connection,
                call,
                [replace(step, status=state.status) for step in steps(place)],
                attempts=call.attempts + 1,
                expires_at=expires_at,
                node_id=place.node_id,
            )
            return place

    def claim(
        self, ref_digest: str, provider: str, leg_id: str, at: Millis, *, redial: bool = False
    ) -> Call:
        """Let a leg in by a reference. ``redial`` is for a reference that was used before, and is
        refused while the leg that used it is about to start.

        The leg has ``START_MILLIS`` to start. It holds a waiting call from this moment. An answered
        call stays with its leg until the new one has started, so that a leg that streams is not cut
        off by a socket that never starts.

        Raises ``NotFound`` for a reference that this provider was never given, ``Used``, or
        ``Gone`` if it has expired or its call is over. Raises ``Misdirected``, and leaves the
        reference as it was, if the call's node is on another machine.
        """
        with self._database.write() as connection:
            call_id = media_references.claim(
                connection, ref_digest, provider, leg_id, at, again=redial
            )
            found = permitted(connection, call_id, Trigger.SOCKET_LET_IN)
            if found is None:
                raise Gone(media_references.OVER)
            call, state = found
            waiting = call.status.is_waiting
            if (
                redial
                and waiting
                and media_references.last_socket_event(call) is LadderEvent.SOCKET
            ):
                raise Used(call_id)
            place = self._placement.place_of_next(connection, call.room_id, self.node_id)
            if not place.is_here:
                raise self._misdirected(place)
            return advance(
                connection,
                call,
                [state.step(LadderEvent.SOCKET, at)],
                leg_id=leg_id if waiting else call.leg_id,
                expires_at=at + START_MILLIS,
                node_id=place.node_id,
            )

    def answered(self, call_id: str, leg_id: str, session_id: str, at: Millis) -> Call | None:
        """Note that a leg's stream has started: the caller is in the room. Idempotent.

        The leg holds the call from this moment; the media plane has already replaced an earlier
        one. Returns the call, or ``None`` if the leg may not stream: the call is over, or the leg
        was not let in, has lost its socket or was replaced. A call of another node is returned as
        it is.
        """
        with self._database.write() as connection:
            is_due = media_references.settle(connection, call_id, leg_id)
            found = permitted(connection, call_id, Trigger.STREAM_STARTED)
            if found is None:
                return None
            call, state = found
            if call.node_id != self.node_id and not call.is_moving:
                # Before this leg had started, another node was given the call.
                return call
            if not is_due:
                return call if call.leg_id == leg_id and call.is_attached else None
            if not call.is_moving:
                # A moving call may be in either room: its arrival in the new one will tell.
                presence.join(connection, call, session_id, at)
            return advance(
                connection,
                call,
                [
                    state.step(LadderEvent.START, at),
                    *dispatch_rows.answered(connection, call, session_id, at),
                ],
                status=state.status,
                leg_id=leg_id,
                session_id=None if call.is_moving else session_id,
                answered_at=at if call.answered_at is None else call.answered_at,
                detached_at=None,
                expires_at=None,
            )

    def step(
        self,
        call_id: str,
        leg_id: str,
        event: LadderEvent,
        at: Millis,
        detail: str | None = None,
        *,
        again: bool = False,
    ) -> bool:
        """Add a step of the leg that holds the call. With ``again``, skip one that is stored
        already.
        """
        with self._database.write() as connection:
            # A ladder is shortened only where it is loaded.
            load = locked if again or event in REPEATED else locked_row
            found = permitted(connection, call_id, Trigger.STREAM_PROGRESS, leg_id, load=load)
            if found is None:
                return False
            call, state = found
            step = state.step(event, at, detail)
            if again and step in call.steps:
                return False
            # A working line resets the attempts, even if the caller is not heard on it.
            changes = {"attempts": 0} if event in SIGNS_OF_LIFE and call.attempts else {}
            advance(connection, call, [step], **changes)
            return True

    def detached(
        self,
        call_id: str,
        leg_id: str,
        at: Millis,
        detail: str | None,
        stats: Mapping[str, Any] | None,
    ) -> bool:
        """Note that the leg has lost its socket. The call may come back on another one.

        Returns false if the leg does not hold the call. Either way the leg cannot start any more.
        """
        with self._database.write() as connection:
            was_due = media_references.settle(connection, call_id, leg_id)
            found = permitted(connection, call_id, Trigger.SOCKET_LOST, leg_id)
            if found is None or not (was_due or found[0].is_attached):
                return False
            call, state = found
            if call.is_moving:
                # The call is leaving the room in which it was last heard.
                presence.leave(connection, call_id, at)
            advance(
                connection,
                call,
                [state.step(LadderEvent.SOCKET_LOST, at, detail)],
                detached_at=at if state.phase is Phase.DETACHED else None,
                stats=call.stats if stats is None else dict(stats),
            )
            return True

    def reattached(self, call_id: str, leg_id: str) -> bool:
        """Attach a call again that was detached, and not given to another node since."""
        with self._database.write() as connection:
            found = permitted(connection, call_id, Trigger.SOCKET_FOUND, leg_id)
            if found is None or found[0].node_id not in (None, self.node_id):
                return False
            advance(connection, found[0], [], detached_at=None, node_id=self.node_id)
            return True

    def end(
        self,
        call_id: str,
        reason: EndReason,
        at: Millis,
        *,
        leg_id: str | None = None,
        detail: str | None = None,
        stats: Mapping[str, Any] | None = None,
        provided: Callable[[Call], bool] | None = None,
        asks_provider: bool = False,
    ) -> Call | None:
        """End a live call, and return it. With ``leg_id``, only if that leg holds it; with
        ``provided``, only if this is true of the locked call. With ``asks_provider``, the provider
        is to be asked to end it too. Returns ``None`` if nothing was changed.
        """
        with self._database.write() as connection:
            found = permitted(connection, call_id, reason, leg_id)
            if found is None:
                return None
            call, state = found
            if provided is not None and not provided(call):
                return None
            if asks_provider:
                provider_requests.add(connection, call)
            dispatch_rows.ended(connection, call, at)
            presence.leave(connection, call_id, endings.last_seen(call, at), reason)
            end = state.step(LadderEvent.END, at, reason.value if detail is None else detail)
            return advance(
                connection,
                call,
                [*endings.steps(call, state, at), end],
                status=state.status,
                ended_at=at,
                end_reason=reason,
                detached_at=None,
                transfer=transfer_in(call, state),
                stats=call.stats if stats is None else dict(stats),
            )

    def save_stats(self, call_id: str, leg_id: str, stats: Mapping[str, Any]) -> bool:
        """Save the final statistics of the leg that held the call to its end."""
        with self._database.write() as connection:
            call = locked_row(connection, call_id)
            if call is None or call.status.is_live or call.leg_id != leg_id:
                return False
            advance(connection, call, [], stats=dict(stats))
            return True
