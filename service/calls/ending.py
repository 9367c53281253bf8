"""Use cases of a call after its webhook: claim a reference, record a leg's reports, end the call.

Storage decides, so that a repeated or late request gets the same answer, also after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.calls import checks, end_reasons
from service.calls.deadlines import Deadlines, Sparing
from service.calls.handover import Drain
from service.calls.provider_api import ProviderApi
from service.calls.timekeeper import Timekeeper
from service.calls.waiting import Waiters
from service.clock import Clock
from service.domain import ids
from service.domain.agents import Assignment
from service.domain.calls import WEBSOCKET, Call, CallStatus, EndReason, Participant
from service.domain.rooms import Room
from service.domain.routing import Existing, Fresh, Named, place
from service.domain.routing_rules import Rule
from service.errors import Busy
from service.media.engine.engine import Engine
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, LegStep, Report
from service.providers.base.provider import Provider
from service.providers.custom import WebSocketWire
from service.settings import Settings
from service.storage.calls.calls import Used
from service.storage.database import Database
from service.storage.stores import Stores
from service.telemetry import logs
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class Switchboard:
    """Facade through which the API, the sockets and the ledger act on calls."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        wall: Clock,
        database: Database,
        stores: Stores,
        providers: Mapping[str, Provider],
        engine: Engine,
        metrics: Metrics,
    ) -> None:
        self.settings, self.clock, self.wall = settings, clock, wall
        self.connectors = stores.connectors
        self.agents = stores.agents
        self.calls = stores.calls
        self.dispatches = stores.dispatches
        self.loudness = stores.loudness
        self.steering = stores.control
        self.pins = stores.pins
        self.rooms = stores.rooms
        self.rules = stores.routing_rules
        self.secrets = stores.secrets
        self.sessions = stores.sessions
        self.metrics = metrics
        self.errands = ProviderApi(settings, clock, self.connectors, self.steering)
        self.waiters = Waiters()
        self.handover, self.pulse = Drain(), checks.Pulse()
        self.deadlines = Deadlines(settings, clock, self.calls, engine, self.handover)
        self.together, self._after = database.together, database.afterwards
        self._database, self.migrate = database, database.migrate
        self._providers, self._engine = providers, engine

    def invite(
        self,
        room_id: str,
        participant: Participant,
        region: str | None,
        agent: Assignment | None = None,
    ) -> tuple[Call, str]:
        """A ticket for a custom WebSocket: the call, and the reference its URL carries.

        A room that is not known is made. Raises ``Forbidden`` where the room does not let the
        participant in, and ``Busy`` where the process is full or about to end.
        """
        self.handover.require_open()
        at = self.clock.now()
        room = self.room(Existing(room_id), participant.id, room_id)
        room.require(participant.id)
        call_id, ref = ids.new_call_id(), ids.new_ingest_ref()
        call = Call(
            id=call_id,
            provider=WEBSOCKET,
            provider_call_id=call_id,
            connector_id=None,
            room_id=room.id,
            rule_id=None,
            session_id=None,
            caller=participant.id,
            callee=room.id,
            status=CallStatus.INCOMING,
            participant=participant,
            region=region,
            started_at=at,
            expires_at=at + ids.REF_SECONDS * 1000,
            agent=agent,
        )
        if not self.calls.admit(call, ids.digest(ref), self.settings.max_calls):
            raise self.full()
        return call, ref

    def room(
        self, decision: Rule | Existing, caller: str, callee: str, *, is_admitted: bool = False
    ) -> Room:
        """The room of a call as ``place`` finds it; one that does not exist is created.

        Raises ``Busy`` where that would be for a call that will not be admitted.
        """
        where = place(decision, caller, callee, self.secrets.of_rooms)
        name = None if isinstance(where, Fresh) else where.name
        if name is not None and (known := self.rooms.find(name)):
            return known
        if not is_admitted and self.calls.live() >= self.settings.max_calls:
            raise self.full()
        make = self.rooms.named if isinstance(where, Named) else self.rooms.ensure
        return make(name or ids.new_room_id(), self.clock.now())

    def full(self) -> Busy:
        return Busy(f"All {self.settings.max_calls} calls are taken.")

    def claim(self, provider_name: str, ref: str) -> LegSpec:
        """What the engine needs to adopt the socket that was opened with this reference.

        A reference works once; again only for the same live call, whose socket is gone, since
        providers dial an address a second time when a connection breaks. Raises ``NotFound`` or
        ``Gone``, and ``Busy`` where the process is ending or its engine does not answer.
        """
        self.handover.require_open()
        leg_id, at, key = ids.new_leg_id(), self.clock.now(), ids.digest(ref)
        try:
            call = self.calls.claim(key, provider_name, leg_id, at)
        except Used as used:
            if provider_name == WEBSOCKET or self._has_socket(used.call_id):
                raise
            call = self.calls.claim(key, provider_name, leg_id, at, redial=True)
        provider = self._providers.get(provider_name)
        room_id = call.room_id or ""
        return LegSpec(
            leg_id=leg_id,
            call_id=call.id,
            room_id=room_id,
            participant=call.participant,
            wire=provider.wire() if provider else WebSocketWire(),
            session_id=call.session_id or self.sessions.waiting(room_id),
            provider_call_id=call.provider_call_id if provider else None,
            ref=ref if provider else None,
            dtmf=call.dtmf,
        )

    def end(self, call_id: str) -> Call:
        """End a call from the API; of one that is over, only its socket. Raises ``NotFound``."""
        self.hang_up(self.calls.get(call_id), EndReason.ENDED_BY_API, None)
        call = self.calls.get(call_id)
        if reason := call.end_reason:
            self._engine.hang_up(call.id, reason, end_reasons.farewell(reason))
        return call

    def hang_up(
        self,
        call: Call,
        reason: EndReason,
        detail: str | None,
        provided: Callable[[Call], bool] | None = None,
    ) -> None:
        """End a call in storage first, so that the provider's next question finds it ended."""
        at = self.clock.now()
        ended = self.calls.end(call.id, reason, at, detail=detail, provided=provided)
        if ended is not None:
            self._after(self._part_with, ended, reason)

    def move(self, call: Call) -> None:
        """Take the call's socket, where it has one, to the room that storage says."""
        if call.room_id is not None:
            going_on = self.sessions.waiting(call.room_id)
            self._after(self._engine.move, call.id, call.room_id, call.participant, going_on)

    def release(self, call: Call, text: str) -> None:
        """Close the call's socket so that its provider asks again."""
        self._engine.release(call.id, text)

    def live_stats(self, call_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Statistics of those of the calls that have a socket now, by call id."""
        try:
            return self._engine.stats(call_ids)
        except TimeoutError:
            logger.warning("the media engine gave no statistics in time")
            return {}

    def checks(self) -> Mapping[str, str | None]:
        """What the process needs to take a call, and what is wrong with it, if anything."""
        return checks.found(self._database, self._engine, self.handover, self.pulse)

    def record(self, report: Report, *, again: bool = False) -> None:
        """Write down what the engine reports. Late ones, or the same ``again``, change nothing."""
        match report:
            case LegStarted(call_id, leg_id, session_id, at):
                call = self.calls.answered(call_id, leg_id, session_id, at)
                if call is None:
                    # The call was over before this leg had started.
                    over = (call_id, EndReason.REPLACED, "The call is over.")
                    self._after(self._engine.hang_up, *over, leg_id=leg_id)
                    return
                self._after(self.waiters.wake, call_id)
                self._recheck(call)
            case LegMoved(call_id, leg_id, room_id, who, session_id, at):
                call = self.steering.arrived(call_id, leg_id, room_id, who, session_id, at)
                if call is not None:
                    self._recheck(call)
            case LegStep(call_id, leg_id, event, at, detail):
                self.calls.step(call_id, leg_id, event, at, detail, again=again)
            case LegClosed():
                self._record_close(report)

    def take_over(self, timekeeper: Timekeeper | None = None) -> None:
        """Bring the database up to date, and its calls: none of them has a socket any more."""
        self.migrate()
        if timekeeper is not None:
            timekeeper.begin()
        self.deadlines.begin()

    def sweep(self) -> None:
        """End the calls whose time is up."""
        sparing = Sparing()
        for call, reason, provided in self.deadlines.due():
            with sparing.of(call.id), self.together():
                self.hang_up(call, reason, None, provided)

    def _part_with(self, call: Call, reason: EndReason) -> None:
        """Tell everybody whom it concerns that a call has ended."""
        logger.info("a call is over: %s", reason, extra=logs.about(call.id, call.room_id))
        self._engine.hang_up(call.id, reason, end_reasons.farewell(reason))
        self._over(call, reason)
        if reason not in end_reasons.TOLD_BY_PROVIDER:
            self.errands.hang_up(call)

    def _over(self, call: Call, reason: EndReason) -> None:
        self.metrics.call_ended(call.provider, reason)
        self.waiters.wake(call.id)
        self.handover.told(call.id)

    def _recheck(self, call: Call) -> None:
        """Send on a caller who was moved meanwhile; put one out whose room was deactivated."""
        if call.is_moving:
            self.move(call)
        room = self.rooms.find(call.room_id or "")
        if room is not None and room.disabled:
            self.hang_up(call, EndReason.ROOM_DEACTIVATED, None)

    def _has_socket(self, call_id: str) -> bool:
        try:
            return call_id in self._engine.stats([call_id])
        except TimeoutError:
            raise Busy("The media engine does not answer.") from None

    def _record_close(self, report: LegClosed) -> None:
        call = self.calls.get(report.call_id)
        if self.settings.reattach and end_reasons.goes_on(call, report.reason):
            changed = self.calls.detached(
                report.call_id, report.leg_id, report.at, report.detail, report.stats
            )
        else:
            reason = report.reason or EndReason.CONNECTION_LOST
            ended = self.calls.end(
                report.call_id,
                reason,
                report.at,
                leg_id=report.leg_id,
                detail=report.detail,
                stats=report.stats,
            )
            if changed := ended is not None:
                self._after(self._over, call, reason)
        if not changed:
            self.calls.save_stats(report.call_id, report.leg_id, report.stats)
        if report.loudness is not None:
            self.loudness.add(report.call_id, report.loudness)
