"""Sockets of legs: adopted from other threads, taken out for another engine, and forgotten."""

from __future__ import annotations

from collections.abc import Callable

from service.clock import Clock
from service.media.engine.commands import Adopt, TakenLeg, TakeOut
from service.media.engine.reader import Reader
from service.media.engine.stats import StatsCollector
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.leg import Leg
from service.media.rooms.leg_state import LegState, capture
from service.media.rooms.live_rooms import LiveRooms
from service.media.rooms.reports import LegClosed, Report
from service.media.transport.connection import MediaSocket
from service.media.transport.poller import Poller


class LegSockets:
    """Used by the engine's thread only. ``legs`` has every open socket with its leg."""

    def __init__(
        self,
        clock: Clock,
        poller: Poller,
        reader: Reader,
        rooms: LiveRooms,
        attention: set[MediaSocket],
        stats: StatsCollector,
        report: Callable[[Report], None],
        faults: FaultLog,
    ) -> None:
        self.legs: dict[MediaSocket, Leg] = {}
        self._clock = clock
        self._poller = poller
        self._reader = reader
        self._attention = attention
        self._stats = stats
        self._report = report
        self._faults = faults
        self.restart(rooms)

    def restart(self, rooms: LiveRooms) -> None:
        """Continue with these rooms."""
        self._rooms = rooms

    def adopt(self, command: Adopt) -> None:
        spec, state = command.spec, command.state
        try:
            media_socket = MediaSocket(command.sock, self._clock, self._attention)
            self._poller.add(command.sock.fileno())
        except Exception as error:
            # A bad descriptor must not affect the other calls.
            if not isinstance(error, OSError | ValueError):
                self._faults.note("a socket could not be adopted", spec.fields)
            command.sock.close()
            detail = f"the socket could not be adopted: {error}"
            stats, loudness = ({}, None) if state is None else (state.counters, state.loudness)
            now = self._clock.now()
            self._report(LegClosed(spec.call_id, spec.leg_id, None, detail, stats, now, loudness))
            return
        leg = self.legs[media_socket] = self._rooms.open(spec, media_socket)
        self._reader.admit(media_socket, leg)
        if state is not None:
            self._resume(media_socket, leg, state)

    def take_out(self, command: TakeOut) -> None:
        # All that was read belongs to the state.
        self._reader.take()
        for media_socket, leg in list(self.legs.items()):
            is_open = media_socket.closing is None and not media_socket.ended and not leg.failed
            if leg.spec.call_id != command.call_id or not is_open:
                continue
            try:
                state = capture(leg, media_socket.unread, media_socket.unsent)
            except Exception:
                leg.fail()
                continue
            self._unplug(media_socket)
            try:
                self._rooms.take_out(leg)
                self._stats.add(leg)
            except Exception:
                self._faults.note("a leg could not be forgotten", leg.spec.fields)
            command.deliver(TakenLeg(media_socket.sock, leg.spec, state))

    def forget(self, media_socket: MediaSocket) -> None:
        """Close a socket, and report the end of its leg."""
        leg = self._unplug(media_socket)
        media_socket.sock.close()
        try:
            self._rooms.close(leg, media_socket.reason, media_socket.detail)
            self._stats.add(leg)
        except Exception:
            self._faults.note("a leg could not be forgotten", leg.spec.fields)

    def _resume(self, media_socket: MediaSocket, leg: Leg, state: LegState) -> None:
        at = self._clock.monotonic()
        try:
            # In the order in which its peer must get it.
            media_socket.resume(state.unsent, answers_pings=state.answers_pings)
            self._rooms.resume(leg, state, at)
            self._reader.read(media_socket, leg, state.unread, at)
        except Exception:
            leg.fail()

    def _unplug(self, media_socket: MediaSocket) -> Leg:
        """Remove a socket. The poller would otherwise know it for as long as any process has it."""
        leg = self.legs.pop(media_socket)
        try:
            self._reader.remove(media_socket)
            self._poller.remove(media_socket.sock.fileno())
        except Exception:
            self._faults.note("a socket could not be forgotten", leg.spec.fields)
        return leg
