"""``/v2/sip/call``: list, read and end calls.

A token tied to a room sees that room's calls only, one tied to a participant that participant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint

from service.api.answers import answer
from service.api.auth import granted, known_room, require_participant
from service.api.declared import refuses
from service.api.requests import body, query, switchboard
from service.api.schemas.calls import CallData, CallFilter, CallToEnd
from service.errors import Forbidden, NotFound
from service.model import Call, Page

calls = Blueprint("calls", __name__, url_prefix="/v2/sip/call")


@calls.get("")
@answer(CallData(), status_code=True)
@query(CallFilter())
def index(wanted: dict[str, Any]) -> Page[Call]:
    """Phone calls, newest first."""
    grant = granted()
    if grant.participant_id is not None:
        raise Forbidden("This token is only valid for one participant and cannot list calls.")
    if "room_id" in wanted:
        room = known_room(wanted["room_id"])
        wanted["room_id"] = room.id if room else wanted["room_id"]
    elif grant.room_id is not None:
        wanted["room_id"] = grant.room_id
    page = switchboard().calls.page(**wanted)
    return replace(page, items=_with_live_stats(page.items))


@calls.get("/<id:call_id>")
@answer(CallData(), status_code=True)
def get(call_id: str) -> Call:
    return _with_live_stats([_reachable(call_id)])[0]


@calls.post("/end")
@answer(CallData(), message="Call ended successfully", status_code=True)
@refuses(NotFound)
@body(CallToEnd())
def end(fields: dict[str, Any]) -> Call:
    """End a phone call or a WebSocket session."""
    return switchboard().end(_reachable(fields["call_id"]).id)


def _reachable(call_id: str) -> Call:
    """The call, where the token reaches it. Raises ``NotFound`` or ``Forbidden``."""
    call = switchboard().calls.get(call_id)
    granted().require_room(call.room_id)
    require_participant(call.participant.id)
    return call


def _with_live_stats(calls: Sequence[Call]) -> tuple[Call, ...]:
    """Calls that are up count in memory; what is stored of them is from their last socket."""
    live = switchboard().live_stats([call.id for call in calls])
    return tuple(replace(call, stats=live.get(call.id, call.stats)) for call in calls)
