"""Call control: to move a call to another room, hand it on to a number, and place one.

What can be decided is decided in storage first, so that a provider that asks at any moment, and a
process that starts again, find the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.calls.ending import Switchboard
from service.domain import ids, phone_numbers, routing
from service.domain.call_states import require
from service.domain.call_transitions import Trigger
from service.domain.calls import (
    WEBSOCKET,
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
from service.domain.routing import Existing, Fresh, Named
from service.domain.routing_rules import Rule, RuleType
from service.errors import BadGateway, Conflict, Invalid
from service.process import turns
from service.providers.base.call_control import Order
from service.security import call_keys
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

RING_SECONDS = 60
"""How long a placed call rings where nothing else is said."""

GRACE_SECONDS = 15
"""How much longer than it should ring a placed call may take to tell what became of it."""

WAIT_SECONDS = 90
"""The longest that a request waits for its call to be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call that somebody wants placed. Numbers are E.164.

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
    """A wish with everything found that it needs. ``decision`` is what decides about the room, and
    ``place`` what comes of it."""

    connector: Connector
    caller: str
    rule: Rule | None
    decision: Rule | Existing
    place: routing.Place

    @property
    def room_name(self) -> str:
        """By what name the room is known; a new room has none yet."""
        match self.place:
            case Existing(name) | Named(name):
                return name
            case Fresh():
                return ""


