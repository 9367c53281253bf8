"""The inside of the engine's thread: the peers, the exchange and the clock of ticks.

The thread may block on its queue of requests until the next read or tick, and on nothing else: no
socket, no database, no name look-up, no lock that anybody else holds for long.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Mapping
from typing import Any

from service.errors import RemoteError
from service.media.clock import TickClock
from service.media.exchange import Exchange
from service.media.figures import Tally
from service.media.intake import Intake
from service.media.leg import Leg
from service.media.peer import READ_BYTES, Peer
from service.media.readiness import READ, WRITE, Readiness, readiness
from service.media.reports import LegClosed, Report
from service.media.requests import (
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
from service.media.watchdogs import CLOSE_SECONDS, PING_SECONDS, watch
from service.media.watchers import TURN_SECONDS, Watchers
from service.model import EndReason
from service.times import Clock

logger = logging.getLogger(__name__)

READ_SECONDS = 0.005
"""Between two reads of the sockets. Audio has time until the tick, and reading what has come for
many calls at once costs less than waking up for each."""

GOING_AWAY = frozenset({1000, 1001, 1005})
"""Close codes with which a peer says that it is done, and not that something broke."""


class Loop:
    """One engine's state. ``run`` is its thread; ``submit`` is for the others."""

    def __init__(
        self,
        clock: Clock,
        reports: queue.SimpleQueue[Report],
        ready: Readiness | None = None,
    ) -> None:
        self._clock = clock
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._reports = reports
        self._ready = ready or readiness()
        self._exchange = Exchange(clock, reports.put)
        self._intake = Intake(self._exchange.bank)
        self._legs: dict[Peer, Leg] = {}
        self._seats: dict[int, tuple[Peer, Leg]] = {}  # by descriptor
        self._unread: set[int] = set()  # descriptors that may have more to read
        self._attention: set[Peer] = set()
        self._watchers = Watchers(clock)
        self._ticks = TickClock(clock.monotonic())
        self._tally = Tally()
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
                # A fault of ours must not leave every call a dead line.
                logger.exception("the engine failed; every call is handed back to its provider")
                self._start_over()
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
            self._serve(at)
        if not len(self._exchange):
            self._take()
            self._ticks.restart(at)
        elif self._ticks.due(self._clock.monotonic()):
            self._take()
            self._exchange.tick(self._clock.monotonic())
        self._watchers.turn(at, self._exchange.gauges)
        if at >= self._next_check:
            self._next_check = at + 1.0
            self._check(at)
        self._attend()

    def _serve(self, at: float) -> None:
        """Read what can be read, a bounded piece of each socket, and write what can be written."""
        events = self._ready.poll()
        if self._unread:
            # Each once, or what a socket gives now could overtake what it gave just before.
            self._unread.difference_update([fd for fd, _ in events])
            events += [(fd, READ) for fd in self._unread]
            self._unread.clear()
        seats, keep = self._seats, self._intake.keep
        for fd, what in events:
            seat = seats.get(fd)
            if seat is None:
                continue
            peer, leg = seat
            if what != READ and not self._more_than_read(peer, fd, what):
                continue
            data = peer.receive()
            if data:
                if len(data) == READ_BYTES:
                    self._unread.add(fd)
                if not keep(peer, leg, data, at):
                    self._read(peer, leg, data, at)
            elif data is not None:
                # Its last words are among what is kept.
                self._take()
                peer.lose()

    def _take(self) -> None:
        """Act on what the sockets gave since the last tick."""
        for peer, leg, data, at in self._intake.take():
            self._read(peer, leg, data, at)

    def _more_than_read(self, peer: Peer, fd: int, what: int) -> bool:
        """Act on the rarer things that happen to a socket; whether it is to be read as well."""
        if what & WRITE:
            peer.write()
            self._attention.add(peer)
        if what & ~(READ | WRITE):
            # The end is behind what is still to be read, and is not announced again.
            self._unread.add(fd)
        return what != WRITE

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
            peer = Peer(request.sock, self._clock, self._attention)
            self._ready.add(request.sock.fileno())
        except (OSError, ValueError) as error:
            # A descriptor that is no good must not cost the other calls theirs.
            request.sock.close()
            detail = f"the socket could not be adopted: {error}"
            self._reports.put(
                LegClosed(spec.call_id, spec.leg_id, None, detail, {}, self._clock.now())
            )
            return
        leg = self._legs[peer] = self._exchange.open(spec, peer)
        self._seats[request.sock.fileno()] = peer, leg

    def _hang_up(self, request: HangUp) -> None:
        for peer, leg in self._legs.items():
            same_leg = request.leg_id in (None, leg.spec.leg_id)
            if leg.spec.call_id == request.call_id and same_leg and peer.closing is None:
                leg.leave(request.text)
                peer.hang_up(1000, request.text, request.reason)

    def _move(self, request: Move) -> None:
        for peer, leg in self._legs.items():
            if leg.spec.call_id == request.call_id and peer.closing is None:
                self._exchange.move(leg, request.room_id, request.participant, request.session_id)

    def _reply(self, request: Ask) -> None:
        wanted = set(request.call_ids)
        found: dict[str, Mapping[str, Any]] = {}
        for leg in self._legs.values():
            call_id = leg.spec.call_id
            # A call may have two sockets for a moment; the one that has started is the call's.
            if call_id in wanted and (call_id not in found or self._exchange.leg(call_id) is leg):
                found[call_id] = leg.stats()
        request.reply.put(found)

    def _read(self, peer: Peer, leg: Leg, data: bytes, at: float) -> None:
        try:
            for message in peer.messages(data):
                self._exchange.message(leg, message, at)
        except RemoteError as error:
            peer.hang_up(error.close_code, error.message, EndReason.PROTOCOL_ERROR)
        except Exception:
            # One peer's message must not disturb the others.
            logger.exception("a leg failed", extra=leg.spec.fields)
            peer.hang_up(1011, "", None)
        if peer.peer_code in GOING_AWAY and leg.wire.close_ends_call:
            peer.reason = EndReason.CALLER_HUNG_UP

    def _attend(self) -> None:
        """Look after the peers that have ended or have something left to write."""
        while self._attention:
            peer = self._attention.pop()
            if peer not in self._legs:
                continue
            if peer.ended:
                self._forget(peer)
                continue
            self._ready.watch_writing(peer.sock.fileno(), peer.wants_write)

    def _forget(self, peer: Peer) -> None:
        fd = peer.sock.fileno()
        self._ready.remove(fd)
        del self._seats[fd]
        peer.sock.close()
        leg = self._legs.pop(peer)
        self._exchange.close(leg, peer.reason, peer.detail)
        self._tally.add(leg)

    def _check(self, at: float) -> None:
        """Once a second: every wait has an end."""
        ping = at >= self._next_ping
        if ping:
            self._next_ping = at + PING_SECONDS
        for peer, leg in self._legs.items():
            if watch(peer, leg, at):
                self._exchange.look_after(leg)
            if ping:
                peer.ping()

    def _start_over(self) -> None:
        """Forget a state that cannot be trusted any more, starting with the exchange."""
        self._exchange = Exchange(self._clock, self._reports.put)
        self._intake = Intake(self._exchange.bank)
        self._unread.clear()
        for peer in list(self._legs):
            peer.hang_up(1011, "", None)
            self._forget(peer)
        self._attention.clear()
