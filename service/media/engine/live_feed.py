"""Live feed: levels and changes of all calls, sent to the console's pages.

Its sockets are few and not urgent. They are served between ticks, and a slow one misses messages or
is dropped. Their failures never affect a call.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from service.clock import Clock
from service.errors import RemoteError
from service.media.engine.timeouts import PING_SECONDS, watch_socket
from service.media.rooms.fault_log import FaultLog
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

    def __init__(self, clock: Clock, faults: FaultLog | None = None) -> None:
        self._clock = clock
        self._faults = faults or FaultLog()
        self._sockets: set[MediaSocket] = set()
        self._behind: set[MediaSocket] = set()  # sockets to be sent "changed"
        self.others: Mapping[str, Any] = {}
        """Levels of other engines' calls."""
        self._next_turn = self._next_levels = self._next_changed = 0.0
        self._next_check = self._next_ping = 0.0

    def __len__(self) -> int:
        return len(self._sockets)

    def admit(self, sock: socket.socket) -> None:
        """Add a socket, which is sent "changed" at once; beyond ``MOST`` it is closed."""
        try:
            # Every socket is served in every turn, so the attention set is not used.
            media_socket = MediaSocket(sock, self._clock, set())
        except OSError:
            sock.close()
            return
        if sum(other.closing is None for other in self._sockets) >= MOST:
            media_socket.hang_up(1013, "Too many pages of the console are open.", None)
        self._sockets.add(media_socket)
        self._behind.add(media_socket)

    def announce(self) -> None:
        """Send "changed" to all sockets at the next opportunity."""
        self._behind.update(self._sockets)

    def hand_over(self) -> None:
        """Close all sockets with 1012, because the process ends."""
        for media_socket in self._sockets:
            media_socket.hang_up(1012, "Service restart", None)

    def close(self) -> None:
        for media_socket in self._sockets:
            media_socket.sock.close()
        self._sockets.clear()
        self._behind.clear()

    def turn(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """Serve the sockets, if a turn is due."""
        if not self._sockets or at < self._next_turn:
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
        for media_socket in list(self._sockets):
            _read(media_socket)
            media_socket.write()
            if check:
                if media_socket.closing is None and at > media_socket.opened + LONGEST_SECONDS:
                    media_socket.hang_up(1001, "Open it again.", None)
                watch_socket(media_socket, at)
            if ping:
                media_socket.ping()
            if media_socket.ended:
                media_socket.sock.close()
                self._sockets.discard(media_socket)
                self._behind.discard(media_socket)

    def _send(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """Send messages to the sockets without unsent data; the others get the next ones."""
        free = [media_socket for media_socket in self._sockets if not media_socket.wants_write]
        if at >= self._next_changed:
            self._next_changed = at + CHANGED_SECONDS
            for media_socket in self._behind.intersection(free):
                media_socket.text(CHANGED)
                self._behind.discard(media_socket)
        if at >= self._next_levels and free:
            self._next_levels = at + LEVELS_SECONDS
            content = {
                "event": "levels",
                "at": self._clock.now(),
                "calls": {**self.others, **live_levels()},
            }
            message = orjson.dumps(content)
            for media_socket in free:
                media_socket.text(message)


def _read(media_socket: MediaSocket) -> None:
    """Read a socket. Only pongs and a close frame have a meaning."""
    try:
        for _ in range(READS):
            if media_socket.ended or (data := media_socket.receive()) is None:
                return
            for _message in media_socket.messages(data):
                pass
            if not data:
                media_socket.lose()
    except RemoteError as error:
        media_socket.hang_up(error.close_code, error.message, None)
