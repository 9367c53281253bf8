"""Answers the providers' webhooks: a new call is routed and admitted, a known one goes on or ends.

Every streaming answer ends with a redirect to an address of the call's own. So the provider asks
again when the socket is gone and the caller is not. It is then told to stream again, into the same
room as the same participant, or to hang up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from service.calls.connector_lookup import Recognition
from service.calls.ending import Switchboard
from service.calls.holds import Holds
from service.calls.pin_prompt import PinPrompt
from service.calls.signatures import Signatures
from service.calls.voice_webhook import VoiceRequest
from service.clock import Millis
from service.domain import ids, routing
from service.domain.calls import (
    Call,
    CallStatus,
    Direction,
    EndReason,
    LadderEvent,
    LadderStep,
    Refusal,
)
from service.domain.connectors import Connector
from service.domain.phone_numbers import is_number
from service.domain.routing import Existing
from service.domain.routing_rules import Rule
from service.errors import Busy, Conflict, NotFound
from service.process import file_descriptors
from service.providers import controls
from service.providers.base.call_control import Dial
from service.providers.base.provider import Arrival, Markup, Notice, Provider, Webhook
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Markup answers without a sign of life in between. More of them are a loop."""

DIAL_SECONDS = 30
"""How long a number rings that a call is transferred to."""

PLACED = "placed"
"""The query parameter that named a placed call before calls had keys. Calls that are up during an
upgrade still use it."""


