"""Fill a database with the finished calls of a busy year in a few statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine

CONNECTOR = "cn_history0000000{0}"
ROOM = "history-room-{0}"

SERIES = {
    "sqlite": "WITH RECURSIVE numbers(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})",
    "postgresql": "WITH numbers AS (SELECT generate_series(CAST(1 AS BIGINT), {count}) AS n)",
}

FIRST = 1_700_000_000_000
"""Start of the first call, in milliseconds since the epoch."""

EVERY = 30_000
"""Milliseconds between two calls."""

SHARE = "CASE WHEN n % 2 = 0 THEN 0 WHEN n % 4 = 1 THEN 1 ELSE (n / 4)"

MOVED = 192
"""The bits of ``switch-room-initiated`` and ``switch-room-completed``."""

# Half of the calls are one connector's and one room's, and a quarter another one's. In every other
# column too these two kinds have nothing in common, so that any two filters may exclude each other.
CALLS = """
INSERT INTO calls (seq, id, provider, provider_call_id, connector_id, room_id, rule_id, session_id,
    caller, callee, status, participant_id, participant_name, participant_metadata, region,
    started_at, answered_at, ended_at, end_reason, leg_id, attempts, pin_tries, hides_number, dtmf,
    stats, direction, metadata, passed)
{numbers}
SELECT n, 'hist-call-' || n, CASE n % 3 WHEN 0 THEN 'twilio' WHEN 1 THEN 'plivo' ELSE 'telnyx' END,
    'CA-history-' || n,
    'cn_history0000000' || {share} % 8 + 2 END,
    'history-room-' || {share} % 498 + 2 END,
    CASE WHEN n % 2 = 0 THEN 'rr_hist00' WHEN n % 4 = 1 THEN 'rr_hist01' END,
    'hist-session-' || (n / 2),
    CASE WHEN n % 50 = 0 THEN 'anonymous' WHEN n % 4 = 1 THEN '+4420' || (10000000 + n % 7000000)
        ELSE '+1415' || (2000000 + n % 7000000) END,
    CASE WHEN n % 4 = 1 THEN '+493012345678' ELSE '+1415555' || (1000 + n % 100) END,
    CASE WHEN n % 4 = 1 THEN 'rejected' WHEN n % 2 = 0 OR n % 10 < 8 THEN 'ended'
        WHEN n % 100 = 19 THEN 'failed' WHEN n % 100 = 39 THEN 'missed' ELSE 'abandoned' END,
    'pt-' || n, '+14155550100', '{{"sipUser": true, "callType": "inbound"}}', 'us002',
    {first} + n * {every}, {first} + n * {every} + 900, {first} + n * {every} + 61000,
    'caller-hung-up', 'leg-' || n, 0, 0, n % 100 = 0, true,
    '{{"received": 3000, "sent": 3000, "late": 0, "lost": 1}}',
    CASE WHEN n % 4 = 1 THEN 'outbound' ELSE 'inbound' END, '{{}}',
    CASE WHEN n % 4 = 1 THEN {moved} ELSE 0 END
FROM numbers
"""

STEPS = """
INSERT INTO steps (call_id, event, at, status, detail, markup)
SELECT id, event, started_at + later, said, detail,
    CASE WHEN event = 'markup' THEN '<Response><Connect><Stream url="wss://voice.example.com/twilio/'
        || '•••" statusCallback="https://voice.example.com/v2/hooks/twilio/whk_•••/status"/>'
        || '</Connect><Redirect method="POST">https://voice.example.com/v2/hooks/twilio/whk_•••'
        || '</Redirect></Response>' END
FROM calls CROSS JOIN (
    SELECT 'webhook' AS event, 0 AS later, 'incoming' AS said, NULL AS detail
    UNION ALL SELECT 'markup', 3, 'incoming', NULL
    UNION ALL SELECT 'socket', 600, 'incoming', NULL
    UNION ALL SELECT 'start', 900, 'answered', NULL
    UNION ALL SELECT 'first-audio-in', 920, 'answered', NULL
    UNION ALL SELECT 'first-audio-out', 940, 'answered', NULL
    UNION ALL SELECT 'moved', 9000, 'switch-room-initiated', 'history-room-2'
    UNION ALL SELECT 'moved', 9040, 'switch-room-completed', 'history-room-2'
    UNION ALL SELECT 'end', 61000, 'ended', 'caller-hung-up'
) AS rungs
WHERE calls.id LIKE 'hist-call-%' AND (event <> 'moved' OR calls.passed <> 0)
ORDER BY calls.seq, later
"""

ROOMS = """
INSERT INTO rooms (id, object_id, custom_id, disabled, allowed_participant_ids, options, created_at,
    updated_at)
{numbers}
SELECT 'history-room-' || (n - 1), 'hist-object-' || n, 'history-custom-' || n, false,
    '[]', '{{}}', {first} + n, {first} + n
