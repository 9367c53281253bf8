"""The recorder of calls: writes the media engine's reports to storage."""

from __future__ import annotations

from service.calls.ending import CallEnding, may_come_back
from service.calls.steering import Steering
from service.calls.waiting import Waiters
from service.domain.calls import Call, EndReason
from service.media.engine.engine import Engine
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted, LegStep, Report
from service.settings import Settings
from service.storage.calls.calls import Calls
from service.storage.calls.loudness import LoudnessRecords
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms


class CallRecorder:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        calls: Calls,
        stored_steering: StoredSteering,
        loudness: LoudnessRecords,
        rooms: Rooms,
        engine: Engine,
        steering: Steering,
        ending: CallEnding,
        waiters: Waiters,
    ) -> None:
        self._settings = settings
        self._database = database
        self._calls = calls
        self._stored_steering = stored_steering
        self._loudness = loudness
        self._rooms = rooms
        self._engine = engine
        self._steering = steering
        self._ending = ending
        self._waiters = waiters

    def record(self, report: Report, *, again: bool = False) -> None:
        """Write a report. A late one, or the same one ``again``, changes nothing."""
        match report:
            case LegStarted(call_id, leg_id, session_id, at):
                call = self._calls.answered(call_id, leg_id, session_id, at)
                if call is None:
                    # The call was over before this leg had started.
                    over = (call_id, EndReason.REPLACED, "The call is over.")
                    self._database.afterwards(self._engine.hang_up, *over, leg_id=leg_id)
                    return
                if call.node_id != self._calls.node_id and not call.is_moving:
                    elsewhere = "The call is on another server."
                    self._database.afterwards(self._engine.release, call_id, elsewhere)
                    return
                self._database.afterwards(self._waiters.wake, call_id)
                self._recheck(call)
            case LegMoved(call_id, leg_id, room_id, who, session_id, at):
                call = self._stored_steering.arrived(call_id, leg_id, room_id, who, session_id, at)
                if call is not None:
                    self._recheck(call)
            case LegStep(call_id, leg_id, event, at, detail):
                self._calls.step(call_id, leg_id, event, at, detail, again=again)
            case LegClosed():
                self._record_close(report)

    def _recheck(self, call: Call) -> None:
        """Apply a move or a deactivation that was stored while the leg was on its way."""
        if call.is_moving:
            self._steering.move_socket(call)
        room = self._rooms.find(call.room_id or "")
        if room is not None and room.disabled:
            self._ending.hang_up(call, EndReason.ROOM_DEACTIVATED, None)

    def _record_close(self, report: LegClosed) -> None:
        call = self._calls.get(report.call_id)
        if self._settings.reattach and may_come_back(call, report.reason):
            changed = self._calls.detached(
                report.call_id, report.leg_id, report.at, report.detail, report.stats
            )
        else:
            reason = report.reason or EndReason.CONNECTION_LOST
            ended = self._calls.end(
                report.call_id,
                reason,
                report.at,
                leg_id=report.leg_id,
                detail=report.detail,
                stats=report.stats,
            )
            if changed := ended is not None:
                self._database.afterwards(self._ending.note, call, reason)
        if not changed:
            self._calls.save_stats(report.call_id, report.leg_id, report.stats)
        if report.loudness is not None:
            self._loudness.add(report.call_id, report.loudness)
