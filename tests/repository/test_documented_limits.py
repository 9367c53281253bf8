"""The table of docs/limits.md, compared with the constants in the code."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from gunicorn.config import Config

from service.calls import deferred_reports, holds, inbound, retention
from service.console import simulated_calls
from service.domain import ids, ladders, nodes, reconnection
from service.http_client import client
from service.media.engine import clock, live_feed, timeouts
from service.media.jitter import buffer, overrun, pace
from service.media.rooms import gate, leg
from service.media.transport import connection, send_queue, websocket_frames
from service.recordings import spool_writer
from service.security import failure_limit
from service.server import connection_loop, request_framing, worker
from service.storage import bounded, connections, database, listing
from service.storage.calls import text_search
from service.storage.rooms import sessions
from service.storage.webhooks import outbox
from service.telemetry import log_output
from service.web import validation
from service.webhooks import scheduler
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "limits.md"

KB = 1024

HOLDS: dict[str, Sequence[float]] = {
    "markup answers without a sign of life in between": (inbound.MAX_ATTEMPTS,),
    "answered call without a socket": (reconnection.REATTACH_SECONDS,),
    "phone that sends nothing, not even a pong": (leg.MUTE_SECONDS,),
    "media reference": (ids.REF_SECONDS, retention.REF_HOURS),
    "holds in a row while the database is away": (holds.MOST,),
    "media socket: start message": (timeouts.START_SECONDS,),
    "media socket: no whole frame; takes nothing": (
        timeouts.SILENT_SECONDS,
        timeouts.STALL_SECONDS,
    ),
    "media socket: frames": (connection.FRAMES_A_SECOND, connection.FRAMES_AHEAD),
    "media socket: published texts": (leg.TEXTS_A_SECOND, leg.TEXTS_AT_ONCE),
    "media socket: message": (websocket_frames.MAX_MESSAGE // KB,),
    "media socket: malformed messages; topics; marks": (
        leg.MAX_FAULTS,
        leg.MAX_TOPICS,
        buffer.MAX_MARKS,
    ),
    "room that is mixed in full": (gate.UNGATED,),
    "audio that waits to be mixed": (pace.PACED_CAPACITY * 20, pace.LONGEST_CAPACITY * 20),
    "audio that a peer has not read": (send_queue.MAX_AUDIO,),
    "other messages that a peer has not read": (send_queue.MAX_BYTES // KB,),
    "recorded audio that waits for the disk": (spool_writer.QUEUE_BYTES // KB // KB,),
    "ticks after a stall": (clock.CATCH_UP,),
    "request body": (validation.MAX_BODY // KB, simulated_calls.MAX_BODY // KB // KB),
    "request line; header fields with it": (
        request_framing.MAX_LINE // KB,
        request_framing.MAX_HEAD // KB,
    ),
    "time for a request to arrive; for a recording after that; for an answer to be received": (
        worker.ARRIVAL_SECONDS,
        worker.UPLOAD_SECONDS,
        worker.ANSWER_SECONDS,
    ),
    "connections; memory for what they send and have not received": (
        Config().worker_connections,
        connection_loop.HELD_BYTES // KB // KB,
    ),
    "requests at a time": (worker.AT_ONCE, worker.PATIENCE * 1000),
    "outgoing request; a body that is not needed": (
        client.WHOLE_SECONDS,
        client.MAX_BODY // KB,
        client.MOST_REDIRECTS,
        client.BODY_SECONDS,
    ),
    "failures of one address in each worker": (failure_limit.BURST, failure_limit.ADDRESSES),
    "log lines that have not been written": (log_output.MOST_LINES,),
    "wait for the database": (connections.POOL_SECONDS, connections.LOCK_SECONDS),
    "Postgres: a lock; a statement; no answer at all": (
        connections.SERVING.lock / 1000,
        connections.SERVING.statement / 1000,
        bounded.BoundedConnection.seconds,
    ),
    "report of the media engine that the database refuses": (deferred_reports.MOST_REFUSED,),
    "Postgres: lease of a server that vanished": (nodes.LEASE_SECONDS,),
    "Postgres migration: a table's lock; a statement": (
        database.MIGRATION_LOCK_MILLIS / 1000,
        connections.MIGRATING.statement / 1000,
    ),
    "delivery of an event": (scheduler.THREADS, scheduler.SUSPECTS),
    "participants listed with the sessions in one answer": (sessions.PRESENCES,),
    "steps of a call's ladder": (ladders.MOST, ladders.FIRST, ladders.NEWEST),
    "finished deliveries of a receiver": (outbox.KEPT,),
    "lists that are read at a time; one statement of a list": (
        listing.AT_ONCE,
        listing.STATEMENT_SECONDS,
    ),
    "entries of a list that are counted; what a search finds": (
        listing.COUNTED,
        text_search.FOUND,
    ),
    "older calls that a search looks at by one index": (
        text_search.ALIKE,
        text_search.ALIKE_IN_INDEX,
    ),
    "console: pages that watch; test calls": (live_feed.MOST, live_feed.LONGEST_SECONDS / 60),
}


@pytest.fixture(scope="module")
def bounds() -> dict[str, str]:
    """The table's second column by its first."""
    return dict(re.findall(r"^\| (.+?) \| (.+?) \|", PAGE.read_text(), re.MULTILINE))


@pytest.mark.parametrize("what", HOLDS)
def test_the_bound_that_is_told_is_the_one_that_holds(bounds: dict[str, str], what: str) -> None:
    told = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", bounds[what])]
    held = [float(number) for number in HOLDS[what]]
    assert told[: len(held)] == held


def test_limits_page_has_the_cut_of_a_buffer_that_stays_full() -> None:
    text = PAGE.read_text()
    assert overrun.REST * 20 == 1000
    assert f"full for {overrun.FULL_SECONDS:.0f} s: cut to half, to a second at most" in text
