"""Reading: from the engine's sockets to its rooms."""

from __future__ import annotations

from service.clock import Clock
from service.domain.calls import EndReason
from service.domain.wire import PERIOD
from service.errors import RemoteError
from service.media.engine.batch_receive import BatchReceiver
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms
from service.media.transport.connection import READ_BYTES, MediaSocket
from service.media.transport.poller import READ, WRITE, Poller

GOING_AWAY = frozenset({1000, 1001, 1005})
"""Close codes of a regular end, as opposed to a failure."""


READ_SECONDS = 0.005
"""Seconds between two reads of the sockets. Audio has time until the tick, and reading many
sockets at once costs less than waking up for each."""

LATE_SECONDS = PERIOD
"""Seconds between two reads beyond which this process counts as late, and the audio does not."""

BACKLOG_SECONDS = 0.25
"""Longest time to read the backlog after that, one read of each socket at a time."""


class Reader:
    """Used by the engine's thread only. Sockets add themselves to ``attention``."""

    def __init__(
        self,
        clock: Clock,
        poller: Poller,
        rooms: LiveRooms,
        attention: set[MediaSocket],
        faults: FaultLog,
    ) -> None:
        self._clock = clock
        self._poller = poller
        self._attention = attention
        self._faults = faults
        self._sockets: dict[int, tuple[MediaSocket, Leg]] = {}  # by descriptor
        self._unread: set[int] = set()  # descriptors that may have more to read
        self._served = float("inf")
        self._earliest, self._late_until = 0.0, float("-inf")
        self.restart(rooms)

    def restart(self, rooms: LiveRooms) -> None:
        """Continue with these rooms. Data that was read and not handled yet is lost."""
        self._rooms = rooms
        self._receiver = BatchReceiver(rooms.buffers, self._faults)
        for media_socket, _ in self._sockets.values():
            media_socket.kept = 0

    def admit(self, media_socket: MediaSocket, leg: Leg) -> None:
        self._sockets[media_socket.sock.fileno()] = media_socket, leg

    def remove(self, media_socket: MediaSocket) -> None:
        """Remove a socket, before it is closed."""
        fd = media_socket.sock.fileno()
        self._sockets.pop(fd, None)
        self._unread.discard(fd)

    def serve(self, at: float) -> None:
        """Read once from each readable socket, and write to each writable one."""
        self._note(self._served, at)
        self._served = at
        if at < self._late_until:
            self._receiver.allow(at, self._earliest, at)
        events = self._poller.poll()
        if self._unread:
            # Each socket once, or its data could be reordered.
            self._unread.difference_update([fd for fd, _ in events])
            events += [(fd, READ) for fd in self._unread]
            self._unread.clear()
        sockets, keep = self._sockets, self._receiver.keep
        for fd, what in events:
            entry = sockets.get(fd)
            if entry is None:
                continue
            media_socket, leg = entry
            try:
                if what != READ and not self._more_than_read(media_socket, fd, what):
                    continue
                data = media_socket.receive()
                if data:
                    if len(data) == READ_BYTES:
                        self._unread.add(fd)
                    if not keep(media_socket, leg, data, at):
                        self.read(media_socket, leg, data, at)
                elif data is not None:
                    # The peer's last messages are still in the batch.
                    self.take()
                    media_socket.lose()
            except Exception:
                leg.fail()
        ended = self._clock.monotonic()
        if self._note(at, ended):
            self._receiver.allow(at, self._earliest, ended)

    def _note(self, since: float, at: float) -> bool:
        """Record the time between two reads. Returns whether this process was late."""
        if at <= since + LATE_SECONDS:
            return False
        if at > self._late_until:
            self._earliest = since
        self._late_until = at + min(at - since, BACKLOG_SECONDS)
        return True

    def take(self) -> None:
        """Handle the data read since the last tick."""
        for media_socket, leg, data, at in self._receiver.take():
            self.read(media_socket, leg, data, at)

    def _more_than_read(self, media_socket: MediaSocket, fd: int, what: int) -> bool:
        """Handle events other than readability. Returns whether to read as well."""
        if what & WRITE:
            media_socket.write()
            self._attention.add(media_socket)
        if what & ~(READ | WRITE):
            # The end follows the data that is still to be read, and is not reported again.
            self._unread.add(fd)
        return what != WRITE

    def read(self, media_socket: MediaSocket, leg: Leg, data: bytes, at: float) -> None:
        """Handle data of a socket, at once."""
        try:
            earliest = self._earliest if at < self._late_until else None
            for message in media_socket.messages(data):
                self._rooms.message(leg, message, at, earliest)
        except RemoteError as error:
            media_socket.hang_up(error.close_code, error.message, EndReason.PROTOCOL_ERROR)
        except Exception:
            # One peer's message must not affect the others.
            leg.fail()
        if media_socket.peer_code in GOING_AWAY and leg.wire.close_ends_call:
            media_socket.reason = EndReason.CALLER_HUNG_UP
