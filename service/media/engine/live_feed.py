"""Watchers: sockets that are told how all calls are doing, and have no part in any.

They are few, and nothing about them is urgent: they are looked after between ticks, and one that
takes its time misses news, or is dropped. Their troubles are never those of a call.
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

TURN_SECONDS = 0.05
"""Between two looks at the sockets."""

LEVELS_SECONDS = 0.2
"""Between two messages with levels."""

CHANGED_SECONDS = 0.25
"""Between two messages that say that something has changed: many changes are told of at once."""

LONGEST_SECONDS = 3600.0
"""How long a watcher is let in for. It may ask again, and is refused where its sign-in is over."""

READS = 8
"""Reads of one socket in a turn, so that whoever floods it holds nothing up."""

CHANGED = orjson.dumps({"event": "changed"})


class LiveFeed:
    """Of the engine's thread. ``at`` is in monotonic seconds."""

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self._clock = clock
        self._faults = faults or Faults()
        self._peers: set[MediaSocket] = set()
        self._behind: set[MediaSocket] = set()  # those who have not been told of a change
        self._next_turn = self._next_levels = self._next_changed = 0.0
        self._next_check = self._next_ping = 0.0

    def __len__(self) -> int:
        return len(self._peers)

    def admit(self, sock: socket.socket) -> None:
        """One more watcher, who is told at once that things have changed; beyond ``MOST`` none."""
        try:
            # Each is looked at in every turn, so that none needs to ask for attention.
            peer = MediaSocket(sock, self._clock, set())
        except OSError:
            sock.close()
            return
        if sum(other.closing is None for other in self._peers) >= MOST:
            peer.hang_up(1013, "Too many pages of the console are open.", None)
        self._peers.add(peer)
        self._behind.add(peer)

    def announce(self) -> None:
        """Something that is stored has changed."""
        self._behind.update(self._peers)

    def hand_over(self) -> None:
        """The process ends: they may try the next one."""
        for peer in self._peers:
            peer.hang_up(1012, "Service restart", None)

    def close(self) -> None:
        for peer in self._peers:
            peer.sock.close()
        self._peers.clear()
        self._behind.clear()

    def turn(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """Do what is due."""
        if not self._peers or at < self._next_turn:
            return
        self._next_turn = at + TURN_SECONDS
        try:
            self._look_after(at)
            self._tell(at, live_levels)
        except Exception:
            self._faults.note("the watchers failed; all of them are dropped")
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

    def _tell(self, at: float, live_levels: Callable[[], Mapping[str, LiveLevels]]) -> None:
        """News for those who have read what came before; the others hear the next."""
        free = [peer for peer in self._peers if not peer.wants_write]
        if at >= self._next_changed:
            self._next_changed = at + CHANGED_SECONDS
            for peer in self._behind.intersection(free):
                peer.text(CHANGED)
                self._behind.discard(peer)
        if at >= self._next_levels and free:
            self._next_levels = at + LEVELS_SECONDS
            news = {"event": "levels", "at": self._clock.now(), "calls": live_levels()}
            message = orjson.dumps(news)
            for peer in free:
                peer.text(message)


def _read(peer: MediaSocket) -> None:
    """Take what has come. A watcher has nothing to say but pongs and that it is leaving."""
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
