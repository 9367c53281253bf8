"""Stored agents, on both kinds of database."""

from __future__ import annotations

import pytest

from service.errors import NotFound
from service.storage.agents.agents import Agents
from service.storage.database import Database
from tests.support.records import an_agent


@pytest.fixture
def store(database: Database) -> Agents:
    return Agents(database)


def test_an_agent_comes_back_as_it_was_stored(store: Agents) -> None:
    agent = an_agent(name="Zürich ☎")
    store.add(agent)
    assert store.get(agent.id) == agent
    assert store.find("agent_other") is None
    with pytest.raises(NotFound):
        store.get("agent_other")


def test_a_page_is_newest_first_and_counts_them_all(store: Agents) -> None:
    added = [an_agent(created_at=5) for _ in range(3)]
    for agent in added:
        store.add(agent)
    page = store.page(number=1, per_page=2)
    assert page.items == (added[2], added[1])
    assert (page.total, page.last) == (3, 2)
    assert store.page(number=2, per_page=2).items == (added[0],)
    assert store.page(number=10**9, per_page=2).items == ()


def test_search_finds_a_part_of_the_name_in_any_case(store: Agents) -> None:
    first, second = an_agent(name="Front Desk"), an_agent(name="100% night")
    store.add(first)
    store.add(second)
    assert store.page(search="desk").items == (first,)
    assert store.page(search="0%").items == (second,)
    assert store.page(search="_").items == ()


def test_update_changes_the_given_fields_and_the_time(store: Agents) -> None:
    agent, other = an_agent(), an_agent()
    store.add(agent)
    store.add(other)
    changed = store.update(agent.id, {"name": "New"}, at=9_000)
    assert changed == an_agent(
        id=agent.id, name="New", url=agent.url, created_at=agent.created_at, updated_at=9_000
    )
    assert store.get(agent.id) == changed
    assert store.get(other.id) == other
    with pytest.raises(NotFound):
        store.update("agent_other", {"name": "New"}, at=9_000)


def test_update_refuses_fixed_fields(store: Agents) -> None:
    agent = an_agent()
    store.add(agent)
    with pytest.raises(ValueError, match="created_at"):
        store.update(agent.id, {"created_at": 1}, at=9_000)


def test_a_deleted_agent_is_gone(store: Agents) -> None:
    agent = an_agent()
    store.add(agent)
    store.delete(agent.id)
    assert store.find(agent.id) is None
    with pytest.raises(NotFound):
        store.delete(agent.id)
