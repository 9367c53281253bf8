"""``/v2/agent/dispatch``, also ``/v2/agent/connect``: send an agent into a room."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from service.api.schemas.dispatch import DispatchData, NewDispatch
from service.domain.agents import Dispatch
from service.errors import BadGateway, Busy, NotFound
from service.security.permissions import Need
from service.web.auth import known_room
from service.web.declarations import needs, refuses
from service.web.responses import answer
from service.web.services import public_base, services
from service.web.validation import body
from service.web.warnings import warn_of

dispatch = Blueprint("dispatch", __name__, url_prefix="/v2/agent")

NOT_ACTED_ON = {
    "version_id": "versionId",
    "version_tag": "versionTag",
    "wait": "wait",
    "room_options": "roomOptions",
    "sip_options": "sipOptions",
}


@dispatch.post("/dispatch")
@dispatch.post("/connect", endpoint="connect")
@needs(Need.MODERATE)
@answer(DispatchData(), message="Agent dispatch requested successfully.")
@body(NewDispatch())
@refuses(NotFound, BadGateway, Busy)
def create(fields: dict[str, Any]) -> Dispatch:
    """Send an agent into a room, and wait until it accepts or declines."""
    known_room(fields["room_id"])
    agent = services().stores.agents.get(fields["agent_id"])
    warn_of(fields, NOT_ACTED_ON)
    metadata = fields.get("metadata") or {}
    return services().dispatcher.send(agent, fields["room_id"], public_base(), metadata)