class OutboundCalls:
    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._clock = switchboard.clock
        self._steering = switchboard.steering
        self._rules = switchboard.rules

    def move(self, call: Call, room_id: str, participant_id: str | None) -> Call:
        """Send a call to another room, which is made where there is none of this name.

        Raises ``Conflict`` where the call cannot go anywhere, and ``Forbidden`` where the room does
        not let it in.
        """
        require(call, Trigger.MOVE_REQUESTED)
        at = self._clock.now()
        room = self._switchboard.rooms.ensure(room_id, at)
        participant = replace(call.participant, id=participant_id or call.participant.id)
        room.require(participant.id)
        moved = self._steering.move(call.id, room.id, participant, at)
        if moved.is_moving:
            logger.info("a call is to go to another room", extra=about(call.id, room.id))
            self._switchboard.move(moved)
        return moved

    def transfer(self, call: Call, number: str) -> Call:
        """Hand a call on to a number.

        Raises ``Conflict`` where that is not possible, and ``Forbidden`` where the number may not
        be dialled.
        """
        if call.provider == WEBSOCKET:
            raise Conflict("A WebSocket session is not a phone call and cannot be transferred.")
        if not self._settings.reattach:
            raise Conflict(
                "REATTACH is off: the provider does not ask again, so a call cannot be transferred."
            )
        require_allowed(number, call.ours, self._settings.dial_allowed)
        handed_on = self._steering.hand_on(
            call.id, number, self._clock.now(), self._settings.dial_per_day
        )
        logger.info("a call is to be transferred", extra=about(call.id, call.room_id))
        self._switchboard.release(handed_on, "The call is being transferred")
        return handed_on

    def plan(self, wish: CallRequest) -> OutboundPlan:
        """Find what a wish needs.

        Raises ``Invalid`` or ``NotFound`` where something is missing, ``Conflict`` where the
        credentials cannot be read, and ``Forbidden`` where the number may not be dialled.
        """
        rule = None if wish.rule_id is None else self._outbound(wish.rule_id)
        caller = wish.caller or (next(iter(rule.numbers), None) if rule else None)
        connector = self._connector(wish, caller)
        self._require_credentials(connector)
        caller = caller or next(iter(self._numbers(connector)), None)
        if caller is None:
            raise Invalid("sipCallFrom is required: no routing rule names a number to call from.")
        require_allowed(wish.callee, caller, self._settings.dial_allowed)
        rule = rule or self._rules.outbound(caller)
        decision: Rule | Existing
        if wish.room_id is not None:
            decision = Existing(wish.room_id)
        elif rule is not None:
            decision = rule
        elif connector.default_room_id is not None:
            decision = Existing(connector.default_room_id)
        else:
            raise Invalid("destinationRoomId is required: neither rule nor connector names a room.")
        place = routing.place(decision, wish.callee, caller, self._switchboard.secrets.of_rooms)
        return OutboundPlan(connector, caller, rule, decision, place)

    def place(self, wish: CallRequest, plan: OutboundPlan, base: str) -> Call:
        """Have the provider dial; the call as it is then. ``base`` is the public origin.

        Raises ``Busy``, ``Forbidden`` where the room does not let the participant in, or
        ``BadGateway`` where the provider does not do it.
        """
        self._switchboard.handover.require_open()
        room = self._switchboard.room(plan.decision, wish.callee, plan.caller)
        call = self._new_call(wish, plan, room, base)
        room.require(call.participant.id)
        if not self._steering.place(call, self._settings.max_calls, self._settings.dial_per_day):
            raise self._switchboard.full()
        key = call_keys.key_of(self._settings.api_secret, call.id)
        hook = webhook_url(base, plan.connector.provider, key)
        order = Order(
            caller=plan.caller,
            callee=wish.callee,
            answer_url=hook,
            status_url=f"{hook}/status",
            ring_seconds=wish.ring_seconds,
            max_seconds=self._settings.call_seconds(wish.max_seconds),
        )
        try:
            provider_call_id = self._switchboard.errands.place(plan.connector, order)
        except BadGateway as error:
            self._switchboard.hang_up(call, EndReason.PROVIDER_FAILED, error.message)
            raise
        if provider_call_id is not None:
            self._steering.bind(call.id, provider_call_id, firm=False)
        logger.info("%s dials", call.provider, extra=about(call.id, call.room_id))
        return self._switchboard.calls.get(call.id)

    def wait(self, call: Call, ring_seconds: int) -> Call | None:
        """Wait until a placed call is answered or over; ``None`` where too many wait already."""
        deadline = self._clock.monotonic() + min(ring_seconds + GRACE_SECONDS, WAIT_SECONDS)
        with self._switchboard.waiters.seat(call.id) as event:
            if event is None:
                return None
            while True:
                event.clear()
                current = self._switchboard.calls.get(call.id)
                left = deadline - self._clock.monotonic()
                if not current.status.is_waiting or left <= 0:
                    return current
                with turns.waiting():
                    event.wait(left)

    def _outbound(self, rule_id: str) -> Rule:
        rule = self._rules.get(rule_id)
        if rule.type is not RuleType.OUTBOUND:
            raise Invalid("routingRuleId must name an outbound rule.")
        return rule

    def _connector(self, wish: CallRequest, caller: str | None) -> Connector:
        """The connector to call through.

        The one that is named; else the one whose routing rule has the number to call from; else the
        only one that can place calls at all.
        """
        if wish.connector_id is not None:
            return self._switchboard.connectors.get(wish.connector_id)
        able = []
        for connector in self._switchboard.connectors.all():
            if caller and not {*spellings(caller)}.isdisjoint(self._numbers(connector)):
                return connector
            if not self._switchboard.errands.lacking(connector):
                able.append(connector)
        if len(able) != 1:
            raise Invalid(
                "connectorId is required: no routing rule leads to a connector, and "
                f"{len(able)} connectors can place calls."
            )
        return able[0]

    def _numbers(self, connector: Connector) -> tuple[str, ...]:
        """The numbers whose calls come in through the connector, as far as its rule names them."""
        rule_id = connector.default_rule_id
        rule = None if rule_id is None else self._rules.find(rule_id)
        return () if rule is None else rule.numbers

    def _require_credentials(self, connector: Connector) -> None:
        if connector.locked:
            raise Conflict(
                f"Connector {connector.id} cannot place calls: its credentials cannot be read with "
                "this API_SECRET; set them again."
            )
        lacking = self._switchboard.errands.lacking(connector)
        if lacking:
            raise Invalid(
                f"Connector {connector.id} cannot place calls: it lacks the credentials "
                f"{', '.join(lacking)}."
            )

    def _new_call(self, wish: CallRequest, plan: OutboundPlan, room: Room, base: str) -> Call:
        call_id, at, rule = ids.new_call_id(), self._clock.now(), plan.rule
        hides_number, dtmf = wish.hides_number, wish.dtmf
        if hides_number is None:
            hides_number = rule is not None and rule.hide_phone_number
        if dtmf is None:
            dtmf = rule is None or rule.dtmf
        shown = phone_numbers.masked(wish.callee) if hides_number else wish.callee
        return Call(
            id=call_id,
            provider=plan.connector.provider,
            # Until the provider has told its own.
            provider_call_id=call_id,
            connector_id=plan.connector.id,
            room_id=room.id,
            rule_id=None if rule is None else rule.id,
            session_id=None,
            caller=plan.caller,
            callee=wish.callee,
            status=CallStatus.INITIATED,
            participant=Participant(
                wish.participant_id or ids.new_participant_id(),
                wish.participant_name or shown,
                {**wish.participant_metadata, **phone_metadata(Direction.OUTBOUND)},
            ),
            region=plan.connector.region or phone_numbers.region(wish.callee),
            started_at=at,
            expires_at=at + (wish.ring_seconds + GRACE_SECONDS) * 1000,
            direction=Direction.OUTBOUND,
            metadata=wish.metadata,
            max_seconds=wish.max_seconds,
            hides_number=hides_number,
            dtmf=dtmf,
            agent=None if rule is None else rule.assignment(base),
            key_digest=ids.digest(call_keys.key_of(self._settings.api_secret, call_id)),
            steps=(LadderStep(LadderEvent.PLACED, at, CallStatus.INITIATED),),
        )
