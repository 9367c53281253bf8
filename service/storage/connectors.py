"""Connectors: who may send us calls, and where those go by default."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from service.errors import NotFound
from service.model import Connector
from service.storage.database import Database
from service.storage.tables import connectors
from service.tokens import digest

EDITABLE = frozenset({"name", "default_room_id", "default_rule_id", "region"})

NOT_FOUND = "Connector not found"


class Connectors:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, connector: Connector) -> None:
        with self._database.write() as connection:
            connection.execute(
                insert(connectors).values(
                    id=connector.id,
                    provider=connector.provider,
                    name=connector.name,
                    webhook_key=connector.webhook_key,
                    webhook_key_digest=digest(connector.webhook_key),
                    default_room_id=connector.default_room_id,
                    default_rule_id=connector.default_rule_id,
                    region=connector.region,
                    created_at=connector.created_at,
                )
            )

    def all(self) -> tuple[Connector, ...]:
        """Newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(connectors).order_by(connectors.c.seq.desc()))
            return tuple(_connector(row) for row in rows.mappings())

    def get(self, connector_id: str) -> Connector:
        """Raises ``NotFound``."""
        found = self._one(connectors.c.id == connector_id)
        if found is None:
            raise NotFound(NOT_FOUND)
        return found

    def by_key(self, provider: str, key: str) -> Connector | None:
        """The connector of this provider whose webhook key this is."""
        return self._one(
            connectors.c.provider == provider, connectors.c.webhook_key_digest == digest(key)
        )

    def update(self, connector_id: str, changes: Mapping[str, str | None]) -> Connector:
        """Change some of ``EDITABLE`` and return the result. Raises ``NotFound``."""
        if not changes.keys() <= EDITABLE:
            raise ValueError(f"not editable: {', '.join(sorted(changes.keys() - EDITABLE))}")
        return self._set(connector_id, changes) if changes else self.get(connector_id)

    def rotate(self, connector_id: str, new_key: str) -> Connector:
        """Replace the webhook key; the old one stops at once. Raises ``NotFound``."""
        return self._set(
            connector_id, {"webhook_key": new_key, "webhook_key_digest": digest(new_key)}
        )

    def delete(self, connector_id: str) -> None:
        """Its calls stay, and those that are up stay up. Raises ``NotFound``."""
        with self._database.write() as connection:
            done = connection.execute(delete(connectors).where(connectors.c.id == connector_id))
            if done.rowcount == 0:
                raise NotFound(NOT_FOUND)

    def _one(self, *conditions: ColumnElement[bool]) -> Connector | None:
        with self._database.read() as connection:
            row = connection.execute(select(connectors).where(*conditions)).mappings().one_or_none()
            return None if row is None else _connector(row)

    def _set(self, connector_id: str, values: Mapping[str, str | None]) -> Connector:
        with self._database.write() as connection:
            row = (
                connection.execute(
                    update(connectors)
                    .where(connectors.c.id == connector_id)
                    .values(**values)
                    .returning(*connectors.c)
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFound(NOT_FOUND)
            return _connector(row)


def _connector(row: RowMapping) -> Connector:
    return Connector(
        id=row["id"],
        provider=row["provider"],
        name=row["name"],
        webhook_key=row["webhook_key"],
        default_room_id=row["default_room_id"],
        default_rule_id=row["default_rule_id"],
        region=row["region"],
        created_at=row["created_at"],
    )
