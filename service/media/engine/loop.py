"""The engine's thread: its sockets, its rooms and the clock of ticks.

The thread may block on its queue of commands until the next read or tick, and on nothing else: no
socket, no database, no name look-up, no lock that another thread holds for long.
"""

from __future__ import annotations

import logging
import queue

from service.clock import Clock
from service.domain.wire import PERIOD
from service.media.engine.clock import TickClock
from service.media.engine.commands import (
    Adopt,
    Announce,
    Ask,
    AskEngineStats,
    AskLegs,
    AskLevels,
    AskLoudness,
    EngineCommand,
    HangUp,
    Move,
    Show,
    Stop,
    TakeOut,
    Watch,
)
from service.media.engine.leg_sockets import LegSockets
from service.media.engine.live_feed import TURN_SECONDS, LiveFeed
from service.media.engine.questions import answer
from service.media.engine.reader import READ_SECONDS, Reader
from service.media.engine.stats import StatsCollector
from service.media.engine.timeouts import CLOSE_SECONDS, PING_SECONDS, watch
from service.media.rooms.fault_log import MOST_FAULTS, FaultLog
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.recovery import withdraw
from service.media.rooms.reports import Report
from service.media.transport.connection import MediaSocket
from service.media.transport.poller import Poller, best_poller

logger = logging.getLogger(__name__)

TICK_MILLIS = round(PERIOD * 1000)
"""Ticks are numbered in these since the epoch, so that those of one process follow another's."""


