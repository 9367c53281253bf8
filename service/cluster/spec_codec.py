"""A leg's spec as a message, with its wire by name: the state of a parser is never sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.calls import WEBSOCKET, Participant
from service.errors import NotFound
from service.media.rooms.leg import LegSpec
from service.providers.base.provider import Provider
from service.providers.custom import WebSocketWire


@dataclass(frozen=True, slots=True)
class SpecMessage:
    """The fields of ``LegSpec``, with the name of the provider whose dialect the socket speaks."""

    leg_id: str
    call_id: str
    room_id: str
    participant: Participant
    provider: str
    session_id: str | None
    provider_call_id: str | None
    ref: str | None = field(repr=False)
    dtmf: bool


class SpecCodec:
    """Converts specs. All workers of a machine have the same providers."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._names = {type(each.wire()): name for name, each in providers.items()}
        self._names[WebSocketWire] = WEBSOCKET

    def encode(self, spec: LegSpec) -> SpecMessage:
        return SpecMessage(
            leg_id=spec.leg_id,
            call_id=spec.call_id,
            room_id=spec.room_id,
            participant=spec.participant,
            provider=self._names[type(spec.wire)],
            session_id=spec.session_id,
            provider_call_id=spec.provider_call_id,
            ref=spec.ref,
            dtmf=spec.dtmf,
        )

    def decode(self, message: SpecMessage) -> LegSpec:
        """Return the spec, with a new wire. Raises ``NotFound`` for an unknown provider."""
        provider = self._providers.get(message.provider)
        if provider is None and message.provider != WEBSOCKET:
            raise NotFound(f"There is no provider {message.provider}.")
        return LegSpec(
            leg_id=message.leg_id,
            call_id=message.call_id,
            room_id=message.room_id,
            participant=message.participant,
            wire=provider.wire() if provider else WebSocketWire(),
            session_id=message.session_id,
            provider_call_id=message.provider_call_id,
            ref=message.ref,
            dtmf=message.dtmf,
        )
