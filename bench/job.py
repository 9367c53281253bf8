"""The load generator's order for one run, and its reading of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOT = 0.001
"""Seconds. The 20 ms of a frame have twenty slots, and each call sends in a fixed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The order for one run.

    ``calls`` is a multiple of ``room_size``, and the participants of a room use these ``dialects``
    in turn. ``pids`` are the server's processes. ``token`` is the access token for Patchbay; if it
    is empty, calls need only the server's URL. ``cores`` are the server's and the load generator's,
    if there are two.
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

        Two hundred a second is a high rate for a server that stores each call. But the sockets are
        already open, and Patchbay closes a socket that sends nothing for ten seconds.
        """
        return min(self.calls / 200, 6.0)

    @property
    def warm_up(self) -> int:
        """Seconds before the window, in which the calls begin and the server settles."""
        return math.ceil(self.ramp) + 4 + self.calls // 400

    @property
    def first(self) -> int:
        """Number of the first frame of each call in the measured window."""
        return self.warm_up * 50

    @property
    def last(self) -> int:
        """Number of the first frame after the measured window."""
        return self.first + self.seconds * 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The measurements of a run of ``seconds``. Field names are keys of ``results.json``.

    Shares are between 0 and 1: ``heard`` of the frames that each listener should have heard from
    every other participant of the room, ``answered`` of the frames that the server should have
    sent, ``exact`` of the heard frames that were exact in their mix. Delays and lateness are in
    milliseconds, ``memory`` in bytes per call. CPU is in cores: ``server_cpu`` of the server's
    processes, ``generator_cpu`` of the load generator. ``strangers`` is the share of the whole
    machine that other processes took. ``lost`` counts broken sockets, ``unsent`` the frames that
    did not fit into a socket's buffer.
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