class InboundCalls:
    def __init__(self, switchboard: Switchboard, providers: Mapping[str, Provider]) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._clock = switchboard.clock
        self._calls = switchboard.calls
        self._steering = switchboard.steering
        self._controls = controls()
        self._doorkeeper = PinPrompt(switchboard)
        self.holds = Holds(switchboard, providers, self._controls)
        self._providers = providers
        self._recognition = Recognition(
            switchboard.connectors, providers, self._settings.api_secrets
        )
        self.signatures = Signatures(
            switchboard.connectors, providers, switchboard.wall, switchboard.settings.public_url
        )

    def recognise(self, provider_name: str, key: str) -> Connector:
        """The connector of a webhook. Raises ``NotFound`` for a key that is not this provider's."""
        return self._recognition.connector(provider_name, key)

    def answer(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None = None
    ) -> Markup:
        """Markup for one webhook. Raises ``RemoteError`` for one the provider would not send.

        ``call_id`` names the one call that may be asked about, where the address is a call's own.
        """
        visited = self._receive(connector, hook, base, call_id)
        if isinstance(visited, Markup):
            return visited
        visit, call = visited
        if call is None and call_id is None:
            try:
                return self._admit(visit)
            except Conflict:
                # The same webhook came twice at once, and the other one was faster.
                call = self._calls.find(connector.id, visit.arrival.call_id)
        return visit.provider.hang_up() if call is None else self._answer_again(visit, call)

    def gather(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None = None
    ) -> Markup:
        """Markup for the keys that a caller pressed, or did not, when asked for a PIN.

        Raises ``RemoteError`` like ``answer``.
        """
        visited = self._receive(connector, hook, base, call_id)
        if isinstance(visited, Markup):
            return visited
        visit, call = visited
        if call is None:
            return visit.provider.hang_up()
        markup = self._doorkeeper.hear(visit, call, hook)
        if markup is None:
            # A second answer to the same question: whatever it says, it changes nothing.
            markup = self._answer_again(visit, self._calls.get(call.id))
        return markup

    def busy(self, provider_name: str) -> Markup | None:
        """What a caller should hear when no better answer can be given."""
        provider = self._providers.get(provider_name)
        return provider.refuse(Refusal.BUSY) if provider else None

    def _receive(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None
    ) -> Markup | tuple[VoiceRequest, Call | None]:
        """What is asked of us and for which known call; the answer where it was only news."""
        at = self._clock.now()
        provider = self._providers[connector.provider]
        news = provider.parse(hook)
        call = self.call_of(connector, hook, news.call_id, call_id)
        if isinstance(news, Notice):
            if call is not None and news.over:
                self._switchboard.hang_up(call, EndReason.CALLER_HUNG_UP, news.detail)
            return provider.nothing()
        own = ids.new_call_id() if call is None else call.id
        return VoiceRequest(own, provider, connector, news, self._settings, base, at), call

    def resume(self, connector: Connector, call: Call, base: str) -> Markup:
        """Markup for a call that is known and up, as if its provider had asked again."""
        provider = self._providers[connector.provider]
        arrival = Arrival(call.provider_call_id, call.caller, call.callee, in_progress=True)
        now = self._clock.now()
        return self._answer_again(
            VoiceRequest(call.id, provider, connector, arrival, self._settings, base, now), call
        )

    def call_of(
        self, connector: Connector, hook: Webhook, provider_call_id: str, call_id: str | None = None
    ) -> Call | None:
        """The call that a webhook of the connector is about, if it is known.

        At an address of a call's own that is ``call_id`` and no other. One that was placed may be
        asked about before the provider has told its id.
        """
        call = self._calls.find(connector.id, provider_call_id)
        if call is not None:
            return call if call_id in (None, call.id) else None
        placed = call_id or hook.ours(PLACED)
        if placed is None:
            return None
        try:
            call = self._calls.get(placed)
        except NotFound:
            return None
        if call.connector_id != connector.id or call.direction is not Direction.OUTBOUND:
            return None
        is_unnamed = call.provider_call_id == call.id
        if call_id is not None and not (call.status.is_waiting or is_unnamed):
            # Of another leg: the number that it was transferred to, for one.
            return None
        bound = self._steering.bind(call.id, provider_call_id, firm=True)
        if bound is not None and is_unnamed and not bound.status.is_live:
            # It was ended before its provider's id was known, and still rings there.
            self._switchboard.errands.hang_up(bound)
        return bound

    def _admit(self, visit: VoiceRequest) -> Markup:
        """Answer the first webhook of a call. Raises ``Conflict`` where it is not the first."""
        if self._switchboard.handover.refusal:
            return visit.hold(is_new=True) or self._turn_away(visit, EndReason.BUSY, None)
        if file_descriptors.is_short():
            return self._turn_away(visit, EndReason.BUSY, None)
        caller, callee = visit.arrival.caller, visit.arrival.callee
        dialled, default = self._switchboard.rules.for_call(callee, visit.connector.default_rule_id)
        decision = routing.resolve(visit.connector, caller, dialled, default)
        if decision is EndReason.NOT_ALLOWED:
            return self._turn_away(visit, decision, dialled or default)
        if isinstance(decision, EndReason):
            return self._turn_away(visit, decision, None)
        rule = decision if isinstance(decision, Rule) else None
        call = replace(visit.call(CallStatus.INCOMING, rule), attempts=1)
        if rule is not None and rule.room.pin is not None:
            markup = self._doorkeeper.ask(visit, call, rule.room.pin)
        else:
            markup = self._let_in(visit, call, decision)
        return markup or self._turn_away(visit, EndReason.BUSY, rule)

    def _let_in(self, visit: VoiceRequest, call: Call, decision: Rule | Existing) -> Markup | None:
        """Admit a new call to its room, if that lets it in.

        ``None`` where there is no room for more calls.
        """
        try:
            room = self._switchboard.room(decision, call.caller, call.callee)
        except Busy:
            return None
        barred = room.bars(call.participant.id)
        if barred:
            rule = decision if isinstance(decision, Rule) else None
            return self._turn_away(visit, barred, rule, room.id)
        ref, now = ids.new_ref(), self._clock.now()
        markup, steps = self._stream(visit, call, ref, now)
        call = replace(call, room_id=room.id, expires_at=now + ids.REF_SECONDS * 1000, steps=steps)
        if not self._calls.admit(call, ids.digest(ref), self._settings.max_calls):
            return None
        logger.info("a call of %s is let in", call.provider, extra=about(call.id, call.room_id))
        return markup

    def _stream(
        self, visit: VoiceRequest, call: Call, ref: str, at: Millis
    ) -> tuple[Markup, tuple[LadderStep, LadderStep]]:
        markup = visit.stream(ref, call.region)
        answered = visit.answered(visit.step(LadderEvent.MARKUP, at), markup, ref)
        return markup, (visit.step(LadderEvent.WEBHOOK, visit.at), answered)

    def _turn_away(
        self, visit: VoiceRequest, reason: EndReason, rule: Rule | None, room_id: str | None = None
    ) -> Markup:
        now = self._clock.now()
        markup = self._refusal(visit, reason)
        end = visit.answered(LadderStep(LadderEvent.END, now, CallStatus.REJECTED, reason), markup)
        call = replace(
            visit.call(CallStatus.REJECTED, rule),
            room_id=room_id,
            ended_at=now,
            end_reason=reason,
            steps=(visit.step(LadderEvent.WEBHOOK, visit.at), end),
        )
        self._calls.add(call)
        self._switchboard.metrics.call_ended(call.provider, reason)
        logger.warning("a call is refused: %s", reason, extra=about(call.id, room_id))
        return markup

    def _refusal(self, visit: VoiceRequest, reason: EndReason | None) -> Markup:
        busy = reason is EndReason.BUSY
        return visit.refuse(Refusal.BUSY if busy else Refusal.REJECTED)

    def _answer_again(self, visit: VoiceRequest, call: Call) -> Markup:
        """The provider asks again: a first answer got lost, or the socket is gone."""
        visit = replace(visit, call_id=call.id)
        if call.status is CallStatus.REJECTED:
            if call.pin_tries:
                return self._doorkeeper.dismiss(visit)
            return self._refusal(visit, call.end_reason)
        # A repeated webhook does not end a call that has its socket.
        has_socket = call.status is CallStatus.ANSWERED and call.detached_at is None
        if call.attempts >= MAX_ATTEMPTS and (call.is_transferring or not has_socket):
            detail = f"asked {MAX_ATTEMPTS} times without a sign of life in between"
            self._switchboard.hang_up(call, EndReason.CONNECTION_LOST, detail)
            return visit.provider.hang_up()
        if call.awaits_pin:
            markup = self._doorkeeper.repeat(visit, call)
            # Without one the call has moved on meanwhile, which it does only so often.
            return markup or self._answer_again(visit, self._calls.get(call.id))
        now = self._clock.now()
        if call.transfer and call.is_transferring:
            dial = self._dial(visit, call, call.transfer.number, now)
            transferring = LadderStep(LadderEvent.TRANSFER, now, CallStatus.TRANSFERRING)
            step = visit.answered(transferring, dial)
            if self._steering.dialling(call.id, call.transfer.number, step):
                return dial
        if self._switchboard.handover.refusal and (markup := visit.hold()):
            self._switchboard.handover.told(call.id)
            return markup
        ref = ids.new_ref()
        markup, steps = self._stream(visit, call, ref, now)
        expires_at = now + ids.REF_SECONDS * 1000
        if self._calls.reissue(call.id, ids.digest(ref), expires_at, steps) is None:
            return visit.provider.hang_up()
        return markup

    def _dial(self, visit: VoiceRequest, call: Call, number: str, at: Millis) -> Markup:
        """Connect the caller with a number, for as long as the call may last."""
        limit = self._settings.call_seconds(call.max_seconds)
        return self._controls[call.provider].dial(
            Dial(
                number=number,
                caller=call.ours if is_number(call.ours) else None,
                action=f"{visit.hook}/dial",
                ring_seconds=DIAL_SECONDS,
                max_seconds=max(1, limit - (at - (call.answered_at or at)) // 1000),
            )
        )
