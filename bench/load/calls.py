"""The calls of one run, and the frames that each sends in its slot of the 20 ms."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from bench.load import test_signal
from bench.load.connect import Ticket, connect
from bench.load.dialects import FIRST_CHUNK, numbered, opening, repeated
from bench.load.frames import Numbered


class Call:
    """One call with all its frames prepared.

    ``phase`` is its slot. ``chunks`` has the data read from its socket, if it is sampled.
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
        """Bytes so far and bytes within the window, if it is not sampled."""
        participant, seat = ticket.participant, ticket.seat
        self._hello = opening(participant)
        self.repeated = [] if participant.numbers_chunks else repeated(participant, seat)
        self.numbered = numbered(participant, seat) if participant.numbers_chunks else []

    def connect(self, port: int) -> None:
        """Open the socket and make it non-blocking."""
        self.sock, early = connect(port, self.ticket)
        self.sock.setblocking(False)
        self.chunks.append((time.monotonic(), early))

    def begin(self) -> None:
        """Send the opening messages of the stream."""
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
        """Send frame ``frame`` of every call, and return how many could not be sent.

        A partly sent frame breaks its stream. But by then the server has left so much unread that
        the run has already failed.
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
                    send(patterns[number].with_number(digits))
                except OSError:
                    unsent += 1
        return unsent
