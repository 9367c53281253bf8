"""Outbound calls: find connector, rule and room of a request, and have the provider dial.

The call is stored before its provider dials, so a webhook that arrives at any moment, also after a
restart, finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.calls.admission import Admission
from service.calls.ending import CallEnding
from service.calls.provider_api import ProviderApi
from service.calls.serving_state import ServingState
from service.calls.waiting import Waiters
from service.clock import Clock
from service.domain import ids, phone_numbers, routing
from service.domain.calls import (
    Call,
    CallStatus,
    Direction,
    EndReason,
    LadderEvent,
    LadderStep,
    Participant,
    phone_metadata,
)
from service.domain.connectors import Connector, webhook_url
from service.domain.dialling import require_allowed
from service.domain.phone_numbers import spellings
from service.domain.rooms import Room
from service.domain.routing import ByCustomId, ById, Fresh
from service.domain.routing_rules import Rule, RuleType
from service.errors import BadGateway, Conflict, Invalid
from service.process import turns
from service.providers.base.call_control import Order
from service.security import call_keys
from service.settings import Settings
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.connectors import Connectors
from service.storage.routing_rules import Rules
from service.storage.stored_secrets import StoredSecrets
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

RING_SECONDS = 60
"""Seconds for which a placed call rings by default."""

GRACE_SECONDS = 15
"""Seconds in which a placed call must report its outcome after it has stopped ringing."""

WAIT_SECONDS = 90
"""The longest wait of a request for its call to be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A request to place a call. Numbers are E.164.

    ``hides_number`` and ``dtmf`` are the rule's where they are ``None``.
    """

    callee: str
    caller: str | None = None
    connector_id: str | None = None
    rule_id: str | None = None
    room_id: str | None = None
    participant_id: str | None = None
    participant_name: str | None = None
    participant_metadata: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ring_seconds: int = RING_SECONDS
    max_seconds: int | None = None
    hides_number: bool | None = None
    dtmf: bool | None = None


@dataclass(frozen=True, slots=True)
class OutboundPlan:
    """Plan of a placed call. ``decision`` routes the call, and ``room_choice`` is its room."""

    connector: Connector
    caller: str
    rule: Rule | None
    decision: Rule | ById
    room_choice: routing.RoomChoice

    @property
    def room_name(self) -> str:
        """The name of the room, or an empty one for a new room."""
        match self.room_choice:
            case ById(name) | ByCustomId(name):
                return name
            case Fresh():
                return ""


class OutboundCalls:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        calls: Calls,
        connectors: Connectors,
        stored_steering: StoredSteering,
        routing_rules: Rules,
        secrets: StoredSecrets,
        admission: Admission,
        ending: CallEnding,
        provider_api: ProviderApi,
        waiters: Waiters,
        serving: ServingState,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = calls
        self._connectors = connectors
        self._stored_steering = stored_steering
        self._routing_rules = routing_rules
        self._secrets = secrets
        self._admission = admission
        self._ending = ending
        self._provider_api = provider_api
        self._waiters = waiters
        self._serving = serving

    def plan(self, request: CallRequest) -> OutboundPlan:
        """Find connector, caller, rule and room of a request.

        Raises ``Invalid`` or ``NotFound`` where something is missing, ``Conflict`` where the
        credentials cannot be read, and ``Forbidden`` where the number may not be dialled.
        """
        rule = None if request.rule_id is None else self._outbound(request.rule_id)
        caller = request.caller or (next(iter(rule.numbers), None) if rule else None)
        connector = self._connector(request, caller)
        self._require_credentials(connector)
        caller = caller or next(iter(self._numbers(connector)), None)
        if caller is None:
            raise Invalid("sipCallFrom is required: no routing rule names a number to call from.")
        require_allowed(request.callee, caller, self._settings.dial_allowed)
        rule = rule or self._routing_rules.outbound(caller)
        decision: Rule | ById
        if request.room_id is not None:
            decision = ById(request.room_id)
        elif rule is not None:
            decision = rule
        elif connector.default_room_id is not None:
            decision = ById(connector.default_room_id)
        else:
            raise Invalid("destinationRoomId is required: neither rule nor connector names a room.")
        room_choice = routing.choose_room(decision, request.callee, caller, self._secrets.of_rooms)
        return OutboundPlan(connector, caller, rule, decision, room_choice)

    def place_call(self, request: CallRequest, plan: OutboundPlan, base: str) -> Call:
        """Have the provider dial, and return the call. ``base`` is the public origin.

        Raises ``Busy``, ``Forbidden`` where the room does not let the participant in, or
        ``BadGateway`` where the provider refuses.
        """
        self._serving.require_open()
        room = self._admission.resolve_room(plan.decision, request.callee, plan.caller)
        call = self._new_call(request, plan, room, base)
        room.require(call.participant.id)
        if not self._stored_steering.place_call(
            call, self._settings.max_calls, self._settings.dial_per_day
        ):
            raise self._admission.full()
        key = call_keys.key_of(self._settings.api_secret, call.id)
        hook = webhook_url(base, plan.connector.provider, key)
        order = Order(
            caller=plan.caller,
            callee=request.callee,
            answer_url=hook,
            status_url=f"{hook}/status",
            ring_seconds=request.ring_seconds,
            max_seconds=self._settings.call_seconds(request.max_seconds),
        )
        try:
            provider_call_id = self._provider_api.place_call(plan.connector, order)
        except BadGateway as error:
            self._ending.hang_up(call, EndReason.PROVIDER_FAILED, error.message)
            raise
        if provider_call_id is not None:
            self._stored_steering.bind(call.id, provider_call_id, firm=False)
        logger.info("%s dials", call.provider, extra=about(call.id, call.room_id))
        return self._calls.get(call.id)

    def wait(self, call: Call, ring_seconds: int) -> Call | None:
        """Wait until a placed call is answered or over. Return ``None`` if too many wait."""
        deadline = self._clock.monotonic() + min(ring_seconds + GRACE_SECONDS, WAIT_SECONDS)
        with self._waiters.slot(call.id) as event:
            if event is None:
                return None
            while True:
                event.clear()
                current = self._calls.get(call.id)
                left = deadline - self._clock.monotonic()
                if not current.status.is_waiting or left <= 0:
                    return current
                with turns.waiting():
                    event.wait(left)

    def _outbound(self, rule_id: str) -> Rule:
        rule = self._routing_rules.get(rule_id)
        if rule.type is not RuleType.OUTBOUND:
            raise Invalid("routingRuleId must name an outbound rule.")
        return rule

    def _connector(self, request: CallRequest, caller: str | None) -> Connector:
        """Return the connector to call through.

        It is the one named; else the one whose routing rule has the number to call from; else the
        only one that can place calls.
        """
        if request.connector_id is not None:
            return self._connectors.get(request.connector_id)
        able = []
        for connector in self._connectors.all():
            if caller and not {*spellings(caller)}.isdisjoint(self._numbers(connector)):
                return connector
            if not self._provider_api.lacking(connector):
                able.append(connector)
        if len(able) != 1:
            raise Invalid(
                "connectorId is required: no routing rule leads to a connector, and "
                f"{len(able)} connectors can place calls."
            )
        return able[0]

    def _numbers(self, connector: Connector) -> tuple[str, ...]:
        """Return the numbers that the connector's rule names."""
        rule_id = connector.default_rule_id
        rule = None if rule_id is None else self._routing_rules.find(rule_id)
        return () if rule is None else rule.numbers

    def _require_credentials(self, connector: Connector) -> None:
        if connector.locked:
            raise Conflict(
                f"Connector {connector.id} cannot place calls: its credentials cannot be read with "
                "this API_SECRET; set them again."
            )
        lacking = self._provider_api.lacking(connector)
        if lacking:
            raise Invalid(
                f"Connector {connector.id} cannot place calls: it lacks the credentials "
                f"{', '.join(lacking)}."
            )

    def _new_call(self, request: CallRequest, plan: OutboundPlan, room: Room, base: str) -> Call:
        call_id, at, rule = ids.new_call_id(), self._clock.now(), plan.rule
        hides_number, dtmf = request.hides_number, request.dtmf
        if hides_number is None:
            hides_number = rule is not None and rule.hide_phone_number
        if dtmf is None:
            dtmf = rule is None or rule.dtmf
        shown = phone_numbers.masked(request.callee) if hides_number else request.callee
        return Call(
            id=call_id,
            provider=plan.connector.provider,
            # A placeholder until the provider has told its id.
            provider_call_id=call_id,
            connector_id=plan.connector.id,
            room_id=room.id,
            rule_id=None if rule is None else rule.id,
            session_id=None,
            caller=plan.caller,
            callee=request.callee,
            status=CallStatus.INITIATED,
            participant=Participant(
                request.participant_id or ids.new_participant_id(),
                request.participant_name or shown,
                {**request.participant_metadata, **phone_metadata(Direction.OUTBOUND)},
            ),
            region=plan.connector.region or phone_numbers.region(request.callee),
            started_at=at,
            expires_at=at + (request.ring_seconds + GRACE_SECONDS) * 1000,
            direction=Direction.OUTBOUND,
            metadata=request.metadata,
            max_seconds=request.max_seconds,
            hides_number=hides_number,
            dtmf=dtmf,
            agent=None if rule is None else rule.assignment(base),
            key_digest=ids.digest(call_keys.key_of(self._settings.api_secret, call_id)),
            steps=(LadderStep(LadderEvent.PLACED, at, CallStatus.INITIATED),),
        )
