"""Load generator: a separate process that makes many calls and checks the audio of some of them.

``python -m bench.load JOB`` takes a ``Job`` as JSON, prints ``begin`` on a line when the measured
window begins, and prints a ``Reading`` as JSON at the end. It does little work per frame: all
frames are prepared in advance, the sockets of sampled listeners are read at once and analysed after
the run, and the bytes of all others are counted ten times a second.
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
"""Listeners whose every frame is checked."""

ROUND = 100
"""Slots in which the socket of each other listener is read once."""

COOL_DOWN = 25
"""Frames sent after the window, while its last frames are still under way."""

SETTLE = 0.3
"""Seconds that a first room lasts before the server's memory is measured."""


class Run:
    """One run. ``memory`` is the server's memory in bytes before these calls."""

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
                print("begin", flush=True)  # noqa: T201 - the parent waits for it
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
        """Start the calls that are due."""
        due = min(1.0, (turn + 1) * SLOT / self._job.ramp) * len(self._calls)
        while self._begun < int(due):
            call = self._calls[self._begun]
            call.begin()
            self._slots[call.phase].add(call)
            self._begun += 1

    def _listen(self, until: float) -> None:
        """Read the sampled listeners as their audio arrives, until the next slot is due."""
        while True:
            left = until - time.monotonic()
            # epoll waits for whole milliseconds, the length of a slot; select is finer.
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
        room = [Seat(other.ticket.participant, other.phase) for other in call.room]
        return judge(Listener(room, call.ticket.seat, call.chunks), window)

    def _answered(self, findings: Sequence[Findings]) -> float:
        """Return the share of the expected frames that the server sent, over all calls."""
        sizes = {
            call.ticket.participant.name: found.size
            for call, found in zip(self._sampled, findings, strict=True)
            if found.size
        }
        counts = [float(found.answers) for found in findings]
        for call in self._others:
            size = sizes.get(call.ticket.participant.name)
            counts.append(call.counted / size if size else 0.0)
        # One frame of a call may fall outside the window at either end.
        return min(1.0, (float(np.mean(counts)) + 1) / (self._job.last - self._job.first))


def _percentile(seconds: Times, share: int) -> float:
    """Return the percentile in milliseconds; infinity without a measurement."""
    return float(np.percentile(seconds, share)) * 1000 if len(seconds) else float("inf")


def _calls(job: Job) -> list[Call]:
    """Return all calls of the run, unconnected, each with a random slot."""
    # Spread evenly over the slots; the slots of one room are independent of each other.
    phases = [place % SLOTS for place in range(job.calls)]
    random.Random(2).shuffle(phases)  # noqa: S311 - no secret
    calls: list[Call] = []
    for tickets in rooms(job):
        room: list[Call] = []
        room += [Call(ticket, room, phases.pop()) for ticket in tickets]
        calls += room
    return calls


def _warm(job: Job) -> None:
    """Open and close one room, because a server loads some of its code with the first call."""
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
    # Create it before any socket: select takes no descriptor above 1023.
    poll = select.epoll()
    _warm(job)
    memory = process_stats.resident_bytes(job.pids)
    calls = _calls(job)
    # A collection would delay the generator.
    gc.disable()
    for call in calls:
        call.connect(job.port)
    reading = Run(job, calls, memory, poll).make()
    print(json.dumps(asdict(reading)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