FROM numbers
"""

SESSIONS = """
INSERT INTO sessions (id, room_id, region, started_at, ended_at)
SELECT session_id, MIN(room_id), 'us002', MIN(answered_at), MAX(ended_at)
FROM calls WHERE calls.id LIKE 'hist-call-%' GROUP BY session_id ORDER BY MIN(seq)
"""

STAYS = """
INSERT INTO stays (session_id, call_id, participant_id, participant_name, joined_at, left_at)
SELECT session_id, id, participant_id, participant_name, answered_at, ended_at
FROM calls WHERE calls.id LIKE 'hist-call-%' ORDER BY seq
"""

LOUDNESS = """
INSERT INTO loudness (leg_id, call_id, started_at, said, heard)
SELECT leg_id, id, answered_at, {blob}, {blob} FROM calls WHERE calls.id LIKE 'hist-call-%'
"""

DELIVERIES = """
INSERT INTO deliveries (id, receiver, event, body, created_at, status, attempts, tried_at, answer)
{numbers}
SELECT 'hist-delivery-' || n, 'room:history-room-' || (n % 50), 'participant-joined',
    '{{"webhookType":"participant-joined","data":{{"callId":"hist-call-' || n || '"}}}}',
    {first} + n * {every}, 'delivered', 1, {first} + n * {every}, 200
FROM numbers
"""

CONNECTORS = """
INSERT INTO connectors (id, provider, name, webhook_key, webhook_key_digest, default_room_id,
    created_at)
{numbers}
SELECT 'cn_history0000000' || (n - 1), 'twilio', 'History', 'whk-hist-' || n, 'hist-digest-' || n,
    'history-room-' || (n - 1), {first} + n
FROM numbers
"""

INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT relname, pg_get_indexdef(pg_class.oid) FROM pg_index "
    "JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE relnamespace = CAST(current_schema() AS regnamespace) "
    "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)",
}

UNCHECKED = {
    "sqlite": "PRAGMA cache_size = -400000",
    # Skip the foreign-key check of each row: no other connection writes to this database.
    "postgresql": "SET LOCAL session_replication_role = replica",
}


def fill(url: str, count: int) -> None:
    """Add ``count`` calls with their related rows to a migrated database."""
    engine = create_engine(url)
    kind = engine.dialect.name
    values: dict[str, object] = {
        "first": FIRST,
        "every": EVERY,
        "share": SHARE,
        "moved": MOVED,
        "blob": "zeroblob(60)" if kind == "sqlite" else "decode(repeat('00', 60), 'hex')",
    }
    with engine.begin() as connection:
        connection.execution_options(no_parameters=True)

        def insert(statement: str, number: int = count) -> None:
            numbers = SERIES[kind].format(count=number)
            connection.exec_driver_sql(statement.format(numbers=numbers, **values))

        connection.exec_driver_sql(UNCHECKED[kind])
        with _without_indexes(connection):
            insert(CONNECTORS, 10)
            insert(ROOMS, 500)
            for statement in (CALLS, STEPS, SESSIONS, STAYS, LOUDNESS):
                insert(statement)
            insert(DELIVERIES, min(count, 5_000))
        if kind == "postgresql":
            connection.exec_driver_sql(
                "SELECT setval('calls_seq_seq', (SELECT MAX(seq) FROM calls))"
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if kind == "sqlite" else "VACUUM ANALYZE")
    engine.dispose()


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Drop the indexes and recreate them at the end, which is several times faster."""
    found = connection.exec_driver_sql(INDEXES[connection.dialect.name]).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for _, made in found:
        connection.exec_driver_sql(made)
