"""Soak test: ``python -m bench.soak --minutes N`` checks that a server frees its resources.

A real server takes twenty calls a second: short, long, rejected, half-open and killed. Its
resources are measured at rest, after a warm-up and at the end. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

from bench import process_stats
from bench.load.connect import HOST, TIMEOUT
from bench.servers import PATCHBAY, Server, serving
from bench.soak.calls import CallGenerator
from bench.soak.verdict import Snapshot, long_call, table, verdict

RATE = 20
"""Calls a second."""

AT_ONCE = 80
"""Maximum simultaneous calls. The rate falls if the server delays this many."""

LONG_CALLS = 6
WARM_UP_SECONDS = 20
SETTLE_SECONDS = 150
"""Maximum seconds until all calls are over: a reference is valid for 90 s."""

REST_SECONDS = 5
"""Seconds for the server to close what belongs to the last call."""

REPORT_SECONDS = 5
THREADS, POOL_FILES = 16, 30
"""The server's request threads, and the most files that its connection pool opens."""

SHARES = {
    "short": 50,
    "medium": 6,
    "killed": 15,
    "rejected": 15,
    "abandoned": 6,
    "half_open": 4,
    "silent": 4,
}
LASTING = ("abandoned", "half_open")
"""Kinds that leave a call waiting for its socket, which takes longer than the warm-up."""


class Soak:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._generator = CallGenerator(server.port, server.token, self._over)
        self._made: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def run(self, seconds: float) -> bool:
        """Print the table and return whether every check holds."""
        say("warming up")
        self._generator.fill(THREADS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._churn(pool, WARM_UP_SECONDS, LASTING)
        before = self._rest()
        with ThreadPoolExecutor(LONG_CALLS) as longs:
            listening = [longs.submit(self._generator.long) for _ in range(LONG_CALLS)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self._churn(pool, seconds, ())
            self._over.set()
        after = self._rest()
        calls = [long_call(each.result()) for each in listening]
        rows = verdict(before, after, calls, pool_files=POOL_FILES)
        made = ", ".join(f"{count} {kind}" for kind, count in sorted(self._made.items()))
        say(f"calls made: {made}; failed: {dict(self._failed) or 'none'}")
        sys.stdout.write(table(rows) + "\n")
        return all(row.holds for row in rows)

    def _churn(self, pool: ThreadPoolExecutor, seconds: float, without: Sequence[str]) -> None:
        shares = {kind: share for kind, share in SHARES.items() if kind not in without}
        free = threading.Semaphore(AT_ONCE)
        began = reported = time.monotonic()
        number = 0
        while (now := time.monotonic()) < began + seconds:
            if now >= reported + REPORT_SECONDS:
                reported = now
                self._progress(now - began)
            free.acquire()
            kind = random.choices(list(shares), list(shares.values()))[0]  # noqa: S311
            self._made[kind] += 1
            work: Callable[[], None] = getattr(self._generator, kind)
            pool.submit(work).add_done_callback(partial(self._done, kind, free))
            number += 1
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))

    def _done(self, kind: str, free: threading.Semaphore, done: Future[None]) -> None:
        free.release()
        error = done.exception()
        if error is not None:
            self._failed[f"{kind}: {type(error).__name__}"] += 1

    def _progress(self, elapsed: float) -> None:
        now = self._snapshot(0)
        say(
            f"{elapsed:6.0f} s, {sum(self._made.values())} calls, {now.threads} threads, "
            f"{now.descriptors} descriptors, {now.memory / 2**20:.0f} MB"
        )

    def _rest(self) -> Snapshot:
        """Wait until all calls are over, then measure the server's resources."""
        say("waiting for the last calls to be over")
        deadline = time.monotonic() + SETTLE_SECONDS
        while (rows := self._rows()) and time.monotonic() < deadline:
            time.sleep(1.0)
        time.sleep(REST_SECONDS)
        return self._snapshot(rows)

    def _snapshot(self, rows: int) -> Snapshot:
        threads, links = 0, []
        for pid in self._server.pids:
            threads += len(os.listdir(f"/proc/{pid}/task"))
            links += _links(pid)
        files = sum("patchbay.db" in link for link in links)
        memory = process_stats.resident_bytes(self._server.pids)
        return Snapshot(threads, len(links) - files, files, memory, rows)

    def _rows(self) -> int:
        """Count the calls and sessions that are not over."""
        calls = sum(
            self._count(f"/v2/sip/call?status={status}&perPage=1")
            for status in ("incoming", "answered")
        )
        # A session's answer lists all its participants, which would cost memory during the test.
        return calls or self._count("/v2/sessions?status=ongoing&perPage=1")

    def _count(self, path: str) -> int:
        # An open connection would count as one of the server's descriptors.
        headers = {"Authorization": self._server.token, "Connection": "close"}
        request = Request(f"http://{HOST}:{self._server.port}{path}", headers=headers)
        with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - loopback
            total: int = json.load(answer)["pageInfo"]["total"]
            return total


def _links(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:  # The descriptor was closed since the listing.
            continue
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long calls come and go")
    minutes: float = parser.parse_args().minutes
    with serving(PATCHBAY, None) as server:
        holds = Soak(server).run(minutes * 60)
    sys.exit(not holds)


if __name__ == "__main__":
    main()
