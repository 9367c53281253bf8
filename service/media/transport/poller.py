"""Pollers of readable and writable sockets: epoll, or Python's ``selectors``.

epoll is used edge-triggered: a socket is reported once for its data, and not again until more
arrives. That saves the kernel a check of every socket just read, a tenth of the cost of a frame. A
caller must therefore read a reported socket until it is empty. ``selectors`` reports a socket again
until it was read.
"""

from __future__ import annotations

import select
import selectors
import sys
from typing import Protocol

READ = 1
"""Data has arrived. Alone, it means that nothing else has happened to the socket."""

WRITE = 4
"""The socket is writable again. Any other bit means that the other end has closed, perhaps
with data left to read."""

MOST = 4096
"""Sockets reported at a time; the rest are reported the next time."""


class Poller(Protocol):
    def add(self, fd: int) -> None:
        """Watch a socket. Raises ``OSError`` or ``ValueError`` for a bad descriptor."""
        ...

    def remove(self, fd: int) -> None: ...

    def watch_writing(self, fd: int, wanted: bool) -> None: ...

    def poll(self) -> list[tuple[int, int]]:
        """Return descriptors with their events, as a sum of the constants, without waiting."""
        ...

    def close(self) -> None: ...


def best_poller() -> Poller:
    """Return the best poller of this system."""
    return EpollPoller() if sys.platform == "linux" else SelectorPoller()


class SelectorPoller:
    """Level-triggered, through ``selectors``, on any system."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, fd: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def remove(self, fd: int) -> None:
        self._selector.unregister(fd)

    def watch_writing(self, fd: int, wanted: bool) -> None:
        self._selector.modify(fd, selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0))

    def poll(self) -> list[tuple[int, int]]:
        return [
            (key.fd, bool(mask & selectors.EVENT_READ) | WRITE * bool(mask & selectors.EVENT_WRITE))
            for key, mask in self._selector.select(0)
        ]

    def close(self) -> None:
        self._selector.close()


if sys.platform == "linux":

    class EpollPoller:
        """``READ`` and ``WRITE`` are epoll's own numbers, so that nothing is translated."""

        _BASE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def add(self, fd: int) -> None:
            self._epoll.register(fd, self._BASE)

        def remove(self, fd: int) -> None:
            self._epoll.unregister(fd)

        def watch_writing(self, fd: int, wanted: bool) -> None:
            self._epoll.modify(fd, self._BASE | (select.EPOLLOUT if wanted else 0))

        def poll(self) -> list[tuple[int, int]]:
            return self._epoll.poll(0, MOST)

        def close(self) -> None:
            self._epoll.close()
