"""``/v2/sip/call``: place, list, read, move, transfer and end calls.

A token tied to a room sees that room's calls only, and one tied to a participant sees that
participant's calls. Neither may move or transfer a call out of its room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint

from service.api.schemas.calls import (
    CallData,
    CallFilter,
    CallToEnd,
    CallToMove,
    CallToTransfer,
    NewCall,
)
from service.calls.outbound import RING_SECONDS, CallRequest
from service.domain.calls import Call
from service.domain.paging import Page
from service.errors import BadGateway, Busy, Conflict, Forbidden, NotFound
from service.security.permissions import Need
from service.web.auth import granted, known_room, require_nobody, require_participant
from service.web.declarations import needs, refuses
from service.web.health import live_stats
from service.web.responses import answer
from service.web.services import public_base, services
from service.web.validation import body, query
from service.web.warnings import warn, warn_of

NOT_ACTED_ON = {
    "gateway_id": "gatewayId",
    "record_audio": "recordAudio",
    "media_encryption": "mediaEncryption",
    "headers": "headers",
    "include_headers": "includeHeaders",
}

calls = Blueprint("calls", __name__, url_prefix="/v2/sip/call")


@calls.get("")
@needs(Need.MODERATE)
@answer(CallData(), status_code=True)
@query(CallFilter())
def index(wanted: dict[str, Any]) -> Page[Call]:
    """List phone calls, newest first."""
    grant = granted()
    if grant.participant_id is not None:
        raise Forbidden("This token is only valid for one participant and cannot list calls.")
    if "room_id" in wanted:
        room = known_room(wanted["room_id"])
        wanted["room_id"] = room.id if room else wanted["room_id"]
    elif grant.room_id is not None:
        wanted["room_id"] = grant.room_id
    if wanted.pop("gateway_id", None):
        warn("gatewayId was ignored: calls come through connectors here, and not through gateways.")
    # A search must not reveal a hidden number digit by digit.
    page = services().stores.calls.page(**wanted, sees_hidden=not grant.is_tied)
    return replace(page, items=_with_live_stats(page.items))


@calls.get("/<id:call_id>")
@needs(Need.SELF)
@answer(CallData(), status_code=True)
def get(call_id: str) -> Call:
    """Read a call."""
    return _with_live_stats([_reachable(call_id)])[0]


@calls.delete("/<id:call_id>")
@needs(Need.ACCOUNT)
@answer(None, message="Call deleted successfully", status_code=True)
@refuses(NotFound, Conflict)
def delete(call_id: str) -> None:
    """Delete a call that is over, with its ladder, loudness, markup and events."""
    services().stores.history.delete(call_id)


@calls.post("/end")
@needs(Need.SELF)
@answer(CallData(), message="Call ended successfully", status_code=True)
@body(CallToEnd())
@refuses(NotFound)
def end(fields: dict[str, Any]) -> Call:
    """End a phone call or a WebSocket session."""
    call = _reachable(fields["call_id"])
    ended = services().ending.end(call.id)
    if call.is_transferring and not services().provider_api.can_hang_up(call):
        warn(
            "The provider is dialling on, and without credentials it cannot be told to stop: "
            "the line goes down when that is over."
        )
    return ended


@calls.post("/switch-room")
@needs(Need.MODERATE)
@answer(CallData(), status_code=True)
@body(CallToMove())
@refuses(NotFound, Conflict)
def switch_room(fields: dict[str, Any]) -> Call:
    """Move a call to another room without a gap for the caller."""
    call = _reachable(fields["call_id"])
    known_room(fields["room_id"])
    participant_id = fields.get("participant_id")
    if participant_id is not None:
        require_participant(participant_id)
    if fields.get("token"):
        warn("token was ignored: the one in the Authorization header decides.")
    return services().steering.move(call, fields["room_id"], participant_id)


@calls.post("/transfer")
@needs(Need.DIAL)
@answer(CallData(), message="Call transfer initiated successfully", status_code=True)
@body(CallToTransfer())
@refuses(NotFound, Conflict)
def transfer(fields: dict[str, Any]) -> Call:
    """Transfer a call to a phone number."""
    call = _reachable(fields["call_id"])
    warn_of(fields, {"participant": "participant", "play_dialtone": "playDialtone"})
    return services().steering.transfer(call, fields["number"])


@calls.post("")
@needs(Need.DIAL)
@answer(CallData(), message="Call initiated successfully", status_code=True)
@body(NewCall())
@refuses(NotFound, Conflict, BadGateway, Busy)
def place(fields: dict[str, Any]) -> Call:
    """Have a provider dial a number, and connect the call to a room."""
    require_nobody()
    participant = fields.get("participant") or {}
    wanted_call = CallRequest(
        callee=fields["callee"],
        caller=fields.get("caller"),
        connector_id=fields.get("connector_id"),
        rule_id=fields.get("rule_id"),
        room_id=fields.get("room_id"),
        participant_id=participant.get("id"),
        participant_name=participant.get("name"),
        participant_metadata=participant.get("metadata") or {},
        metadata=fields.get("metadata") or {},
        ring_seconds=fields.get("ring_seconds") or RING_SECONDS,
        max_seconds=fields.get("max_seconds"),
        hides_number=fields.get("hide_phone_number"),
        dtmf=_room_hears_keys(fields.get("dtmf")),
    )
    plan = services().outbound.plan(wanted_call)
    if granted().room_id is not None:
        known_room(plan.room_name)
    warn_of(fields, NOT_ACTED_ON)
    call = services().outbound.place_call(wanted_call, plan, public_base())
    if not fields.get("waits"):
        return call
    answered = services().outbound.wait(call, wanted_call.ring_seconds)
    if answered is None:
        warn("waitUntilAnswered was ignored: too many requests are waiting for an answer already.")
    return answered or call


def _room_hears_keys(dtmf: object) -> bool | None:
    """Return ``dtmf`` where it is a boolean. Keys to press are ignored with a warning."""
    if dtmf is None or isinstance(dtmf, bool):
        return dtmf
    warn("dtmf was ignored: keys cannot be pressed for a call; true or false is acted on.")
    return None


def _reachable(call_id: str) -> Call:
    """Return a call that the token allows. Raises ``NotFound`` or ``Forbidden``."""
    call = services().stores.calls.get(call_id)
    granted().require_room(call.room_id)
    require_participant(call.participant.id)
    return call


def _with_live_stats(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Replace the stored statistics of live calls, which are from their last socket."""
    live = live_stats([call.id for call in calls])
    return tuple(replace(call, stats=live.get(call.id, call.stats)) for call in calls)
