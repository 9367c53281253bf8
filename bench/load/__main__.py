"""The load generator: a process of its own that makes many calls and listens to some of them.

``python -m bench.load JOB`` is given a ``Job`` as JSON, says ``begin`` on a line when the window
that counts begins, and ends with a ``Reading`` as JSON. It does as little as it can for a frame:
all are made beforehand, the sockets of sampled listeners are read at once and judged only when the
run is over, and of all others the bytes are counted ten times a second.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import numpy as np

from bench import process_stats
from bench.job import SLOT, Job, Reading
from bench.load.calls import Call, Slot
from bench.load.connect import rooms
from bench.load.verify import SLOTS, Findings, Listener, Seat, Times, Window, judge

SAMPLED = 64
"""Listeners whose every frame is judged."""

ROUND = 100
"""Slots in which the sockets of all other listeners are read once."""

COOL_DOWN = 25
"""Frames sent after the window, while its last ones may still be heard."""

SETTLE = 0.3
"""Seconds for which a first room is up before the server's memory is looked at."""


class Run:
    """``memory`` is what the server had in bytes before these calls."""

    def __init__(self, job: Job, calls: Sequence[Call], memory: int, poll: select.epoll) -> None:
        self._job = job
        self._poll = poll
        self._memory = memory
        self._slots = [Slot() for _ in range(SLOTS)]
        self._calls = calls
        self._begun = 0
        # The seed is fixed so that two runs differ in the server alone.
        order = random.Random(1).sample(calls, len(calls))  # noqa: S311 - no secret
        self._sampled, self._others = order[:SAMPLED], order[SAMPLED:]
        self._by_fd = {call.sock.fileno(): call for call in self._sampled}
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._buffer = bytearray(1 << 18)
        self._unsent = 0
        self._lost: set[Call] = set()

    def make(self) -> Reading:
        job = self._job
        begins, ends = job.first * SLOTS, job.last * SLOTS
        total = ends + COOL_DOWN * SLOTS
        rounds = [self._others[place::ROUND] for place in range(ROUND)]
        sent = np.zeros(total)
        usage = []
        others = process_stats.others(job.pids)
        start = time.monotonic() + SLOT
        due = start + np.arange(total) * SLOT
        for turn, moment in enumerate(due.tolist()):
            self._listen(moment)
            self._begin(turn)
            if turn in (begins, ends):
                usage.append((process_stats.cpu_seconds(job.pids), time.process_time()))
            if turn == begins:
                print("begin", flush=True)  # noqa: T201 - what the parent waits for
            sent[turn] = time.monotonic()
            self._unsent += self._slots[turn % SLOTS].send(turn // SLOTS)
            self._drain(rounds[turn % ROUND])
            if begins <= turn < begins + ROUND:
                for call in rounds[turn % ROUND]:
                    call.received = 0
            elif ends <= turn < ends + ROUND:
                for call in rounds[turn % ROUND]:
                    call.counted = call.received
        strangers = process_stats.since(others, process_stats.others(job.pids))
        memory = process_stats.resident_bytes(job.pids) - self._memory
        late = (sent - due)[begins:ends]
        (server, own), (server_after, own_after) = usage
        return self._reading(
            Window(sent, job.first, job.last),
            server_cpu=(server_after - server) / job.seconds,
            strangers=strangers / (total * SLOT) / (os.cpu_count() or 1),
            generator_cpu=(own_after - own) / job.seconds,
            generator_lateness_p99=_percentile(late, 99),
            memory=memory / job.calls,
        )

    def _begin(self, turn: int) -> None:
        """Let those calls begin whose turn it is."""
        due = min(1.0, (turn + 1) * SLOT / self._job.ramp) * len(self._calls)
        while self._begun < int(due):
            call = self._calls[self._begun]
            call.begin()
            self._slots[call.phase].add(call)
            self._begun += 1

    def _listen(self, until: float) -> None:
        """Read the sampled listeners as their audio comes, until the next slot is due."""
        while True:
            left = until - time.monotonic()
            # epoll waits for whole milliseconds, which a slot is; select waits for less.
            select.select((self._poll,), (), (), max(left, 0.0))
            for fd, _ in self._poll.poll(0):
                self._read(self._by_fd[fd])
            if left <= 0.0:
                return

    def _read(self, call: Call) -> None:
        try:
            data = call.sock.recv(65_536)
        except OSError:
            data = b""
        call.chunks.append((time.monotonic(), data))
        if not data:
            self._poll.unregister(call.sock)
            self._lost.add(call)

    def _drain(self, calls: Iterable[Call]) -> None:
        for call in calls:
            try:
                size = call.sock.recv_into(self._buffer)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            call.received += size
            if not size:
                self._lost.add(call)

    def _reading(self, window: Window, **measured: float) -> Reading:
        job = self._job
        findings = [self._judge(call, window) for call in self._sampled]
        latency = np.concatenate([found.latency for found in findings])
        gaps = np.concatenate([found.lateness for found in findings])
        return Reading(
            calls=job.calls,
            room_size=job.room_size,
            seconds=job.seconds,
            heard=float(np.mean([found.heard for found in findings])),
            exact=float(np.mean([found.exact for found in findings])),
            answered=self._answered(findings),
            latency_p50=_percentile(latency, 50),
            latency_p99=_percentile(latency, 99),
            lateness_p99=_percentile(gaps, 99),
            lost=len(self._lost),
            unsent=self._unsent,
            **measured,
        )

    def _judge(self, call: Call, window: Window) -> Findings:
        room = [Seat(other.ticket.speaker, other.phase) for other in call.room]
        return judge(Listener(room, call.ticket.seat, call.chunks), window)

    def _answered(self, findings: Sequence[Findings]) -> float:
        """The share of the frames that the server should have sent in all calls together."""
        sizes = {
            call.ticket.speaker.name: found.size
            for call, found in zip(self._sampled, findings, strict=True)
            if found.size
        }
        counts = [float(found.answers) for found in findings]
        for call in self._others:
            size = sizes.get(call.ticket.speaker.name)
            counts.append(call.counted / size if size else 0.0)
        # Of the frames of a call one may fall on either side of the window's two ends.
        return min(1.0, (float(np.mean(counts)) + 1) / (self._job.last - self._job.first))


def _percentile(seconds: Times, share: int) -> float:
    """In milliseconds; endless where nothing was measured."""
    return float(np.percentile(seconds, share)) * 1000 if len(seconds) else float("inf")


def _calls(job: Job) -> list[Call]:
    """All calls of the run, ready to be connected, each with a slot of its own choice."""
    # Evenly over the slots, and room-mates in slots that have nothing to do with each other.
    phases = [place % SLOTS for place in range(job.calls)]
    random.Random(2).shuffle(phases)  # noqa: S311 - no secret
    calls: list[Call] = []
    for tickets in rooms(job):
        room: list[Call] = []
        room += [Call(ticket, room, phases.pop()) for ticket in tickets]
        calls += room
    return calls


def _warm(job: Job) -> None:
    """One room that comes and goes, for what a server only loads with its first call."""
    calls = _calls(replace(job, calls=job.room_size))
    for call in calls:
        call.connect(job.port)
        call.begin()
    time.sleep(SETTLE)
    for call in calls:
        call.sock.close()


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    if job.cores is not None:
        os.sched_setaffinity(0, {job.cores[1]})
    # Before there are sockets: select takes no descriptor above 1023.
    poll = select.epoll()
    _warm(job)
    memory = process_stats.resident_bytes(job.pids)
    calls = _calls(job)
    # Its pauses would be the generator's.
    gc.disable()
    for call in calls:
        call.connect(job.port)
    reading = Run(job, calls, memory, poll).make()
    print(json.dumps(asdict(reading)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
