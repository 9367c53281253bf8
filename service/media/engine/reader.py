"""The reading side of the engine: what the sockets give, from the kernel to the exchange."""

from __future__ import annotations

from service.clock import Clock
from service.domain.calls import EndReason
from service.domain.wire import PERIOD
from service.errors import RemoteError
from service.media.engine.batch_receive import BatchReceiver
from service.media.rooms.faults import Faults
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.transport.connection import READ_BYTES, MediaSocket
from service.media.transport.poller import READ, WRITE, Poller

GOING_AWAY = frozenset({1000, 1001, 1005})
"""Close codes with which a peer says that it is done, and not that something broke."""


READ_SECONDS = 0.005
"""Between two reads of the sockets. Audio has time until the tick, and reading what has come for
many calls at once costs less than waking up for each."""

LATE_SECONDS = PERIOD
"""Time between two reads after which we were late, and not the audio that is read then."""

BACKLOG_SECONDS = 0.25
"""How long it takes at most to read the backlog after that, a piece of each socket at a time."""


class Reader:
    """Of the engine's thread. ``attention`` is what peers announce themselves in."""

    def __init__(
        self,
        clock: Clock,
        ready: Poller,
        exchange: LiveRooms,
        attention: set[MediaSocket],
        faults: Faults,
    ) -> None:
        self._clock = clock
        self._ready = ready
        self._attention = attention
        self._faults = faults
        self._seats: dict[int, tuple[MediaSocket, Leg]] = {}  # by descriptor
        self._unread: set[int] = set()  # descriptors that may have more to read
        self._served = float("inf")
        self._earliest, self._late_until = 0.0, float("-inf")
        self.restart(exchange)

    def restart(self, exchange: LiveRooms) -> None:
        """Go on with this exchange. What was read and not yet acted on is lost."""
        self._exchange = exchange
        self._intake = BatchReceiver(exchange.buffers, self._faults)
        for peer, _ in self._seats.values():
            peer.kept = 0

    def admit(self, peer: MediaSocket, leg: Leg) -> None:
        self._seats[peer.sock.fileno()] = peer, leg

    def remove(self, peer: MediaSocket) -> None:
        """To be called before the socket is closed."""
        fd = peer.sock.fileno()
        self._seats.pop(fd, None)
        self._unread.discard(fd)

    def serve(self, at: float) -> None:
        """Read what can be read, a bounded piece of each socket, and write what can be written."""
        self._note(self._served, at)
        self._served = at
        if at < self._late_until:
            self._intake.allow(at, self._earliest, at)
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
            try:
                if what != READ and not self._more_than_read(peer, fd, what):
                    continue
                data = peer.receive()
                if data:
                    if len(data) == READ_BYTES:
                        self._unread.add(fd)
                    if not keep(peer, leg, data, at):
                        self._read(peer, leg, data, at)
                elif data is not None:
                    # The peer's last messages are still in the backlog.
                    self.take()
                    peer.lose()
            except Exception:
                leg.fail()
        ended = self._clock.monotonic()
        if self._note(at, ended):
            self._intake.allow(at, self._earliest, ended)

    def _note(self, since: float, at: float) -> bool:
        """Whether we were late for what came between these times."""
        if at <= since + LATE_SECONDS:
            return False
        if at > self._late_until:
            self._earliest = since
        self._late_until = at + min(at - since, BACKLOG_SECONDS)
        return True

    def take(self) -> None:
        """Act on what the sockets gave since the last tick."""
        for peer, leg, data, at in self._intake.take():
            self._read(peer, leg, data, at)

    def _more_than_read(self, peer: MediaSocket, fd: int, what: int) -> bool:
        """Act on the rarer things that happen to a socket; whether it is to be read as well."""
        if what & WRITE:
            peer.write()
            self._attention.add(peer)
        if what & ~(READ | WRITE):
            # The end is behind what is still to be read, and is not announced again.
            self._unread.add(fd)
        return what != WRITE

    def _read(self, peer: MediaSocket, leg: Leg, data: bytes, at: float) -> None:
        try:
            earliest = self._earliest if at < self._late_until else None
            for message in peer.messages(data):
                self._exchange.message(leg, message, at, earliest)
        except RemoteError as error:
            peer.hang_up(error.close_code, error.message, EndReason.PROTOCOL_ERROR)
        except Exception:
            # One peer's message must not disturb the others.
            leg.fail()
        if peer.peer_code in GOING_AWAY and leg.wire.close_ends_call:
            peer.reason = EndReason.CALLER_HUNG_UP
