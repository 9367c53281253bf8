"""Call control: to move a call to another room, hand it on to a number, and place one.

What can be decided is decided in storage first, so that a provider that asks at any moment, and a
process that starts again, find the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from service import tokens
from service.calls import Switchboard
from service.errors import BadGateway, Busy, Conflict, Invalid, NotFound
from service.model import (
    WEBSOCKET,
    Call,
    CallStatus,
    Connector,
    Direction,
    EndReason,
    LadderEvent,
    Participant,
    Step,
)
from service.providers.control import Order
from service.reception import PLACED
from service.times import Millis

logger = logging.getLogger(__name__)

RING_SECONDS = 60
"""How long a placed call rings where nothing else is said."""

GRACE_SECONDS = 15
"""How much longer than it should ring a placed call may take to tell what became of it."""

WAIT_SECONDS = 90
"""The longest that a request waits for its call to be answered."""

PHONE_METADATA = {"sipUser": True, "callType": "outbound"}
"""What VideoSDK's agents recognise a phone, and a call that was placed, by."""


class RuleRoom(Protocol):
    @property
    def id(self) -> str | None:
        """The room, where it is always the same."""
        ...


class Rule(Protocol):
    """What of a routing rule matters here."""

    @property
    def numbers(self) -> tuple[str, ...]: ...

    @property
    def room(self) -> RuleRoom: ...


class Rules(Protocol):
    def get(self, rule_id: str) -> Rule:
        """Raises ``NotFound``."""
        ...


