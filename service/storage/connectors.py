"""Connectors: accounts at providers, and where their calls go by default.

Webhook keys and credentials are encrypted when they are written. A connector whose credentials
cannot be decrypted is ``locked``; everything else of it stays usable. A webhook carries its key, so
that no key has to be decrypted for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import RowMapping, Select, bindparam, delete, insert, select, update

from service.domain.connectors import Connector
from service.domain.ids import digest
from service.errors import Locked, NotFound
from service.security.encryption import Vault
from service.storage.database import Database
from service.storage.tables import calls, connectors, refs

EDITABLE = frozenset({"name", "default_room_id", "default_rule_id", "region", "credentials"})

KEYS, CREDENTIALS = "webhook keys", "connector credentials"
"""Purpose under which the vault encrypts these texts."""

NOT_FOUND = "Connector not found"

UNREADABLE = "whk_unreadable"
"""Placeholder for a webhook key that cannot be decrypted. No connector has this key."""

BY_ID = select(connectors).where(connectors.c.id == bindparam("id"))
BY_KEY = select(connectors).where(
    connectors.c.provider == bindparam("provider"),
    connectors.c.webhook_key_digest == bindparam("digest"),
)
BY_REFERENCE = select(connectors).where(
    connectors.c.id == calls.c.connector_id,
    calls.c.id == refs.c.call_id,
    refs.c.digest == bindparam("digest"),
)
OF_CALL = (
    select(
        connectors,
        calls.c.key_digest,
        calls.c.connector_id,
        calls.c.provider.label("call_provider"),
    )
    .select_from(calls)
    .outerjoin(connectors, connectors.c.id == calls.c.connector_id)
    .where(calls.c.id == bindparam("call_id"), calls.c.connector_id.is_not(None))
)


class Connectors:
    def __init__(self, database: Database, api_secret: str, previous: str | None = None) -> None:
        self._database = database
        self._keys = Vault(api_secret, KEYS, previous)
        self._vault = Vault(api_secret, CREDENTIALS, previous)

    def add(self, connector: Connector) -> None:
        with self._database.write() as connection:
            connection.execute(
                insert(connectors).values(
                    id=connector.id,
                    provider=connector.provider,
                    name=connector.name,
                    webhook_key=self._keys.seal(connector.webhook_key, owner(connector.id)),
                    webhook_key_digest=digest(connector.webhook_key),
                    default_room_id=connector.default_room_id,
                    default_rule_id=connector.default_rule_id,
                    region=connector.region,
                    created_at=connector.created_at,
                    credentials=self._sealed(connector.id, connector.credentials),
                )
            )

    def all(self) -> tuple[Connector, ...]:
        """Return all connectors, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(connectors).order_by(connectors.c.seq.desc()))
            return tuple(self._connector(row) for row in rows.mappings())

    def get(self, connector_id: str) -> Connector:
        """Return a connector. Raises ``NotFound``."""
        found = self._one(BY_ID, id=connector_id)
        if found is None:
            raise NotFound(NOT_FOUND)
        return found

    def by_key(self, provider: str, key: str) -> Connector | None:
        """Return the connector of this provider with this webhook key, if any."""
        return self._one(BY_KEY, key, provider=provider, digest=digest(key))

    def of_call(self, provider: str, call_id: str) -> tuple[Connector, str | None] | None:
        """Return the connector of a call of this provider, and the digest of the call's key.

        A deleted connector is returned without credentials and without a key.
        """
        with self._database.read() as connection:
            found = connection.execute(OF_CALL, {"call_id": call_id}).mappings().one_or_none()
        if found is None or found["call_provider"] != provider:
            return None
        if found["id"] is not None:
            return self._connector(found), found["key_digest"]
        deleted = Connector(
            id=found["connector_id"],
            provider=provider,
            name=None,
            webhook_key="",
            default_room_id=None,
            default_rule_id=None,
            region=None,
            created_at=0,
        )
        return deleted, found["key_digest"]

    def by_reference(self, ref_digest: str) -> Connector | None:
        """Return the connector of the call that a media reference was issued for, if both exist."""
        return self._one(BY_REFERENCE, digest=ref_digest)

    def update(self, connector_id: str, changes: Mapping[str, Any]) -> Connector:
        """Change some of ``EDITABLE`` and return the result. Raises ``NotFound``.

        ``credentials`` change by name; a value of ``None`` removes one. ``None`` in place of the
        mapping removes them all.
        """
        if not changes.keys() <= EDITABLE:
            raise ValueError(f"not editable: {', '.join(sorted(changes.keys() - EDITABLE))}")
        return self._set(connector_id, changes) if changes else self.get(connector_id)

    def rotate(self, connector_id: str, new_key: str) -> Connector:
        """Replace the webhook key; the old one is invalid at once. Raises ``NotFound``."""
        sealed = self._keys.seal(new_key, owner(connector_id))
        return self._set(
            connector_id, {"webhook_key": sealed, "webhook_key_digest": digest(new_key)}
        )

    def delete(self, connector_id: str) -> None:
        """Delete a connector. Its calls stay, and live ones stay up. Raises ``NotFound``."""
        with self._database.write() as connection:
            done = connection.execute(delete(connectors).where(connectors.c.id == connector_id))
            if done.rowcount == 0:
                raise NotFound(NOT_FOUND)

    def _one(self, query: Select[Any], key: str | None = None, **values: str) -> Connector | None:
        with self._database.read() as connection:
            row = connection.execute(query, values).mappings().one_or_none()
            return None if row is None else self._connector(row, key)

    def _set(self, connector_id: str, changes: Mapping[str, Any]) -> Connector:
        wanted = connectors.c.id == connector_id
        with self._database.write() as connection:
            values = dict(changes)
            if values.get("credentials") is not None:
                locked = select(connectors).where(wanted).with_for_update()
                row = connection.execute(locked).mappings().one_or_none()
                before = {} if row is None else self._connector(row).credentials
                merged = {**before, **values["credentials"]}
                values["credentials"] = self._sealed(connector_id, merged)
            changed = update(connectors).where(wanted).values(**values).returning(*connectors.c)
            row = connection.execute(changed).mappings().one_or_none()
            if row is None:
                raise NotFound(NOT_FOUND)
            return self._connector(row)

    def _sealed(
        self, connector_id: str, credentials: Mapping[str, tuple[str, ...] | None]
    ) -> str | None:
        kept = {name: credentials[name] for name in sorted(credentials) if credentials[name]}
        return self._vault.seal(orjson.dumps(kept).decode(), owner(connector_id)) if kept else None

    def _key(self, row: RowMapping) -> str:
        try:
            return self._keys.read(row["webhook_key"], owner(row["id"]))
        except Locked:
            return UNREADABLE

    def _connector(self, row: RowMapping, key: str | None = None) -> Connector:
        credentials: Mapping[str, tuple[str, ...]] = {}
        locked = False
        if row["credentials"] is not None:
            try:
                opened = orjson.loads(self._vault.open(row["credentials"], owner(row["id"])))
                credentials = {name: tuple(values) for name, values in opened.items()}
            except Locked:
                locked = True
        return Connector(
            id=row["id"],
            provider=row["provider"],
            name=row["name"],
            webhook_key=key or self._key(row),
            default_room_id=row["default_room_id"],
            default_rule_id=row["default_rule_id"],
            region=row["region"],
            created_at=row["created_at"],
            credentials=credentials,
            locked=locked,
        )


def owner(connector_id: str) -> str:
    """Return the owner under which the vault encrypts the secrets of a connector."""
    return f"connector {connector_id}"
