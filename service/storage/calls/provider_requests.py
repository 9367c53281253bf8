"""Requests to providers to end or redirect calls, until the provider has answered.

A request is written in the transaction that ends its call, or that takes it over from a lost node.
The node that takes the request has a lease; if that node is killed, another one asks again. A row
names the call and the connector, and contains no credentials. A call has one request at most: its
end replaces a redirect that waits.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from sqlalchemy import Connection, RowMapping, delete, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Millis
from service.domain.call_state import state_of
from service.domain.call_transitions import Phase
from service.domain.calls import Call, CallStatus
from service.domain.provider_requests import ProviderRequest, RequestKind
from service.storage.calls.notes import add_note
from service.storage.calls.rows import CALL, fetch
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
from service.storage.database_time import DATABASE_NOW
from service.storage.leases import TOO_FAR, UNTIL
from service.storage.tables import calls, connectors, provider_requests

MOST_ATTEMPTS = 3
"""Nodes that try a request at most, in case that it is what ends them."""

ASK_NOW = 0
"""Expiry of a lease that nobody has."""

COUNTERS = ("attempts", "expires_at")


def add(connection: Connection, call: Call) -> None:
    """Add a request to end a call that is over here. The caller has locked the call.

    None is added where the connector has no credentials, or the provider's id is unknown.
    """
    if call.connector_id is None or call.provider_call_id == call.id:
        return
    has_credentials = select(connectors.c.id).where(
        connectors.c.id == call.connector_id, connectors.c.credentials.is_not(None)
    )
    if connection.scalar(has_credentials) is None:
        return
    new = _insert(connection).values(
        kind=RequestKind.HANG_UP,
        call_id=call.id,
        connector_id=call.connector_id,
        provider=call.provider,
        provider_call_id=call.provider_call_id,
        attempts=0,
        expires_at=ASK_NOW,
    )
    fresh = {name: new.excluded[name] for name in ("kind", "attempts", "holder", "expires_at")}
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[provider_requests.c.call_id],
            set_=fresh,
            where=provider_requests.c.kind == RequestKind.REDIRECT,
        )
    )
    notify_after_commit(connection, ChangeSignal.PROVIDER_REQUESTS)


def add_redirects(connection: Connection, call_ids: Collection[str]) -> None:
    """Add requests to redirect these calls, which the transaction has locked, as far as their
    connectors have credentials.
    """
    able = (
        select(
            literal(RequestKind.REDIRECT.value),
            calls.c.id,
            calls.c.connector_id,
            calls.c.provider,
            calls.c.provider_call_id,
            literal(0),
            literal(ASK_NOW),
        )
        .join(connectors, connectors.c.id == calls.c.connector_id)
        .where(
            calls.c.id.in_(call_ids),
            calls.c.provider_call_id != calls.c.id,
            connectors.c.credentials.is_not(None),
        )
    )
    new = _insert(connection).from_select(
        ["kind", "call_id", "connector_id", "provider", "provider_call_id", *COUNTERS], able
    )
    connection.execute(new.on_conflict_do_nothing())
    notify_after_commit(connection, ChangeSignal.PROVIDER_REQUESTS)


def _insert(connection: Connection) -> sqlite.Insert | postgresql.Insert:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(provider_requests)


class ProviderRequests:
    """Thread-safe. ``holder`` is the node."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    @property
    def signal(self) -> threading.Event:
        """Set after a transaction that added a request."""
        return self._database.signals[ChangeSignal.PROVIDER_REQUESTS]

    def take(self) -> ProviderRequest | None:
        """Lease the oldest request that no other node has."""
        held_until = provider_requests.c.expires_at
        is_free = or_(held_until <= DATABASE_NOW, held_until > TOO_FAR)
        oldest = select(provider_requests.c.seq).where(is_free).order_by(provider_requests.c.seq)
        first = oldest.limit(1).with_for_update(skip_locked=True).scalar_subquery()
        taken = (
            update(provider_requests)
            .where(provider_requests.c.seq == first)
            .values(
                holder=self._holder,
                expires_at=UNTIL,
                attempts=provider_requests.c.attempts + 1,
            )
            .returning(*provider_requests.c)
        )
        with self._database.write() as connection:
            row = connection.execute(taken).mappings().one_or_none()
            return None if row is None else _request(row)

    def is_lost(self, call_id: str) -> bool:
        """Return whether a call has neither a socket nor a node, and its provider dials nobody."""
        with self._database.read() as connection:
            found = fetch(connection, CALL, call_id=call_id)
        if not found or found[0].node_id is not None:
            return False
        state = state_of(found[0])
        return state.phase is Phase.DETACHED and state.transfer is not CallStatus.TRANSFERRING

    def answered(self, request: ProviderRequest, said: str, at: Millis) -> None:
        """Remove a request, and note on the call's ladder what the provider has answered."""
        with self._database.write() as connection:
            add_note(connection, request.call_id, said, at)
            self._remove(connection, request)

    def drop(self, request: ProviderRequest) -> None:
        """Remove a request that cannot be sent."""
        with self._database.write() as connection:
            self._remove(connection, request)

    def _remove(self, connection: Connection, request: ProviderRequest) -> None:
        connection.execute(
            delete(provider_requests).where(
                provider_requests.c.call_id == request.call_id,
                provider_requests.c.kind == request.kind,
                provider_requests.c.holder == self._holder,
                provider_requests.c.attempts == request.attempts,
            )
        )


def _request(row: RowMapping) -> ProviderRequest:
    return ProviderRequest(
        kind=RequestKind(row["kind"]),
        call_id=row["call_id"],
        connector_id=row["connector_id"],
        provider=row["provider"],
        provider_call_id=row["provider_call_id"],
        attempts=row["attempts"],
    )