class NoRules:
    """As long as there are no routing rules, no id is one of theirs."""

    def get(self, rule_id: str) -> Rule:
        raise NotFound("Routing rule not found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A call that somebody wants placed. Numbers are E.164."""

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


@dataclass(frozen=True, slots=True)
class Plan:
    """A wish with everything found that it needs."""

    connector: Connector
    caller: str
    room_id: str
    rule_id: str | None


class Control:
    """``rules`` finds routing rules; ``ensure_room`` makes a room that is not there yet, and says
    which id it really has."""

    def __init__(
        self,
        switchboard: Switchboard,
        rules: Rules | None = None,
        ensure_room: Callable[[str, Millis], str] = lambda room_id, at: room_id,
    ) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._clock = switchboard.clock
        self._steering = switchboard.steering
        self._rules = rules or NoRules()
        self._ensure_room = ensure_room

    def move(self, call: Call, room_id: str, participant_id: str | None) -> Call:
        """Send a call to another room. Raises ``Conflict`` where it cannot go anywhere."""
        at = self._clock.now()
        room_id = self._ensure_room(room_id, at)
        participant = replace(call.participant, id=participant_id or call.participant.id)
        moved = self._steering.move(call.id, room_id, participant, at)
        if moved.is_moving:
            logger.info("call %s is to go to room %s", call.id, room_id)
            self._switchboard.move(moved)
        return moved

    def transfer(self, call: Call, number: str) -> Call:
        """Hand a call on to a number. Raises ``Conflict`` where that is not possible."""
        if call.provider == WEBSOCKET:
            raise Conflict("A WebSocket session is not a phone call and cannot be transferred.")
        if not self._settings.reattach:
            raise Conflict(
                "REATTACH is off: the provider does not ask again, so a call cannot be transferred."
            )
        handed_on = self._steering.hand_on(call.id, number, self._clock.now())
        logger.info("call %s is to be transferred", call.id)
        self._switchboard.release(handed_on, "The call is being transferred")
        return handed_on

    def plan(self, wish: Wish) -> Plan:
        """Find what a wish needs. Raises ``Invalid`` or ``NotFound`` where something is missing."""
        rule = None if wish.rule_id is None else self._rules.get(wish.rule_id)
        connector, rule_id = self._connector(wish)
        if rule is None and rule_id is not None:
            rule = self._rules.get(rule_id)
        numbers = rule.numbers if rule is not None else ()
        caller = wish.caller or next(iter(numbers), None)
        if caller is None:
            raise Invalid("sipCallFrom is required: no routing rule names a number to call from.")
        room_id = wish.room_id or (rule.room.id if rule else None) or connector.default_room_id
        if room_id is None:
            raise Invalid("destinationRoomId is required: neither rule nor connector names a room.")
        lacking = self._switchboard.errands.lacking(connector)
        if lacking:
            raise Invalid(
                f"Connector {connector.id} cannot place calls: it lacks the credentials "
                f"{', '.join(lacking)}."
            )
        return Plan(connector, caller, room_id, rule_id)

    def place(self, wish: Wish, plan: Plan, base: str) -> Call:
        """Have the provider dial; the call as it is then. ``base`` is the public origin.

        Raises ``Busy``, or ``BadGateway`` where the provider does not do it.
        """
        if self._switchboard.draining:
            raise Busy("This server is restarting; try again in a moment.")
        at = self._clock.now()
        plan = replace(plan, room_id=self._ensure_room(plan.room_id, at))
        call = self._new_call(wish, plan, at)
        if not self._steering.place(call, self._settings.max_calls):
            raise Busy(f"All {self._settings.max_calls} calls are taken.")
        hook = f"{base}/v2/hooks/{plan.connector.provider}/{plan.connector.webhook_key}"
        order = Order(
            caller=plan.caller,
            callee=wish.callee,
            answer_url=f"{hook}?{PLACED}={call.id}",
            status_url=f"{hook}/status?{PLACED}={call.id}",
            ring_seconds=wish.ring_seconds,
            max_seconds=min(
                wish.max_seconds or self._settings.max_call_seconds,
                self._settings.max_call_seconds,
            ),
        )
        try:
            provider_call_id = self._switchboard.errands.place(plan.connector, order)
        except BadGateway as error:
            self._switchboard.hang_up(call, EndReason.PROVIDER_FAILED, error.message)
            raise
        if provider_call_id is not None:
            self._steering.bind(call.id, provider_call_id, firm=False)
        logger.info("call %s: %s dials for room %s", call.id, call.provider, call.room_id)
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
                event.wait(left)

    def _connector(self, wish: Wish) -> tuple[Connector, str | None]:
        """The connector to call through, and the rule that it is known by, if it is.

        The one that is named; else the one whose rule is named or has the number to call from;
        else the only one that can place calls at all.
        """
        if wish.connector_id is not None:
            return self._switchboard.connectors.get(wish.connector_id), wish.rule_id
        able = []
        for connector in self._switchboard.connectors.all():
            rule_id = connector.default_rule_id
            if rule_id is not None and self._is_meant(rule_id, wish):
                return connector, rule_id
            if not self._switchboard.errands.lacking(connector):
                able.append(connector)
        if len(able) != 1:
            raise Invalid(
                "connectorId is required: no routing rule leads to a connector, and "
                f"{len(able)} connectors can place calls."
            )
        return able[0], wish.rule_id

    def _is_meant(self, rule_id: str, wish: Wish) -> bool:
        if wish.rule_id is not None:
            return rule_id == wish.rule_id
        try:
            return wish.caller in self._rules.get(rule_id).numbers
        except NotFound:
            return False

    def _new_call(self, wish: Wish, plan: Plan, at: Millis) -> Call:
        call_id = tokens.new_call_id()
        return Call(
            id=call_id,
            provider=plan.connector.provider,
            # Until the provider has told its own.
            provider_call_id=call_id,
            connector_id=plan.connector.id,
            room_id=plan.room_id,
            rule_id=plan.rule_id,
            session_id=None,
            caller=plan.caller,
            callee=wish.callee,
            status=CallStatus.INITIATED,
            participant=Participant(
                wish.participant_id or tokens.new_participant_id(),
                wish.participant_name or wish.callee,
                {**wish.participant_metadata, **PHONE_METADATA},
            ),
            region=plan.connector.region,
            started_at=at,
            expires_at=at + (wish.ring_seconds + GRACE_SECONDS) * 1000,
            direction=Direction.OUTBOUND,
            metadata=wish.metadata,
            max_seconds=wish.max_seconds,
            steps=(Step(LadderEvent.PLACED, at, CallStatus.INITIATED),),
        )
