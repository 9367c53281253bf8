"""The inside of the engine's thread: the peers, the exchange and the clock of ticks.

The thread may block on its queue of requests until the next read or tick, and on nothing else: no
socket, no database, no name look-up, no lock that anybody else holds for long.
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
    AskLegs,
    AskLoudness,
    Count,
    HangUp,
    Move,
    Request,
    Stop,
    Watch,
)
from service.media.engine.live_feed import TURN_SECONDS, LiveFeed
from service.media.engine.reader import READ_SECONDS, Reader
from service.media.engine.stats import StatsCollector
from service.media.engine.timeouts import CLOSE_SECONDS, PING_SECONDS, watch
from service.media.rooms.faults import MOST_FAULTS, Faults
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.recovery import withdraw
from service.media.rooms.reports import LegClosed, Report
from service.media.transport.connection import MediaSocket
from service.media.transport.poller import Poller, readiness

logger = logging.getLogger(__name__)


class Loop:
    """One engine's state. ``run`` is its thread; ``submit`` is for the others."""

    def __init__(
        self, clock: Clock, reports: queue.SimpleQueue[Report], ready: Poller | None = None
    ) -> None:
        self._clock = clock
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._reports = reports
        self._ready = ready or readiness()
        self._faults = Faults()
        self._exchange = LiveRooms(clock, reports.put, self._faults)
        self._legs: dict[MediaSocket, Leg] = {}
        self._attention: set[MediaSocket] = set()
        self._reader = Reader(clock, self._ready, self._exchange, self._attention, self._faults)
        self._watchers = LiveFeed(clock, self._faults)
        self._ticks = TickClock(clock.monotonic())
        self._tally = StatsCollector(self._faults)
        self._next_check = self._next_ping = 0.0
        self._stopping: float | None = None

    def submit(self, request: Request) -> None:
        """Have the thread act on a request. Other threads may call this, and nothing else."""
        self._requests.put(request)

    def run(self) -> None:
        while self._stopping is None or (
            (self._legs or self._watchers)
            and self._clock.monotonic() < self._stopping + CLOSE_SECONDS
        ):
            try:
                self.turn()
            except Exception:
                self._recover()
        for peer in list(self._legs):
            self._forget(peer)
        self._watchers.close()

    def close(self) -> None:
        """Give the descriptor back, after the thread has ended."""
        self._ready.close()

    def turn(self) -> None:
        """Wait for a request or the next read, whichever is first, and do what is due."""
        self._answer()
        at = self._clock.monotonic()
        if self._legs:
            if len(self._exchange) and self._ticks.stalled(at):
                self._exchange.settle(at)
            self._reader.serve(at)
        if not len(self._exchange):
            self._reader.take()
            self._ticks.restart(at)
        else:
            self._tick()
        self._watchers.turn(at, self._exchange.live_levels)
        if at >= self._next_check:
            self._next_check = at + 1.0
            self._check(at)
        self._attend()

    def _tick(self) -> None:
        at = self._clock.monotonic()
        if self._ticks.stalled(at):
            self._exchange.settle(at)
        if self._ticks.due(at):
            self._reader.take()
            self._exchange.tick(self._clock.monotonic())

    def _patience(self) -> float | None:
        if not self._legs:
            return TURN_SECONDS if self._watchers else None
        if not len(self._exchange):
            return READ_SECONDS
        return min(READ_SECONDS, self._ticks.wait(self._clock.monotonic()))

    def _answer(self) -> None:
        """Act on the requests that are there, or wait for one as long as nothing else is due."""
        try:
            request = self._requests.get(timeout=self._patience())
        except queue.Empty:
            return
        # Those that come meanwhile wait for the next turn. What a fault keeps from being acted on
        # is still there then.
        for _ in range(self._requests.qsize()):
            self._act(request)
            request = self._requests.get_nowait()
        self._act(request)

    def _act(self, request: Request) -> None:
        try:
            self._carry_out(request)
        except Exception:
            self._faults.note("a request to the engine failed")
        self._drop_failed()

    def _carry_out(self, request: Request) -> None:
        match request:
            case Adopt():
                self._adopt(request)
            case HangUp():
                self._hang_up(request)
            case Move():
                self._move(request)
            case Ask():
                self._reply(request)
            case AskLegs():
                open_legs = (leg for peer, leg in self._legs.items() if peer.closing is None)
                request.reply.put(tuple(leg.spec for leg in open_legs))
            case AskLoudness():
                request.reply.put(self._exchange.loudness(request.call_id))
            case Watch():
                self._watchers.admit(request.sock)
            case Announce():
                self._watchers.announce()
            case Count():
                request.reply.put(
                    self._tally.figures(
                        self._legs.values(), self._exchange, self._ticks, self._requests.qsize()
                    )
                )
            case Stop() if self._stopping is None:
                self._watchers.hand_over()
                self._stopping = self._clock.monotonic()
                for peer in self._legs:
                    peer.hang_up(1012, "Service restart", None)

    def _adopt(self, request: Adopt) -> None:
        spec = request.spec
        try:
            peer = MediaSocket(request.sock, self._clock, self._attention)
            self._ready.add(request.sock.fileno())
        except Exception as error:
            # A descriptor that is no good must not cost the other calls theirs.
            if not isinstance(error, OSError | ValueError):
                self._faults.note("a socket could not be adopted", spec.fields)
            request.sock.close()
            detail = f"the socket could not be adopted: {error}"
            self._reports.put(
                LegClosed(spec.call_id, spec.leg_id, None, detail, {}, self._clock.now())
            )
            return
        leg = self._legs[peer] = self._exchange.open(spec, peer)
        self._reader.admit(peer, leg)

    def _hang_up(self, request: HangUp) -> None:
        for peer, leg in self._legs.items():
            same_leg = request.leg_id in (None, leg.spec.leg_id)
            if leg.spec.call_id == request.call_id and same_leg and peer.closing is None:
                leg.leave(request.text)
                peer.hang_up(1000, request.text, request.reason)
                # Also where the farewell was one word too many for it.
                peer.reason = request.reason

    def _move(self, request: Move) -> None:
        for peer, leg in self._legs.items():
            if leg.spec.call_id == request.call_id and peer.closing is None:
                try:
                    self._exchange.move(
                        leg, request.room_id, request.participant, request.session_id
                    )
                except Exception:
                    leg.fail()

    def _reply(self, request: Ask) -> None:
        wanted = set(request.call_ids)
        found: dict[str, Mapping[str, Any]] = {}
        for leg in self._legs.values():
            call_id = leg.spec.call_id
            # A call may have two sockets for a moment; the one that has started is the call's.
            if call_id in wanted and (call_id not in found or self._exchange.leg(call_id) is leg):
                found[call_id] = leg.last_stats()
        request.reply.put(found)

    def _attend(self) -> None:
        """Look after the peers that have ended or have something left to write."""
        while self._attention:
            peer = self._attention.pop()
            if peer not in self._legs:
                continue
            if peer.ended:
                self._forget(peer)
                continue
            try:
                self._ready.watch_writing(peer.sock.fileno(), peer.wants_write)
            except Exception:
                self._legs[peer].fail()
        self._drop_failed()

    def _drop_failed(self) -> None:
        """Close the legs that a fault of ours has made unusable; their calls may come back."""
        while self._faults.legs:
            failed = self._faults.legs.pop()
            for peer in [peer for peer, leg in self._legs.items() if leg is failed]:
                self._drop(peer)

    def _drop(self, peer: MediaSocket) -> None:
        peer.hang_up(1011, "", None)
        self._forget(peer)

    def _forget(self, peer: MediaSocket) -> None:
        leg = self._legs.pop(peer)
        try:
            self._reader.remove(peer)
            self._ready.remove(peer.sock.fileno())
        except Exception:
            self._faults.note("a socket could not be forgotten", leg.spec.fields)
        peer.sock.close()
        try:
            self._exchange.close(leg, peer.reason, peer.detail)
            self._tally.add(leg)
        except Exception:
            self._faults.note("a leg could not be forgotten", leg.spec.fields)

    def _check(self, at: float) -> None:
        """Once a second: every wait has an end."""
        ping = at >= self._next_ping
        if ping:
            self._next_ping = at + PING_SECONDS
        for peer, leg in self._legs.items():
            try:
                if watch(peer, leg, at):
                    self._exchange.look_after(leg)
                if ping:
                    peer.ping()
            except Exception:
                leg.fail()

    def _recover(self) -> None:
        """Go on after the exception that is being handled, with as many calls as possible."""
        at = self._clock.monotonic()
        self._faults.note("the engine failed")
        in_a_row = self._faults.in_a_row(at)
        if in_a_row <= MOST_FAULTS:
            try:
                legs = list(self._legs.values())
                self._exchange.rebuild(legs, at, sift=in_a_row == MOST_FAULTS)
                self._reader.restart(self._exchange)
                self._drop_failed()
                return
            except Exception:
                self._faults.note("the engine failed while it recovered")
        self._start_over()

    def _start_over(self) -> None:
        """Forget a state that cannot be trusted any more, and hand every call back."""
        logger.error("the engine starts over; every call is handed back to its provider")
        withdraw(self._legs.values(), self._exchange.buffers)
        self._exchange = LiveRooms(self._clock, self._reports.put, self._faults)
        self._reader.restart(self._exchange)
        for peer in list(self._legs):
            self._drop(peer)
        self._attention.clear()
        self._faults.legs.clear()
