"""``/v2/agent/dispatch``, also ``/v2/agent/connect``: an agent is sent into a room now."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, current_app

from service.agents import Dispatch
from service.api.answers import answer
from service.api.auth import known_room
from service.api.declared import needs, refuses
from service.api.requests import body, public_base, switchboard, warn_of
from service.api.schemas.dispatch import DispatchData, NewDispatch
from service.dispatcher import Dispatcher
from service.errors import BadGateway, Busy, NotFound
from service.permissions import Need

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
@refuses(NotFound, BadGateway, Busy)
@body(NewDispatch())
def create(fields: dict[str, Any]) -> Dispatch:
    """Ask an agent to come into a room, and wait until it has said whether it does."""
    known_room(fields["room_id"])
    agent = switchboard().agents.get(fields["agent_id"])
    warn_of(fields, NOT_ACTED_ON)
    metadata = fields.get("metadata") or {}
    return dispatcher().send(agent, fields["room_id"], public_base(), metadata)


def dispatcher() -> Dispatcher:
    return cast("Dispatcher", current_app.extensions["dispatcher"])
