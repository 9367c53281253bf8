"""Agents: programs that can be sent into a room, with their URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from service.clock import Millis
from service.domain.agents import Agent
from service.domain.paging import Page
from service.errors import NotFound
from service.storage.database import Database
from service.storage.short_lists import page_of_all
from service.storage.tables import agents

EDITABLE = frozenset({"name", "url"})

NOT_FOUND = "Agent not found"


class Agents:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, agent: Agent) -> None:
        with self._database.write() as connection:
            connection.execute(
                insert(agents).values(
                    id=agent.id,
                    name=agent.name,
                    url=agent.url,
                    created_at=agent.created_at,
                    updated_at=agent.updated_at,
                )
            )

    def find(self, agent_id: str) -> Agent | None:
        with self._database.read() as connection:
            query = select(agents).where(agents.c.id == agent_id)
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else _agent(row)

    def get(self, agent_id: str) -> Agent:
        """Return an agent. Raises ``NotFound``."""
        found = self.find(agent_id)
        if found is None:
            raise NotFound(NOT_FOUND)
        return found

    def page(
        self, *, search: str | None = None, number: int = 1, per_page: int = 20
    ) -> Page[Agent]:
        """Return a page of agents, newest first. ``search`` is part of the name."""
        conditions: list[ColumnElement[bool]] = []
        if search is not None:
            conditions.append(agents.c.name.icontains(search, autoescape=True))
        newest = select(agents).where(*conditions).order_by(agents.c.seq.desc())
        with self._database.read() as connection:
            return page_of_all(connection, newest, _agent, number, per_page)

    def update(self, agent_id: str, changes: Mapping[str, Any], at: Millis) -> Agent:
        """Change some of ``EDITABLE`` and return the result. Raises ``NotFound``."""
        if not changes.keys() <= EDITABLE:
            raise ValueError(f"not editable: {', '.join(sorted(changes.keys() - EDITABLE))}")
        with self._database.write() as connection:
            changed = (
                update(agents)
                .where(agents.c.id == agent_id)
                .values(**changes, updated_at=at)
                .returning(*agents.c)
            )
            row = connection.execute(changed).mappings().one_or_none()
            if row is None:
                raise NotFound(NOT_FOUND)
            return _agent(row)

    def delete(self, agent_id: str) -> None:
        """Delete an agent. It is dispatched no more, and stays in rooms that it is in. Raises
        ``NotFound``.
        """
        with self._database.write() as connection:
            done = connection.execute(delete(agents).where(agents.c.id == agent_id))
            if done.rowcount == 0:
                raise NotFound(NOT_FOUND)


def _agent(row: RowMapping) -> Agent:
    return Agent(
        id=row["id"],
        name=row["name"],
        url=row["url"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
