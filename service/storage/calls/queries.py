"""Queries for calls, with their ladders."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, or_, select

from service.clock import Millis
from service.domain.call_transitions import Phase
from service.domain.calls import WAITING, WEBSOCKET, Call, CallStatus, Direction, EndReason
from service.domain.paging import Page
from service.errors import NotFound
from service.storage.calls import pages
from service.storage.calls.filters import CallFilters
from service.storage.calls.orphans import NO_NODE
from service.storage.calls.phases import in_phase
from service.storage.calls.rows import CALL, fetch
from service.storage.database import Database
from service.storage.tables import alive, calls, refs
from service.storage.tables.base import unindexed
from service.storage.tables.calls import passed_bit

BATCH = 1_000
"""Calls that one query of a sweep returns; the sweep repeats it for the rest."""

OF_PROVIDER = select(calls).where(
    calls.c.connector_id == bindparam("connector_id"),
    calls.c.provider_call_id == bindparam("provider_call_id"),
)
OVER = select(calls.c.id, calls.c.end_reason).where(
    calls.c.id.in_(bindparam("call_ids", expanding=True)), ~alive()
)
STEERED = select(calls).where(
    calls.c.id.in_(bindparam("call_ids", expanding=True)),
    alive(),
    or_(
        calls.c.node_id != bindparam("node_id"),
        calls.c.transfer_status.is_not(None),
        calls.c.passed.bitwise_and(passed_bit(CallStatus.SWITCH_ROOM_INITIATED)) != 0,
    ),
)
HOW_MANY_LIVE = select(func.count()).select_from(calls).where(alive())


class CallQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, call_id: str) -> Call:
        """Return a call. Raises ``NotFound``."""
        with self._database.read() as connection:
            found = fetch(connection, CALL, call_id=call_id)
        if not found:
            raise NotFound("Call not found")
        return found[0]

    def find(self, connector_id: str, provider_call_id: str) -> Call | None:
        """Return the call of this provider id that came through this connector, if any."""
        with self._database.read() as connection:
            found = fetch(
                connection,
                OF_PROVIDER,
                connector_id=connector_id,
                provider_call_id=provider_call_id,
            )
        return found[0] if found else None

    def page(
        self,
        *,
        call_id: str | None = None,
        room_id: str | None = None,
        session_id: str | None = None,
        connector_id: str | None = None,
        rule_id: str | None = None,
        direction: Direction | None = None,
        status: CallStatus | None = None,
        search: str | None = None,
        since: Millis | None = None,
        until: Millis | None = None,
        sees_hidden: bool = True,
        number: int = 1,
        per_page: int = 10,
    ) -> Page[Call]:
        """Return a page of phone calls, newest first. A page past the last is empty.

        A ``status`` that only steps have finds the calls with such a step. ``search`` is a text for
        ``text_search``, which searches hidden numbers only with ``sees_hidden``. ``since`` and
        ``until`` (excluded) limit the start.
        """
        filters = {
            calls.c.id: call_id,
            calls.c.room_id: room_id,
            calls.c.session_id: session_id,
            calls.c.connector_id: connector_id,
            calls.c.rule_id: rule_id,
            calls.c.direction: direction,
        }
        equal = {column: value for column, value in filters.items() if value is not None}
        passed = None
        if status is not None and (status.is_live or status.is_end):
            equal[calls.c.status] = status
        else:
            passed = status
        wanted = CallFilters(equal, since, until, passed, search or None, sees_hidden)
        return pages.page(self._database, wanted, number, per_page)

    def has_reference(self, ref_digest: str) -> bool:
        """Whether this media reference was ever issued."""
        with self._database.read() as connection:
            found = connection.scalar(select(refs.c.call_id).where(refs.c.digest == ref_digest))
        return found is not None

    def over(self, call_ids: Iterable[str]) -> dict[str, EndReason]:
        """Return the end reasons of the calls that are over, by call id."""
        found: dict[str, EndReason] = {}
        ids = list(call_ids)
        with self._database.read() as connection:
            for first in range(0, len(ids), BATCH):
                some = {"call_ids": ids[first : first + BATCH]}
                for row in connection.execute(OVER, some):
                    found[row.id] = EndReason(row.end_reason or EndReason.ENDED_BY_API)
        return found

    def nodes_of(self, call_ids: Iterable[str]) -> dict[str, str]:
        """Return the node of each of the calls that has one."""
        query = select(calls.c.id, calls.c.node_id).where(
            calls.c.id.in_(list(call_ids)), calls.c.node_id.is_not(None)
        )
        with self._database.read() as connection:
            return {row.id: row.node_id for row in connection.execute(query)}

    def steered(self, call_ids: Iterable[str], node_id: str | None) -> list[Call]:
        """Return those of the calls that are live, and were moved or transferred at any time or are
        on another node.
        """
        found: list[Call] = []
        ids = list(call_ids)
        with self._database.read() as connection:
            for first in range(0, len(ids), BATCH):
                found += fetch(
                    connection, STEERED, call_ids=ids[first : first + BATCH], node_id=node_id
                )
        return found

    def live(self) -> int:
        """Return the number of live calls."""
        with self._database.read() as connection:
            return count_live(connection)

    def in_room(self, room_id: str) -> list[Call]:
        """Return the live calls of a room, including those on their way into it; the oldest
        ``BATCH``.
        """
        return self._where(calls.c.room_id == room_id)

    def detached_legs(self, node_id: str | None) -> dict[str, str | None]:
        """Return the detached calls of a node or of none, each with the leg that held it last."""
        mine = or_(calls.c.node_id.is_(None), calls.c.node_id == node_id)
        query = select(calls.c.id, calls.c.leg_id).where(alive(), in_phase(Phase.DETACHED), mine)
        with self._database.read() as connection:
            return {row.id: row.leg_id for row in connection.execute(query)}

    def unclaimed(self, now: Millis, node_id: str | None = None) -> list[Call]:
        """Return waiting calls of a node or of none whose last answer has expired; the oldest
        ``BATCH``.
        """
        expired = calls.c.expires_at <= now
        return self._where(calls.c.status.in_(WAITING), expired, _is_of(node_id))

    def lost(self, before: Millis, node_id: str | None = None) -> list[Call]:
        """Return calls of a node or of none that were detached before a time, or then; the oldest
        ``BATCH``.

        A call whose provider dials on for it is left out. A custom WebSocket is included at once,
        because it does not come back.
        """
        dialling = calls.c.transfer_status.is_not_distinct_from(CallStatus.TRANSFERRING)
        return self._where(
            in_phase(Phase.DETACHED),
            or_(calls.c.detached_at <= before, calls.c.provider == WEBSOCKET),
            ~dialling,
            _is_of(node_id),
        )

    def overlong(self, now: Millis, seconds: int, node_id: str | None = None) -> list[Call]:
        """Return calls of a node or of none that have reached their time limit, ``seconds`` at
        most; the oldest ``BATCH``.
        """
        allowed = func.coalesce(calls.c.max_seconds, seconds)
        last = calls.c.answered_at + 1000 * case((allowed < seconds, allowed), else_=seconds)
        return self._where(calls.c.status == CallStatus.ANSWERED, last <= now, _is_of(node_id))

    def _where(self, *conditions: ColumnElement[bool]) -> list[Call]:
        """Return live calls with these properties."""
        with self._database.read() as connection:
            oldest = select(calls).where(alive(), *conditions).order_by(unindexed(calls.c.seq, 0))
            return fetch(connection, oldest.limit(BATCH))


def _is_of(node_id: str | None) -> ColumnElement[bool]:
    return or_(calls.c.node_id == node_id, NO_NODE)


def count_live(connection: Connection) -> int:
    return connection.execute(HOW_MANY_LIVE).scalar_one()
