"""``/v2/ingest/sessions``: tickets for custom WebSockets."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from service.api.schemas.ingest_sessions import IngestSessionData, NewIngestSession
from service.domain.agents import Assignment
from service.domain.calls import Participant
from service.domain.ids import REF_SECONDS, new_participant_id
from service.errors import Busy
from service.providers.custom import socket_url
from service.security.permissions import Need, require
from service.web.auth import granted, known_room, require_participant
from service.web.declarations import needs, refuses
from service.web.responses import answer
from service.web.services import public_base, services
from service.web.validation import body
from service.web.warnings import warn

ingest = Blueprint("ingest", __name__, url_prefix="/v2/ingest/sessions")


@ingest.post("")
@needs(Need.JOIN)
@answer(IngestSessionData(), status=201, message="Ingest session created")
@body(NewIngestSession())
@refuses(Busy)
def create(fields: dict[str, Any]) -> dict[str, Any]:
    """Create a ticket for a custom WebSocket. An `agent` needs `allow_mod`."""
    known_room(fields["room_id"])
    participant, agent = _participant(fields.get("participant") or {}), _agent(fields.get("agent"))
    ticket = services().admission.invite(
        fields["room_id"], participant, fields.get("region"), agent
    )
    base = ticket.node_url or public_base()
    media = services().settings.media_base(ticket.call.region, base)
    return {
        "ws_url": socket_url(media, ticket.ref),
        "call_id": ticket.call.id,
        "room_id": ticket.call.room_id,
        "expires_in": REF_SECONDS,
    }


def _agent(fields: dict[str, Any] | None) -> Assignment | None:
    """Return the agent to dispatch, or ``None`` with a warning for an unknown id."""
    if not fields:
        return None
    # A participant's token must not bring an agent into a room.
    require(Need.MODERATE, granted())
    if services().stores.agents.find(fields["id"]) is None:
        warn("agent was ignored: its id names no agent that could be sent for.")
        return None
    return Assignment(fields["id"], public_base(), fields.get("metadata") or {})


def _participant(fields: dict[str, Any]) -> Participant:
    participant = Participant(
        id=fields.get("id") or granted().participant_id or new_participant_id(),
        name=fields.get("name") or "Socket Participant",
        metadata=fields.get("metadata") or {},
    )
    require_participant(participant.id)
    return participant
