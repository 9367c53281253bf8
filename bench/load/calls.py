"""The calls of one run, and what each of them sends in its slot of the 20 ms."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from bench.load import test_signal
from bench.load.connect import Ticket, connect
from bench.load.dialects import FIRST_CHUNK, numbered, opening, repeated
from bench.load.frames import Numbered


class Call:
    """One call; all that it will ever say is made with it.

    ``phase`` is its slot. ``chunks`` are what its socket has given, where it is sampled.
    """

    __slots__ = (
        "_hello",
        "chunks",
        "counted",
        "numbered",
        "phase",
        "received",
        "repeated",
        "room",
        "sock",
        "ticket",
    )

    def __init__(self, ticket: Ticket, room: Sequence[Call], phase: int) -> None:
        self.ticket = ticket
        self.room = room
        self.phase = phase
        self.sock: socket.socket
        self.chunks: list[tuple[float, bytes]] = []
        self.received = self.counted = 0
        """Bytes so far and bytes within the window, where it is not sampled."""
        speaker, seat = ticket.speaker, ticket.seat
        self._hello = opening(speaker)
        self.repeated = [] if speaker.numbers_chunks else repeated(speaker, seat)
        self.numbered = numbered(speaker, seat) if speaker.numbers_chunks else []

    def connect(self, port: int) -> None:
        """Open the socket; from here on it never blocks."""
        self.sock, early = connect(port, self.ticket)
        self.sock.setblocking(False)
        self.chunks.append((time.monotonic(), early))

    def begin(self) -> None:
        """Say what the stream begins with."""
        self.sock.sendall(self._hello)


class Slot:
    """The calls that send in the same millisecond."""

    __slots__ = ("_numbered", "_repeated")

    def __init__(self) -> None:
        self._repeated: list[tuple[Callable[[bytes], int], Sequence[bytes]]] = []
        self._numbered: list[tuple[Callable[[bytes], int], Sequence[Numbered]]] = []

    def add(self, call: Call) -> None:
        if call.numbered:
            self._numbered.append((call.sock.send, call.numbered))
        else:
            self._repeated.append((call.sock.send, call.repeated))

    def send(self, frame: int) -> int:
        """Send frame ``frame`` of every call; how many could not be sent.

        A frame that is only taken in part spoils its stream. But then the server has left so much
        unread before it that the run has failed already.
        """
        number = frame % test_signal.NUMBERS
        unsent = 0
        for send, frames in self._repeated:
            try:
                send(frames[number])
            except OSError:
                unsent += 1
        if self._numbered:
            digits = b"%d" % (FIRST_CHUNK + frame)
            for send, patterns in self._numbered:
                try:
                    send(patterns[number].bearing(digits))
                except OSError:
                    unsent += 1
        return unsent
