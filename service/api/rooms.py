"""``/v2/rooms``: create, list, read, validate, deactivate and activate rooms.

A token tied to a room reaches that room only. A token tied to a participant reaches no room,
because a room contains the ids of other participants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint
from marshmallow import ValidationError

from service.api.schemas.rooms import (
    ClosedRoomData,
    NewRoom,
    RoomData,
    RoomFilter,
    RoomState,
    RoomToClose,
)
from service.domain import ids
from service.domain.paging import Page
from service.domain.rooms import AutoClose, Room
from service.domain.webhook_events import RoomEvent, matches
from service.errors import Invalid, NotFound, WrongName
from service.security.permissions import Need, may_moderate
from service.storage.rooms.rooms import NOT_FOUND
from service.web.auth import granted, known_room, reachable_room, require_untied
from service.web.declarations import needs, refuses
from service.web.responses import answer
from service.web.schemas.fields import IDENTIFIER
from service.web.services import services
from service.web.validation import body, query
from service.web.warnings import warn

rooms = Blueprint("rooms", __name__, url_prefix="/v2/rooms")

NOT_ACTED_ON = {
    "auto_start": "autoStartConfig was stored but is not acted on: nothing is recorded.",
    "composition": "multiComposition was stored but is not acted on: nothing is recorded.",
}

CHOSEN = ("geo_fence", "webhook", "auto_close", "allowed_participant_ids", "options")
"""Fields of a room that its creator may set."""

UNSET: tuple[object, ...] = (None, (), {})


@rooms.post("")
@needs(Need.MODERATE)
@answer(RoomData(), in_data=False)
@body(NewRoom())
def create(fields: dict[str, Any]) -> Room:
    """Create a room, or return the room with this customRoomId."""
    require_untied("creating rooms needs")
    at = services().clock.now()
    close, webhook = fields.get("auto_close"), fields.get("webhook")
    options = {
        "autoStartConfig": fields.get("auto_start"),
        "multiComposition": fields.get("composition"),
    }
    room = Room(
        id=ids.new_room_id(),
        object_id=ids.new_object_id(),
        custom_id=fields.get("custom_id"),
        geo_fence=fields.get("geo_fence"),
        webhook=webhook
        and {"endPoint": webhook["end_point"], "events": webhook.get("events") or []},
        auto_close=close and AutoClose(**close),
        allowed_participant_ids=tuple(fields.get("allowed_participant_ids") or ()),
        options={name: value for name, value in options.items() if value is not None},
        created_at=at,
        updated_at=at,
    )
    found = services().stores.rooms.create(room)
    chosen = {name: getattr(room, name) for name in CHOSEN if getattr(room, name) not in UNSET}
    if any(getattr(found, name) != value for name, value in chosen.items()):
        warn("A room of this customRoomId exists already and was left as it is.")
        return found
    for name, sentence in NOT_ACTED_ON.items():
        if fields.get(name):
            warn(sentence)
    if room.webhook is not None:
        _warn_of_silence(room.webhook["events"])
    return found


@rooms.get("")
@needs(Need.MODERATE)
@answer(RoomData())
@query(RoomFilter())
def index(wanted: dict[str, Any]) -> Page[Room]:
    """List rooms, newest first."""
    return services().stores.rooms.page(room_id=granted().room_id, **wanted)


@rooms.get("/<room:room_id>")
@needs(Need.JOIN)
@answer(RoomData(), in_data=False)
def get(room_id: str) -> Room:
    """Read a room by any of its names.

    Its `webhook` and `allowedParticipantIds` are shown to tokens with `allow_mod` only.
    """
    return _seen(reachable_room(room_id))


@rooms.route("/validate/<path:room_id>", methods=["GET", "POST"])
@needs(Need.JOIN)
@answer(RoomData(), in_data=False)
def validate(room_id: str) -> Room:
    """Read a room by any of its names, or get 400 where there is none.

    Its `webhook` and `allowedParticipantIds` are shown to tokens with `allow_mod` only.

    VideoSDK's statuses differ here from those of reading a room. One of its pages documents GET,
    and its index POST.
    """
    try:
        IDENTIFIER(room_id)
    except ValidationError:
        raise Invalid("RoomId is invalid.") from None
    room = known_room(room_id)
    if room is None:
        raise Invalid(NOT_FOUND)
    return _seen(room)


@rooms.post("/deactivate")
@needs(Need.MODERATE)
@answer(ClosedRoomData(), in_data=False)
@body(RoomToClose())
@refuses(NotFound, WrongName)
def deactivate(fields: dict[str, Any]) -> Room:
    """Close a room and remove everyone in it."""
    room = reachable_room(fields["room_id"])
    if room.id != fields["room_id"]:
        raise WrongName("roomId must be the room's roomId here, not another name of it.")
    return services().removals.deactivate(room)


@rooms.post("/<room:room_id>")
@needs(Need.MODERATE)
@answer(RoomData(), in_data=False)
@body(RoomState())
def update(fields: dict[str, Any], room_id: str) -> Room:
    """Deactivate or activate a room."""
    room = reachable_room(room_id)
    if fields["status"] == "disabled":
        return services().removals.deactivate(room)
    return services().stores.rooms.activate(room.id, services().clock.now())


def _seen(room: Room) -> Room:
    """Return the room as a token may see it.

    Without ``allow_mod`` it shows neither the webhook, whose address may contain a secret, nor the
    ids that may join.
    """
    if may_moderate(granted()):
        return room
    return replace(room, webhook=None, allowed_participant_ids=())


def _warn_of_silence(patterns: Sequence[str]) -> None:
    """Warn of patterns that match no event of a room."""
    silent = [each for each in patterns if not any(matches((each,), name) for name in RoomEvent)]
    if silent:
        warn(f"webhook.events has {', '.join(silent)}, of which nothing occurs in rooms here.")
    if not patterns:
        warn("webhook.events is empty, so that the webhook is told of nothing.")
