"""Which sockets have something to read, or take something again: epoll where there is one.

Edge-triggered: a socket is told of once for what has come, and not again until more comes. That
spares the kernel a look at every socket that was just read, a tenth of what a frame costs. So
whoever is told that a socket is readable reads it until it has no more. Where there is no epoll,
what Python's ``selectors`` finds is told the same way, and again until it was read.
"""

from __future__ import annotations

import select
import selectors
import sys
from typing import Protocol

READ = 1
"""Something has come. Alone, it is all that has happened to the socket."""

WRITE = 4
"""The socket takes something again. Any other bit says that the other end has closed or is gone,
perhaps after what is still to be read."""

MOST = 4096
"""Sockets told of at a time; the rest are told of the next time."""


class Poller(Protocol):
    def add(self, fd: int) -> None:
        """Look at a socket from now on. Raises ``OSError`` or ``ValueError`` for what is none."""
        ...

    def remove(self, fd: int) -> None: ...

    def watch_writing(self, fd: int, wanted: bool) -> None: ...

    def poll(self) -> list[tuple[int, int]]:
        """Descriptors and what has happened to them, as a sum of the constants; never waits."""
        ...

    def close(self) -> None: ...


def readiness() -> Poller:
    """What suits this system best."""
    return EpollReadiness() if sys.platform == "linux" else SelectorReadiness()


class SelectorReadiness:
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

    class EpollReadiness:
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
