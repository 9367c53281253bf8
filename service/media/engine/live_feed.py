"""Live feed: levels and changes of all calls, sent to the console's pages.

Its sockets are few and not urgent. They are served between ticks, and a slow one misses messages or
is dropped. Their failures never affect a call.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

import orjson

from service.clock import Clock
from service.errors import RemoteError
from service.media.engine.timeouts import PING_SECONDS, watch_peer
from service.media.rooms.faults import Faults
from service.media.rooms.live_levels import LiveLevels
from service.media.transport.connection import MediaSocket

MOST = 20
"""Sockets at a time."""

TURN_SECONDS = 0.05
"""Seconds between two turns."""

LEVELS_SECONDS = 0.2
"""Seconds between two messages with levels."""

CHANGED_SECONDS = 0.25
"""Minimum interval between "changed" messages. Changes within it are combined."""

LONGEST_SECONDS = 3600.0
"""Seconds until a socket is closed. A page may reconnect, unless its sign-in has expired."""

READS = 8
"""Reads of one socket in a turn, so that a flood delays nothing else."""

CHANGED = orjson.dumps({"event": "changed"})


class LiveFeed:
    """Used by the engine's thread only. ``at`` is in monotonic seconds."""

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self._clock = clock
        self._faults = faults or Faults()
        self._peers: set[MediaSocket] = set()
        self._behind: set[MediaSocket] = set()  # sockets to be sent "changed"
        self._next_turn = self._next_levels = self._next_changed = 0.0
        self._next_check = self._next_ping = 0.0

    def __len__(self) -> int:
        return len(self._peers)

    def admit(self, sock: socket.socket) -> None:
        """Add a socket, which is sent "changed" at once; beyond ``MOST`` it is closed."""
        try:
            # Every socket is served in every turn, so the attention set is not used.
            peer = MediaSocket(sock, self._clock, set())
        except OSError:
            sock.close()
            return
        if sum(other.closing is None for other in self._peers) >= MOST:
            peer.hang_up(1013, "Too many pages of the console are open.", None)
        self._peers.add(peer)
        self._behind.add(peer)

    def announce(self) -> None:
        """Send "changed" to all sockets at the next opportunity."""
        self._behind.update(self._peers)

    def hand_over(self) -> None:
        """Close all sockets with 1012, because the process ends."""
        for peer in self._peers:
            peer.hang_up(1012, "Service restart", None)

    def close(self) -> None:
        for peer in self._peers:
            peer.sock.close()
        self._peers.clear()
        self._behind.clear()

    def turn(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """Serve the sockets, if a turn is due."""
        if not self._peers or at < self._next_turn:
            return
        self._next_turn = at + TURN_SECONDS
        try:
            self._look_after(at)
            self._send(at, live_levels)
        except Exception:
            self._faults.note("the live feed failed; all of its sockets are closed")
            self.close()

    def _look_after(self, at: float) -> None:
        check = at >= self._next_check
        if check:
            self._next_check = at + 1.0
        ping = at >= self._next_ping
        if ping:
            self._next_ping = at + PING_SECONDS
        for peer in list(self._peers):
            _read(peer)
            peer.write()
            if check:
                if peer.closing is None and at > peer.opened + LONGEST_SECONDS:
                    peer.hang_up(1001, "Open it again.", None)
                watch_peer(peer, at)
            if ping:
                peer.ping()
            if peer.ended:
                peer.sock.close()
                self._peers.discard(peer)
                self._behind.discard(peer)

    def _send(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """Send messages to the sockets without unsent data; the others get the next ones."""
        free = [peer for peer in self._peers if not peer.wants_write]
        if at >= self._next_changed:
            self._next_changed = at + CHANGED_SECONDS
            for peer in self._behind.intersection(free):
                peer.text(CHANGED)
                self._behind.discard(peer)
        if at >= self._next_levels and free:
            self._next_levels = at + LEVELS_SECONDS
            content = {"event": "levels", "at": self._clock.now(), "calls": live_levels()}
            message = orjson.dumps(content)
            for peer in free:
                peer.text(message)


def _read(peer: MediaSocket) -> None:
    """Read a socket. Only pongs and a close frame have a meaning."""
    try:
        for _ in range(READS):
            if peer.ended or (data := peer.receive()) is None:
                return
            for _message in peer.messages(data):
                pass
            if not data:
                peer.lose()
    except RemoteError as error:
        peer.hang_up(error.close_code, error.message, None)