class Loop:
    """State of the engine. ``run`` is its thread; ``submit`` is for other threads."""

    def __init__(
        self, clock: Clock, reports: queue.SimpleQueue[Report], poller: Poller | None = None
    ) -> None:
        self._clock = clock
        self._commands: queue.SimpleQueue[EngineCommand] = queue.SimpleQueue()
        self._reports = reports
        self._poller = poller or best_poller()
        self._faults = FaultLog()
        self._rooms = LiveRooms(clock, reports.put, self._faults)
        self._attention: set[MediaSocket] = set()
        self._reader = Reader(clock, self._poller, self._rooms, self._attention, self._faults)
        self._live_feed = LiveFeed(clock, self._faults)
        self._ticks = TickClock(clock.monotonic(), clock.now() // TICK_MILLIS)
        self._stats = StatsCollector(self._faults)
        self._sockets = LegSockets(
            clock,
            self._poller,
            self._reader,
            self._rooms,
            self._attention,
            self._stats,
            reports.put,
            self._faults,
        )
        self._legs = self._sockets.legs
        self._next_check = self._next_ping = 0.0
        self._stopping: float | None = None

    def submit(self, command: EngineCommand) -> None:
        """Queue a command. The only method that other threads may call."""
        self._commands.put(command)

    def run(self) -> None:
        while self._stopping is None or (
            (self._legs or self._live_feed)
            and self._clock.monotonic() < self._stopping + CLOSE_SECONDS
        ):
            try:
                self.turn()
            except Exception:
                self._recover()
        for media_socket in list(self._legs):
            self._sockets.forget(media_socket)
        self._live_feed.close()

    def close(self) -> None:
        """Close the poller after the thread has ended."""
        self._poller.close()

    def turn(self) -> None:
        """Wait for a command or the next read, and do everything that is due."""
        self._handle_commands()
        at = self._clock.monotonic()
        if self._legs:
            if len(self._rooms) and self._ticks.stalled(at):
                self._rooms.settle(at)
            self._reader.serve(at)
        if not len(self._rooms):
            self._reader.take()
            self._ticks.restart(at)
        else:
            self._tick()
        self._live_feed.turn(at, self._rooms.live_levels)
        if at >= self._next_check:
            self._next_check = at + 1.0
            self._check(at)
        self._attend()

    def _tick(self) -> None:
        at = self._clock.monotonic()
        if self._ticks.stalled(at):
            self._rooms.settle(at)
        if self._ticks.advance(at):
            self._reader.take()
            self._rooms.tick(self._clock.monotonic(), self._ticks.number)

    def _wait_seconds(self) -> float | None:
        if not self._legs:
            return TURN_SECONDS if self._live_feed else None
        if not len(self._rooms):
            return READ_SECONDS
        return min(READ_SECONDS, self._ticks.wait(self._clock.monotonic()))

    def _handle_commands(self) -> None:
        """Handle the queued commands, or wait for one until something else is due."""
        try:
            command = self._commands.get(timeout=self._wait_seconds())
        except queue.Empty:
            return
        # Handle only the commands queued now; later ones wait for the next turn. If one raises, the
        # rest stay queued.
        for _ in range(self._commands.qsize()):
            self._act(command)
            command = self._commands.get_nowait()
        self._act(command)

    def _act(self, command: EngineCommand) -> None:
        try:
            self._carry_out(command)
        except Exception:
            self._faults.note("a command to the engine failed")
        self._drop_failed()

    def _carry_out(self, command: EngineCommand) -> None:
        match command:
            case Adopt():
                self._sockets.adopt(command)
            case HangUp():
                self._hang_up(command)
            case Move():
                self._move(command)
            case TakeOut():
                # A process that ends has told its peers to come back.
                if self._stopping is None:
                    self._sockets.take_out(command)
            case Show():
                self._live_feed.others = command.calls
                command.reply.put(bool(self._live_feed))
            case Watch():
                self._live_feed.admit(command.sock)
            case Announce():
                self._live_feed.announce()
            case Stop() if self._stopping is None:
                self._live_feed.hand_over()
                self._stopping = self._clock.monotonic()
                for media_socket in self._legs:
                    media_socket.hang_up(1012, "Service restart", None)
            case Ask() | AskLegs() | AskLoudness() | AskEngineStats() | AskLevels():
                answer(
                    command,
                    self._legs,
                    self._rooms,
                    self._stats,
                    self._ticks,
                    self._commands.qsize(),
                )

    def _hang_up(self, command: HangUp) -> None:
        for media_socket, leg in self._legs.items():
            same_leg = command.leg_id in (None, leg.spec.leg_id)
            if leg.spec.call_id == command.call_id and same_leg and media_socket.closing is None:
                leg.leave(command.text, command.moved_to)
                media_socket.hang_up(command.code, command.text, command.reason)
                # Also if the socket failed on the message of ``leave``.
                media_socket.reason = command.reason

    def _move(self, command: Move) -> None:
        for media_socket, leg in self._legs.items():
            if leg.spec.call_id == command.call_id and media_socket.closing is None:
                try:
                    self._rooms.move(leg, command.room_id, command.participant, command.session_id)
                except Exception:
                    leg.fail()

    def _attend(self) -> None:
        """Handle the sockets that have ended or have data left to write."""
        while self._attention:
            media_socket = self._attention.pop()
            if media_socket not in self._legs:
                continue
            if media_socket.ended:
                self._sockets.forget(media_socket)
                continue
            try:
                self._poller.watch_writing(media_socket.sock.fileno(), media_socket.wants_write)
            except Exception:
                self._legs[media_socket].fail()
        self._drop_failed()

    def _drop_failed(self) -> None:
        """Close the legs that an exception has made unusable; their calls may come back."""
        while self._faults.leg_has_failed:
            self._faults.leg_has_failed = False
            for media_socket in [each for each, leg in self._legs.items() if leg.failed]:
                self._drop(media_socket)

    def _drop(self, media_socket: MediaSocket) -> None:
        media_socket.hang_up(1011, "", None)
        self._sockets.forget(media_socket)

    def _check(self, at: float) -> None:
        """Apply all timeouts; once a second."""
        ping = at >= self._next_ping
        if ping:
            self._next_ping = at + PING_SECONDS
        for media_socket, leg in self._legs.items():
            try:
                if watch(media_socket, leg, at):
                    self._rooms.look_after(leg)
                if ping:
                    media_socket.ping()
            except Exception:
                leg.fail()

    def _recover(self) -> None:
        """Continue after the exception being handled, and keep the calls that can be kept."""
        at = self._clock.monotonic()
        self._faults.note("the engine failed")
        in_a_row = self._faults.in_a_row(at)
        if in_a_row <= MOST_FAULTS:
            try:
                legs = list(self._legs.values())
                self._rooms.rebuild(legs, at, sift=in_a_row == MOST_FAULTS)
                self._reader.restart(self._rooms)
                self._drop_failed()
                return
            except Exception:
                self._faults.note("the engine failed while it recovered")
        self._start_over()

    def _start_over(self) -> None:
        """Discard state that may be inconsistent, and hand every call back."""
        logger.error("the engine starts over; every call is handed back to its provider")
        withdraw(self._legs.values(), self._rooms.buffers)
        self._rooms = LiveRooms(self._clock, self._reports.put, self._faults)
        self._reader.restart(self._rooms)
        self._sockets.restart(self._rooms)
        for media_socket in list(self._legs):
            self._drop(media_socket)
        self._attention.clear()
        self._faults.leg_has_failed = False
