"""``/v2/agents``: programs that can be sent into a room."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from service.api.schemas.agents import AgentChanges, AgentData, AgentFilter, NewAgent
from service.domain.agents import Agent
from service.domain.ids import new_agent_id
from service.domain.paging import Page
from service.errors import Invalid
from service.security.permissions import Need
from service.web.declarations import needs
from service.web.responses import answer
from service.web.services import services
from service.web.validation import body, query

agents = Blueprint("agents", __name__, url_prefix="/v2/agents")


@agents.post("")
@needs(Need.ACCOUNT)
@answer(AgentData(), status=201, message="Agent created successfully")
@body(NewAgent())
def create(fields: dict[str, Any]) -> Agent:
    """Register a program that listens at a URL and can open a WebSocket."""
    at = services().clock.now()
    agent = Agent(new_agent_id(), fields["name"], fields["url"], created_at=at, updated_at=at)
    services().stores.agents.add(agent)
    return agent


@agents.get("")
@needs(Need.ACCOUNT)
@answer(AgentData(), message="Agents retrieved successfully")
@query(AgentFilter())
def index(wanted: dict[str, Any]) -> Page[Agent]:
    """List agents, newest first."""
    return services().stores.agents.page(**wanted)


@agents.get("/<id:agent_id>")
@needs(Need.ACCOUNT)
@answer(AgentData(), message="Agent retrieved successfully")
def get(agent_id: str) -> Agent:
    """Read an agent."""
    return services().stores.agents.get(agent_id)


@agents.patch("/<id:agent_id>")
@needs(Need.ACCOUNT)
@answer(AgentData(), message="Agent updated successfully")
@body(AgentChanges())
def update(changes: dict[str, Any], agent_id: str) -> Agent:
    """Change the name, the URL or both."""
    if not changes:
        raise Invalid("No editable fields provided")
    return services().stores.agents.update(agent_id, changes, services().clock.now())


@agents.delete("/<id:agent_id>")
@needs(Need.ACCOUNT)
@answer(None, message="Agent deleted successfully")
def delete(agent_id: str) -> None:
    """Delete an agent. It stays in the rooms that it is in."""
    services().stores.agents.delete(agent_id)
