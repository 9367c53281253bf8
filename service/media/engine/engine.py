"""Thread-safe interface of the media engine, which adopts media sockets and runs the 20 ms clock.

One thread owns every media socket. Other threads send it commands through a queue, and it answers
through the ``reports`` queue. Nothing else is shared, so that the engine could run in its own
process.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from service.clock import Clock
from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
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
    TakenLeg,
    TakeOut,
    Watch,
)
from service.media.engine.loop import Loop
from service.media.engine.stats import EngineStats
from service.media.engine.timeouts import CLOSE_SECONDS
from service.media.rooms.leg import LegSpec
from service.media.rooms.leg_state import LegState
from service.media.rooms.live_levels import LiveLevels
from service.media.rooms.reports import Report
from service.process import turns

T = TypeVar("T")


class Engine:
    """Thread-safe. The engine's thread starts with the first command, so after any fork."""

    def __init__(self, clock: Clock) -> None:
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: Loop | None = None
        self._gives_back = False

    def adopt(self, sock: socket.socket, spec: LegSpec, state: LegState | None = None) -> None:
        """Take over a socket whose handshake is done, and close it at its end.

        ``state`` is that of a leg that another engine has taken out.
        """
        self._submit(Adopt(sock, spec, state))

    def take_out(self, call_id: str, deliver: Callable[[TakenLeg], object]) -> None:
        """Take the call's legs out of their room. Each is given to ``deliver``, which must not
        block, and nothing is reported.
        """
        self._submit(TakeOut(call_id, deliver))

    def hang_up(
        self, call_id: str, reason: EndReason, text: str, *, leg_id: str | None = None
    ) -> None:
        """Close the call's sockets, or that of one leg, and report the end with ``reason``."""
        self._submit(HangUp(call_id, reason, text, leg_id))

    def release(self, call_id: str, text: str) -> None:
        """Close the call's sockets, so that its provider asks again; the call goes on."""
        self._submit(HangUp(call_id, None, text, None))

    def hand_back(self, call_id: str, text: str, moved_to: str | None = None) -> None:
        """Close the call's sockets with 1012, "service restart", because another node has the call:
        its provider asks again, and a custom client is to get a new ticket.

        ``moved_to`` is the call's new room, which a custom client has to be told.
        """
        self._submit(HangUp(call_id, None, text, None, 1012, moved_to))

    def move(
        self, call_id: str, room_id: str, participant: Participant, session_id: str | None
    ) -> None:
        """Move the call to another room. ``LegMoved`` reports its arrival."""
        self._submit(Move(call_id, room_id, participant, session_id))

    def stats(
        self, call_ids: Iterable[str], seconds: float = 1.0
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return statistics of the calls that have a socket. Raises ``TimeoutError``."""
        ask = Ask(tuple(call_ids))
        self._submit(ask)
        return _reply(ask.reply, seconds)

    def legs(self, seconds: float = 1.0) -> tuple[LegSpec, ...]:
        """Return the legs that have a socket. Raises ``TimeoutError``."""
        ask = AskLegs()
        self._submit(ask)
        return _reply(ask.reply, seconds)

    def loudness(self, call_id: str, seconds: float = 1.0) -> Loudness | None:
        """Return the loudness of a call on its current leg. Raises ``TimeoutError``."""
        ask = AskLoudness(call_id)
        self._submit(ask)
        return _reply(ask.reply, seconds)

    def levels(self, seconds: float = 1.0) -> Mapping[str, LiveLevels]:
        """Return the levels of all calls, by call id. Raises ``TimeoutError``."""
        ask = AskLevels()
        self._submit(ask)
        return _reply(ask.reply, seconds)

    def show(self, calls: Mapping[str, Any], seconds: float = 1.0) -> bool:
        """Show levels of other engines' calls in the live feed, until the next ones.

        Returns whether the feed has readers. Raises ``TimeoutError``.
        """
        show = Show(calls)
        self._submit(show)
        return _reply(show.reply, seconds)

    def engine_stats(self, seconds: float = 1.0) -> EngineStats:
        """Return the statistics of the whole engine. Raises ``TimeoutError``."""
        ask = AskEngineStats()
        self._submit(ask)
        return _reply(ask.reply, seconds)

    def watch(self, sock: socket.socket) -> None:
        """Take over a socket whose handshake is done, and send it the live feed."""
        self._submit(Watch(sock))

    def announce(self) -> None:
        """Tell the readers of the live feed that stored calls have changed."""
        with self._lock:
            if self._loop is not None:
                self._loop.submit(Announce())

    def give_back(self) -> None:
        """Begin to close every socket with 1012, "service restart"; ``stop`` waits for the end."""
        self._gives_back = True
        self._submit(Stop())

    @property
    def is_ending(self) -> bool:
        """Whether the sockets are being closed."""
        return self._gives_back

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs, was not started yet, or was told to end."""
        with self._lock:
            return self._thread is None or self._thread.is_alive() or self._gives_back

    def stop(self) -> None:
        """Hand every call back to its provider and end the thread. It may be started again."""
        with self._lock:
            thread, loop, self._thread, self._loop = self._thread, self._loop, None, None
            self._gives_back = False
        if thread is not None and loop is not None:
            loop.submit(Stop())
            thread.join(timeout=2 * CLOSE_SECONDS)
            if not thread.is_alive():
                loop.close()

    def _submit(self, command: EngineCommand) -> None:
        with self._lock:
            if self._thread is None or self._loop is None:
                self._loop = Loop(self._clock, self.reports)
                self._thread = threading.Thread(target=self._loop.run, name="engine", daemon=True)
                self._thread.start()
            self._loop.submit(command)


def _reply(replies: queue.SimpleQueue[T], seconds: float) -> T:
    try:
        with turns.waiting():
            return replies.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("The media engine does not answer.") from None
