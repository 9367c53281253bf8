"""Admission of calls and media sockets, and the choice of a call's room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.calls.serving_state import ServingState
from service.clock import Clock
from service.domain import ids
from service.domain.agents import Assignment
from service.domain.calls import WEBSOCKET, Call, CallStatus, Participant
from service.domain.rooms import Room
from service.domain.routing import ByCustomId, ById, Fresh, choose_room
from service.domain.routing_rules import Rule
from service.errors import Busy
from service.media.engine.media import Media
from service.media.rooms.leg import LegSpec
from service.providers.base.provider import Provider
from service.providers.custom import WebSocketWire
from service.settings import Settings
from service.storage.calls.calls import Calls, Used
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions
from service.storage.stored_secrets import StoredSecrets


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call of a custom WebSocket that may be opened with ``ref``, at the machine of ``node_url``
    if it has an address of its own.
    """

    call: Call
    ref: str = field(repr=False)
    node_url: str | None


class Admission:
    """Thread-safe. Storage decides, so a repeated or late request gets the same answer."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        providers: Mapping[str, Provider],
        calls: Calls,
        rooms: Rooms,
        sessions: Sessions,
        secrets: StoredSecrets,
        media: Media,
        serving: ServingState,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._providers = providers
        self._calls = calls
        self._rooms = rooms
        self._sessions = sessions
        self._secrets = secrets
        self._media = media
        self._serving = serving

    def invite(
        self,
        room_id: str,
        participant: Participant,
        region: str | None,
        agent: Assignment | None = None,
    ) -> Ticket:
        """Make a ticket for a custom WebSocket.

        An unknown room is created. Raises ``Forbidden`` where the room does not let the
        participant in, and ``Busy`` where the process is full, draining or waiting.
        """
        self._serving.require_open()
        at = self._clock.now()
        room = self.resolve_room(ById(room_id), participant.id, room_id)
        room.require(participant.id)
        call_id, ref = ids.new_call_id(), ids.new_ingest_ref()
        call = Call(
            id=call_id,
            provider=WEBSOCKET,
            provider_call_id=call_id,
            connector_id=None,
            room_id=room.id,
            rule_id=None,
            session_id=None,
            caller=participant.id,
            callee=room.id,
            status=CallStatus.INCOMING,
            participant=participant,
            region=region,
            started_at=at,
            expires_at=at + ids.REF_SECONDS * 1000,
            agent=agent,
        )
        place = self._calls.admit(call, ids.digest(ref), self._settings.max_calls)
        if place is None:
            raise self.full()
        return Ticket(call, ref, place.node_url)

    def resolve_room(
        self, decision: Rule | ById, caller: str, callee: str, *, is_admitted: bool = False
    ) -> Room:
        """Return the room that a routing decision leads to, and create it if it does not exist.

        Raises ``Busy`` instead of creating a room for a call that will not be admitted.
        """
        where = choose_room(decision, caller, callee, self._secrets.of_rooms)
        name = None if isinstance(where, Fresh) else where.name
        if name is not None and (known := self._rooms.find(name)):
            return known
        if not is_admitted and self._calls.are_full(self._settings.max_calls):
            raise self.full()
        make = self._rooms.named if isinstance(where, ByCustomId) else self._rooms.ensure
        return make(name or ids.new_room_id(), self._clock.now())

    def full(self) -> Busy:
        """Return the error for a call beyond ``MAX_CALLS``."""
        return Busy(f"All {self._settings.max_calls} calls are taken.")

    def require_here(self, ref: str) -> None:
        """Raise ``Misdirected`` for a reference whose call is on another machine, and note it on
        the call's ladder. The reference is not used up.
        """
        self._calls.require_here(ids.digest(ref), self._clock.now())

    def claim(self, provider_name: str, ref: str) -> LegSpec:
        """Claim a reference, and return the leg of the socket that was opened with it.

        A reference works once. Providers dial an address a second time when a connection breaks,
        so it works again for the same live call if its socket is gone. Raises ``NotFound`` or
        ``Gone``, ``Misdirected`` where the call is on another machine, and ``Busy`` where the
        process takes no calls or the engine does not answer.
        """
        self._serving.require_open()
        leg_id, at, ref_digest = ids.new_leg_id(), self._clock.now(), ids.digest(ref)
        try:
            call = self._calls.claim(ref_digest, provider_name, leg_id, at)
        except Used as used:
            if provider_name == WEBSOCKET or self._has_socket(used.call_id):
                raise
            call = self._calls.claim(ref_digest, provider_name, leg_id, at, redial=True)
        provider = self._providers.get(provider_name)
        room_id = call.room_id or ""
        return LegSpec(
            leg_id=leg_id,
            call_id=call.id,
            room_id=room_id,
            participant=call.participant,
            wire=provider.wire() if provider else WebSocketWire(),
            session_id=call.session_id or self._sessions.waiting(room_id, call.node_id),
            provider_call_id=call.provider_call_id if provider else None,
            ref=ref if provider else None,
            dtmf=call.dtmf,
        )

    def _has_socket(self, call_id: str) -> bool:
        try:
            return call_id in self._media.stats([call_id])
        except TimeoutError:
            raise Busy("The media engine does not answer.") from None
