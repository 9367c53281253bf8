"""The engine's thread: its sockets, its rooms and the clock of ticks.

The thread may block on its queue of commands until the next read or tick, and on nothing else: no
socket, no database, no name look-up, no lock that another thread holds for long.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Mapping
from typing import Any

from service.clock import Clock
from service.media.engine.clock import TickClock
from service.media.engine.commands import (
    Adopt,
    Announce,
    Ask,
    AskEngineStats,
    AskLegs,
    AskLoudness,
    EngineCommand,
    HangUp,
    Move,
    Stop,
    Watch,
)
from service.media.engine.live_feed import TURN_SECONDS, LiveFeed
from service.media.engine.reader import READ_SECONDS, Reader
from service.media.engine.stats import StatsCollector
from service.media.engine.timeouts import CLOSE_SECONDS, PING_SECONDS, watch
from service.media.rooms.fault_log import MOST_FAULTS, FaultLog
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.recovery import withdraw
from service.media.rooms.reports import LegClosed, Report
from service.media.transport.connection import MediaSocket
from service.media.transport.poller import Poller, best_poller

logger = logging.getLogger(__name__)


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
        self._legs: dict[MediaSocket, Leg] = {}
        self._attention: set[MediaSocket] = set()
        self._reader = Reader(clock, self._poller, self._rooms, self._attention, self._faults)
        self._live_feed = LiveFeed(clock, self._faults)
        self._ticks = TickClock(clock.monotonic())
        self._stats = StatsCollector(self._faults)
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
            self._forget(media_socket)
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
            self._rooms.tick(self._clock.monotonic())

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
                self._adopt(command)
            case HangUp():
                self._hang_up(command)
            case Move():
                self._move(command)
            case Ask():
                self._reply(command)
            case AskLegs():
                open_legs = (
                    leg for media_socket, leg in self._legs.items() if media_socket.closing is None
                )
                command.reply.put(tuple(leg.spec for leg in open_legs))
            case AskLoudness():
                command.reply.put(self._rooms.loudness(command.call_id))
            case Watch():
                self._live_feed.admit(command.sock)
            case Announce():
                self._live_feed.announce()
            case AskEngineStats():
                command.reply.put(
                    self._stats.collect(
                        self._legs.values(), self._rooms, self._ticks, self._commands.qsize()
                    )
                )
            case Stop() if self._stopping is None:
                self._live_feed.hand_over()
                self._stopping = self._clock.monotonic()
                for media_socket in self._legs:
                    media_socket.hang_up(1012, "Service restart", None)

    def _adopt(self, command: Adopt) -> None:
        spec = command.spec
        try:
            media_socket = MediaSocket(command.sock, self._clock, self._attention)
            self._poller.add(command.sock.fileno())
        except Exception as error:
            # A bad descriptor must not affect the other calls.
            if not isinstance(error, OSError | ValueError):
                self._faults.note("a socket could not be adopted", spec.fields)
            command.sock.close()
            detail = f"the socket could not be adopted: {error}"
            self._reports.put(
                LegClosed(spec.call_id, spec.leg_id, None, detail, {}, self._clock.now())
            )
            return
        leg = self._legs[media_socket] = self._rooms.open(spec, media_socket)
        self._reader.admit(media_socket, leg)

    def _hang_up(self, command: HangUp) -> None:
        for media_socket, leg in self._legs.items():
            same_leg = command.leg_id in (None, leg.spec.leg_id)
            if leg.spec.call_id == command.call_id and same_leg and media_socket.closing is None:
                leg.leave(command.text)
                media_socket.hang_up(1000, command.text, command.reason)
                # Also if the socket failed on the message of ``leave``.
                media_socket.reason = command.reason

    def _move(self, command: Move) -> None:
        for media_socket, leg in self._legs.items():
            if leg.spec.call_id == command.call_id and media_socket.closing is None:
                try:
                    self._rooms.move(leg, command.room_id, command.participant, command.session_id)
                except Exception:
                    leg.fail()

    def _reply(self, command: Ask) -> None:
        wanted = set(command.call_ids)
        found: dict[str, Mapping[str, Any]] = {}
        for leg in self._legs.values():
            call_id = leg.spec.call_id
            # A call may have two sockets for a moment; the one that has started counts.
            if call_id in wanted and (call_id not in found or self._rooms.leg(call_id) is leg):
                found[call_id] = leg.last_stats()
        command.reply.put(found)

    def _attend(self) -> None:
        """Handle the sockets that have ended or have data left to write."""
        while self._attention:
            media_socket = self._attention.pop()
            if media_socket not in self._legs:
                continue
            if media_socket.ended:
                self._forget(media_socket)
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
        self._forget(media_socket)

    def _forget(self, media_socket: MediaSocket) -> None:
        leg = self._legs.pop(media_socket)
        try:
            self._reader.remove(media_socket)
            self._poller.remove(media_socket.sock.fileno())
        except Exception:
            self._faults.note("a socket could not be forgotten", leg.spec.fields)
        media_socket.sock.close()
        try:
            self._rooms.close(leg, media_socket.reason, media_socket.detail)
            self._stats.add(leg)
        except Exception:
            self._faults.note("a leg could not be forgotten", leg.spec.fields)

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
        for media_socket in list(self._legs):
            self._drop(media_socket)
        self._attention.clear()
        self._faults.leg_has_failed = False
