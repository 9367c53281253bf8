"""Measure how much a long history slows calls down, and how long its lists take to read.

Two servers run side by side, one with an empty database and one with many finished calls. They
receive calls in turn, so that changes of the machine's speed affect both alike.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

from bench.history import EVERY, FIRST, fill
from bench.load.connect import HOST, TIMEOUT, PatchbayClient, Ticket, connect
from bench.load.dialects import Phone
from bench.results import HistoryCost
from bench.servers import PATCHBAY, Server, serving
from bench.trial import Cores
from service.storage.database import Database

ROOM = "history-room-0"
"""The room of half of all finished calls."""

CALLS = 600
"""New calls to each server."""

UP = 50
"""Simultaneous calls."""

ASKED = 5
"""Reads of each list."""

EXCLUSIVE = (
    ("connectorId", "cn_history00000000", "cn_history00000001"),
    ("roomId", ROOM, "history-room-1"),
    ("ruleId", "rr_hist00", "rr_hist01"),
    ("type", "inbound", "outbound"),
    ("status", "ended", "rejected"),
    ("status", "", "switch-room-completed"),
    ("search", "%2B1415", "%2B44"),
    ("search", "", "493012345678"),
)
"""Filters: name, value of at least half of the calls, value of another quarter."""


class NewCalls:
    """New calls to one server, with the seconds of their webhooks and upgrades."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self._client = PatchbayClient(server.port, server.token)
        self._path = self._client.webhook("twilio", ROOM)
        self._sockets: list[socket.socket] = []
        self.webhooks: list[float] = []
        self.upgrades: list[float] = []

    def call(self) -> None:
        phone = Phone("twilio")
        began = time.perf_counter()
        stream = self._client.stream(self._path, phone)
        asked = time.perf_counter()
        path = stream.url.partition("://")[2].partition("/")[2]
        sock, _ = connect(self._port, Ticket(f"/{path}", phone, 0))
        self.webhooks.append(asked - began)
        self.upgrades.append(time.perf_counter() - asked)
        self._sockets.append(sock)
        if len(self._sockets) > UP:
            self._sockets.pop(0).close()

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def measured(kind: str, url: str | None, calls: int, cores: Cores) -> HistoryCost:
    """Measure on the Postgres at ``url``, or on SQLite if there is none."""
    with ExitStack() as stack:
        empty, full = (stack.enter_context(_database(url)) for _ in range(2))
        began = time.monotonic()
        for each in (empty, full):
            database = Database(each)
            database.migrate()
            database.close()
        fill(full, calls)
        loaded = time.monotonic() - began
        servers = [
            stack.enter_context(serving(PATCHBAY, cores, DATABASE_URL=each))
            for each in (empty, full)
        ]
        callers = [NewCalls(server) for server in servers]
        for caller in callers:
            stack.callback(caller.close)
        for _ in range(CALLS):
            for caller in callers:
                caller.call()
        before, after = callers
        return HistoryCost(
            kind=kind,
            calls=calls,
            loaded=loaded,
            webhook=(_p99(before.webhooks), _p99(after.webhooks)),
            upgrade=(_p99(before.upgrades), _p99(after.upgrades)),
            lists=list(_lists(servers[1], calls)),
        )


def _lists(server: Server, calls: int) -> Iterator[tuple[str, float]]:
    """Yield the path of each list and its slowest read in milliseconds."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT)
    for path in paths(calls):
        longest = 0.0
        for _ in range(ASKED):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Authorization": server.token})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise ConnectionError(f"The server answered {answer.status} to {path}.")
            longest = max(longest, time.perf_counter() - began)
        yield path, 1000 * longest
    connection.close()


def paths(calls: int) -> Sequence[str]:
    """Return the path of every list with each filter, some combinations, first and last pages."""
    middle = FIRST + EVERY * calls // 2
    busy, quiet = (f"cn_history0000000{number}" for number in (0, 5))
    wanted = (
        "",
        f"connectorId={busy}",
        f"connectorId={quiet}",
        f"roomId={ROOM}",
        "roomId=history-room-7",
        "ruleId=rr_hist01",
        "sessionId=hist-session-7",
        "type=inbound",
        "type=outbound",
        "status=ended",
        "status=answered",
        "status=missed",
        "status=switch-room-completed",
        "status=transferred",
        f"startDate={middle}&endDate={middle}",
        f"endDate={middle}",
        "search=%2B1415",
        "search=%2B44",
        "search=2000007",
        "search=0107",
        "search=555-01",
        "search=history-room-7",
        "search=nobody",
        f"connectorId={busy}&type=inbound&perPage=1",
        f"connectorId={quiet}&status=failed&type=outbound",
        f"roomId={ROOM}&ruleId=rr_hist00&endDate={middle}",
        f"connectorId={quiet}&search=0107",
        "perPage=100",
        "page=2",
        f"page={calls // 20}",
        f"page={calls // 10}",
        f"page={calls // 10 + 1}",
        f"roomId={ROOM}&page={calls // 40}",
    )
    sessions = (
        "",
        "status=ongoing",
        "status=ended",
        f"roomId={ROOM}",
        f"roomId={ROOM}&status=ongoing&perPage=1",
        "customRoomId=history-custom-1",
        f"startDate={middle}&endDate={middle}",
        f"page={calls // 80}",
    )
    others = (
        "/v2/sessions/hist-session-7/participants",
        "/v2/rooms",
        "/v2/rooms?page=20",
        "/v2/rooms/history-room-9/webhook/deliveries",
        f"/v2/sip/call/hist-call-{calls // 2}",
        f"/console/api/calls/hist-call-{calls // 2}",
        "/console/api/live/calls",
        "/console/api/live/calls/by-room",
        "/metrics",
    )
    return (
        *(f"/v2/sip/call?{each}" for each in (*wanted, *_exclusive())),
        *(f"/v2/sessions?{each}" for each in sessions),
        *others,
    )


def _exclusive() -> Iterator[str]:
    """Yield all pairs of filters that exclude each other: half of the calls and a quarter."""
    for (name, half, _), (other, _, quarter) in permutations(EXCLUSIVE, 2):
        if half and quarter and name != other:
            yield f"{name}={half}&{other}={quarter}"


@contextmanager
def _database(url: str | None) -> Iterator[str]:
    """Yield the URL of a new SQLite database, or of a new schema in the Postgres at ``url``."""
    if url is None:
        with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            yield f"sqlite:///{Path(folder) / 'patchbay.db'}"
        return
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    name = f"bench_{secrets.token_hex(6)}"
    with engine.begin() as connection:
        connection.execute(CreateSchema(name))
    own = engine.url.update_query_dict({"options": f"-csearch_path={name}"})
    try:
        yield own.render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(DropSchema(name, cascade=True))
        engine.dispose()


def _p99(seconds: Sequence[float]) -> float:
    ordered = sorted(seconds)
    return 1000 * ordered[int(0.99 * (len(ordered) - 1))]
