"""``python -m bench.soak --minutes N``: calls come and go, and everything must be back in the end.

A real server takes twenty calls a second, short and long, rejected, half-open and killed. It is
sounded at rest, after a warm-up and at the end. Exit code 1 where one does not hold.
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
from bench.load.connect import HOST, PATIENCE
from bench.servers import PATCHBAY, Server, serving
from bench.soak.calls import Line
from bench.soak.verdict import Sounding, hear, table, verdict

RATE = 20
"""Calls a second."""

AT_ONCE = 80
"""Calls at a time; where the server holds so many up, the rate falls."""

LONG_CALLS = 6
WARM_UP_SECONDS = 20
SETTLE_SECONDS = 150
"""How long calls may take to be over: a reference is good for 90 s."""

REST_SECONDS = 5
"""At rest, for what a server has still to close behind the last call."""

REPORT_SECONDS = 5
THREADS, POOL_FILES = 16, 30
"""The server's threads for requests, and the files that its pool of connections opens at most."""

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
"""Kinds that leave a call waiting for its socket, which a warm-up has no time for."""


class Soak:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._line = Line(server.port, server.token, self._over)
        self._made: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def run(self, seconds: float) -> bool:
        """Whether everything holds; the table is printed."""
        say("warming up")
        self._line.fill(THREADS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._churn(pool, WARM_UP_SECONDS, LASTING)
        before = self._rest()
        with ThreadPoolExecutor(LONG_CALLS) as longs:
            listening = [longs.submit(self._line.long) for _ in range(LONG_CALLS)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self._churn(pool, seconds, ())
            self._over.set()
        after = self._rest()
        calls = [hear(each.result()) for each in listening]
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
            work: Callable[[], None] = getattr(self._line, kind)
            pool.submit(work).add_done_callback(partial(self._done, kind, free))
            number += 1
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))

    def _done(self, kind: str, free: threading.Semaphore, done: Future[None]) -> None:
        free.release()
        error = done.exception()
        if error is not None:
            self._failed[f"{kind}: {type(error).__name__}"] += 1

    def _progress(self, elapsed: float) -> None:
        now = self._sound(0)
        say(
            f"{elapsed:6.0f} s, {sum(self._made.values())} calls, {now.threads} threads, "
            f"{now.descriptors} descriptors, {now.memory / 2**20:.0f} MB"
        )

    def _rest(self) -> Sounding:
        """Wait until nothing is up any more; what there is then."""
        say("waiting for the last calls to be over")
        deadline = time.monotonic() + SETTLE_SECONDS
        while (rows := self._rows()) and time.monotonic() < deadline:
            time.sleep(1.0)
        time.sleep(REST_SECONDS)
        return self._sound(rows)

    def _sound(self, rows: int) -> Sounding:
        threads, links = 0, []
        for pid in self._server.pids:
            threads += len(os.listdir(f"/proc/{pid}/task"))
            links += _links(pid)
        files = sum("patchbay.db" in link for link in links)
        memory = process_stats.resident_bytes(self._server.pids)
        return Sounding(threads, len(links) - files, files, memory, rows)

    def _rows(self) -> int:
        """Calls and sessions that are not over."""
        calls = sum(
            self._count(f"/v2/sip/call?status={status}&perPage=1")
            for status in ("incoming", "answered")
        )
        # A session is told with all who were ever in it, which would be measured as well.
        return calls or self._count("/v2/sessions?status=ongoing&perPage=1")

    def _count(self, path: str) -> int:
        # Not kept open: a connection is a descriptor of the server's.
        headers = {"Authorization": self._server.token, "Connection": "close"}
        request = Request(f"http://{HOST}:{self._server.port}{path}", headers=headers)
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - loopback
            total: int = json.load(answer)["pageInfo"]["total"]
            return total


def _links(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:  # It was closed meanwhile.
            continue
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - what whoever waits looks at


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long calls come and go")
    minutes: float = parser.parse_args().minutes
    with serving(PATCHBAY, None) as server:
        holds = Soak(server).run(minutes * 60)
    sys.exit(not holds)


if __name__ == "__main__":
    main()
