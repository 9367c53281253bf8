"""``/v2/sessions``: sessions of rooms, their participants and statistics.

A token tied to a room sees that room's sessions only. A token tied to a participant reaches that
participant in any session, and no other participant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import Blueprint

from service.api.schemas.sessions import (
    EndedSessionData,
    ParticipantData,
    ParticipantStatsData,
    ParticipantToRemove,
    SessionData,
    SessionFilter,
    SessionStatsData,
    SessionToEnd,
)
from service.domain.ids import account_id
from service.domain.paging import Page
from service.domain.rooms import Presence, Session, SessionParticipant
from service.errors import Invalid, NotFound
from service.security.permissions import Need
from service.web.auth import (
    granted,
    known_room,
    reachable_room,
    require_nobody,
    require_participant,
)
from service.web.declarations import needs, refuses
from service.web.health import live_stats
from service.web.responses import answer
from service.web.schemas.fields import PageFilter
from service.web.services import services
from service.web.validation import body, query

sessions = Blueprint("sessions", __name__, url_prefix="/v2/sessions")

PER_PAGE = 20


@sessions.get("/", endpoint="index_with_slash")
@sessions.get("")
@needs(Need.MODERATE)
@answer(SessionData())
@query(SessionFilter())
def index(wanted: dict[str, Any]) -> Page[Session]:
    """List sessions, ongoing ones first, then newest first."""
    require_nobody()
    room_id, user_id = wanted.pop("room_id", None), wanted.pop("user_id", None)
    if room_id is not None:
        room = known_room(room_id)
        room_id = room.id if room else room_id
    page = services().stores.sessions.page(room_id=room_id or granted().room_id, **wanted)
    if user_id in (None, account_id(services().settings.api_key)):
        return page
    return replace(page, items=(), total=0)


@sessions.get("/<id:session_id>")
@needs(Need.MODERATE)
@answer(SessionData(), in_data=False)
def get(session_id: str) -> Session:
    """Read a session with all its participants."""
    require_nobody()
    return _reachable(session_id)


@sessions.get("/<id:session_id>/participants")
@needs(Need.MODERATE)
@answer(SessionData(), single=True)
@query(PageFilter())
def participants(wanted: dict[str, int], session_id: str) -> Page[Session]:
    """Read a session with a page of its participants."""
    require_nobody()
    session = _reachable(session_id)
    return _paged(session, session.participants, **wanted)


@sessions.get("/<id:session_id>/participants/active")
@needs(Need.MODERATE)
@answer(SessionData())
@query(PageFilter())
def active(wanted: dict[str, int], session_id: str) -> Page[Session]:
    """Read a session with the participants who are present.

    ``data`` is an array of one session here, and the session itself one address up.
    """
    require_nobody()
    session = _reachable(session_id)
    return _paged(session, [who for who in session.participants if who.is_present], **wanted)


@sessions.get("/<id:session_id>/participants/<name:participant_id>")
@needs(Need.SELF)
@answer(ParticipantData(), in_data=False)
def participant(session_id: str, participant_id: str) -> SessionParticipant:
    """Read when a participant was in a session."""
    require_participant(participant_id)
    return _participant_of(_reachable(session_id), participant_id)


@sessions.get("/<id:session_id>/stats")
@needs(Need.MODERATE)
@answer(SessionStatsData(), in_data=False)
def stats(session_id: str) -> dict[str, Any]:
    """Read the statistics of a session's calls."""
    require_nobody()
    session = _reachable(session_id)
    presences = services().stores.sessions.presences(session.id)
    return {"id": session.id, "room_id": session.room_id, "readings": _readings(presences)}


@sessions.get("/<id:session_id>/participant/<name:participant_id>/stats")
@needs(Need.SELF)
@answer(ParticipantStatsData(), in_data=False)
def participant_stats(session_id: str, participant_id: str) -> dict[str, Any]:
    """Read the statistics of a participant's calls."""
    require_participant(participant_id)
    session = _reachable(session_id)
    participant = _participant_of(session, participant_id)
    presences = services().stores.sessions.presences(session.id)
    return {
        "id": session.id,
        "room_id": session.room_id,
        "participant_id": participant.id,
        "participant_name": participant.name,
        "readings": _readings(each for each in presences if each.participant_id == participant.id),
    }


@sessions.post("/end")
@needs(Need.MODERATE)
@answer(EndedSessionData(), in_data=False)
@body(SessionToEnd())
@refuses(NotFound)
def end(fields: dict[str, Any]) -> Session:
    """End a session and remove everyone in it."""
    require_nobody()
    return services().removals.end(_session_of(**fields))


@sessions.post("/participants/remove")
@needs(Need.SELF)
@answer(None, message="Participant removed from the session.", in_data=False)
@body(ParticipantToRemove())
@refuses(NotFound)
def remove(fields: dict[str, Any]) -> None:
    """Remove a participant from a session.

    The answer is a JSON string: VideoSDK's pages show the session here, but its SDKs expect a
    string.
    """
    participant_id = fields.pop("participant_id")
    require_participant(participant_id)
    services().removals.remove(_session_of(**fields), participant_id)


def _reachable(session_id: str) -> Session:
    """Return a session that the token allows. Raises ``NotFound`` or ``Forbidden``."""
    session = services().stores.sessions.get(session_id)
    granted().require_room(session.room_id)
    return session


def _session_of(room_id: str | None = None, session_id: str | None = None) -> Session:
    """Return the session of a request: by its id, or the ongoing one of a room."""
    if room_id is None and session_id is None:
        raise Invalid("roomId is required.", errors={"roomId": ["roomId is required."]})
    room = None if room_id is None else reachable_room(room_id)
    if session_id is not None:
        session = _reachable(session_id)
        if room is not None and session.room_id != room.id:
            raise NotFound("This room has no such session.")
        return session
    ongoing = None if room is None else services().stores.sessions.ongoing(room.id)
    if ongoing is None:
        raise NotFound("No session is going on in this room.")
    return ongoing


def _participant_of(session: Session, participant_id: str) -> SessionParticipant:
    for one in session.participants:
        if one.id == participant_id:
            return one
    raise NotFound("Participant not found.")


def _paged(
    session: Session,
    participants: Iterable[SessionParticipant],
    number: int = 1,
    per_page: int = PER_PAGE,
) -> Page[Session]:
    """Return the session with one page of its participants."""
    page = Page.cut(tuple(participants), number, per_page)
    shown = replace(session, participants=page.items)
    return Page((shown,), page.number, page.per_page, page.total)


def _readings(presences: Iterable[Presence]) -> list[dict[str, Any]]:
    """Return live statistics of present participants, and stored ones of the others."""
    found = list(presences)
    now = services().clock.now()
    live = live_stats([each.call_id for each in found if each.left_at is None])
    return [
        {
            "time": each.left_at or now,
            "call_id": each.call_id,
            "participant_id": each.participant_id,
            "name": each.name,
            "stats": live.get(each.call_id, each.stats),
        }
        for each in found
    ]
