"""One run: what the load generator is told to do, and what it says of it afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOT = 0.001
"""Seconds. The 20 ms of a frame have twenty slots, and each call sends in one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``calls`` is a multiple of ``room_size``; seat by seat, a room has these ``dialects``.

    ``pids`` are the server's processes. ``token`` is for a Patchbay; empty, the server is called by
    its URL alone. ``cores`` are the server's and the load generator's, where there are two.
    """

    port: int
    pids: list[int]
    calls: int
    room_size: int = 2
    dialects: list[str]
    token: str
    cores: tuple[int, int] | None
    seconds: int

    @property
    def ramp(self) -> float:
        """Seconds over which the calls begin.

        Two hundred a second are a lot for a server that keeps a record of each; but sockets are
        opened beforehand, and one that says nothing for ten seconds is closed.
        """
        return min(self.calls / 200, 6.0)

    @property
    def warm_up(self) -> int:
        """Seconds before the window, in which the calls begin and the server comes to rest."""
        return math.ceil(self.ramp) + 4 + self.calls // 400

    @property
    def first(self) -> int:
        """The frame of each call with which the window that counts begins."""
        return self.warm_up * 50

    @property
    def last(self) -> int:
        """The frame with which it is over."""
        return self.first + self.seconds * 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a run of ``seconds`` has shown.

    Shares are of one: ``heard`` of the frames that every listener should have heard from every
    other in the room, ``answered`` of the frames that the server should have sent, ``exact`` of
    those heard that were exact in their mix. Delays and lateness are in milliseconds, ``memory`` in
    bytes per call. CPU is in cores: ``server_cpu`` that of the server's processes,
    ``generator_cpu`` that of the load generator; ``strangers`` is the share of the whole machine
    that all others took. ``lost`` counts sockets that broke, ``unsent`` frames that the server left
    no room for.
    """

    calls: int
    room_size: int
    seconds: int
    heard: float
    answered: float
    exact: float
    latency_p50: float
    latency_p99: float
    lateness_p99: float
    server_cpu: float
    strangers: float
    memory: float
    lost: int
    unsent: int
    generator_cpu: float
    generator_lateness_p99: float

    @property
    def cost(self) -> float:
        """CPU milliseconds per call-second."""
        return self.server_cpu * 1000 / self.calls
