"""Inbound calls: answers to the providers' voice webhooks.

A new call is routed and admitted; a known one goes on or ends. Every streaming answer ends with a
redirect to an address of the call's own, so the provider asks again when the socket is gone and the
caller is not. It is then told to stream again, into the same room as the same participant, or to
hang up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.calls.admission import Admission
from service.calls.call_lookup import CallLookup
from service.calls.ending import CallEnding
from service.calls.pin_prompt import PinPrompt
from service.calls.serving_state import ServingState
from service.calls.voice_request import StreamAnswer, VoiceRequest
from service.clock import Clock, Millis
from service.domain import ids, routing
from service.domain.call_state import state_of
from service.domain.call_transitions import Trigger
from service.domain.calls import (
    Call,
    CallStatus,
    EndReason,
    LadderEvent,
    LadderStep,
    Refusal,
)
from service.domain.connectors import Connector
from service.domain.phone_numbers import is_number
from service.domain.routing import ById
from service.domain.routing_rules import Rule
from service.errors import Busy, Conflict
from service.process import file_descriptors
from service.providers import controls
from service.providers.base.call_control import Dial
from service.providers.base.provider import Arrival, Markup, Notice, Provider, Webhook
from service.settings import Settings
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.routing_rules import Rules
from service.telemetry.logs import about
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Maximum number of markup answers in a row without audio between them. More are a loop."""

DIAL_SECONDS = 30
"""Seconds for which the number of a transfer rings."""


class InboundCalls:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        providers: Mapping[str, Provider],
        calls: Calls,
        stored_steering: StoredSteering,
        routing_rules: Rules,
        lookup: CallLookup,
        admission: Admission,
        pin_prompt: PinPrompt,
        ending: CallEnding,
        metrics: Metrics,
        serving: ServingState,
        is_silent: Callable[[str], bool],
    ) -> None:
        """``is_silent`` tells whether another node did not answer in time a moment ago."""
        self._settings = settings
        self._clock = clock
        self._providers = providers
        self._controls = controls()
        self._calls = calls
        self._stored_steering = stored_steering
        self._routing_rules = routing_rules
        self._lookup = lookup
        self._admission = admission
        self._pin_prompt = pin_prompt
        self._ending = ending
        self._metrics = metrics
        self._serving = serving
        self._is_silent = is_silent

    def answer(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None = None
    ) -> Markup:
        """Return the markup for a webhook. Raises ``RemoteError`` for one that is malformed.

        ``call_id`` is set where the request came to the address of a call: only that call counts.
        """
        received = self._receive(connector, hook, base, call_id)
        if isinstance(received, Markup):
            return received
        request, call = received
        if call is None and call_id is None:
            try:
                return self._admit(request)
            except Conflict:
                # The same webhook came twice at once, and the other one was faster.
                call = self._calls.find(connector.id, request.arrival.call_id)
        return request.provider.hang_up() if call is None else self._answer_again(request, call)

    def gather(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None = None
    ) -> Markup:
        """Return the markup for the keys that a caller pressed, or did not, when asked for a PIN.

        Raises ``RemoteError`` like ``answer``.
        """
        received = self._receive(connector, hook, base, call_id)
        if isinstance(received, Markup):
            return received
        request, call = received
        if call is None:
            return request.provider.hang_up()
        markup = self._pin_prompt.check(request, call, hook)
        if markup is None:
            # A second answer to the same question changes nothing.
            markup = self._answer_again(request, self._calls.get(call.id))
        return markup

    def busy(self, provider_name: str) -> Markup | None:
        """Return the busy markup, or ``None`` for an unknown provider."""
        provider = self._providers.get(provider_name)
        return provider.refuse(Refusal.BUSY) if provider else None

    def _receive(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None
    ) -> Markup | tuple[VoiceRequest, Call | None]:
        """Return the request and its known call, or the answer to a webhook that only notifies."""
        at = self._clock.now()
        provider = self._providers[connector.provider]
        news = provider.parse(hook)
        call = self._lookup.find(connector, hook, news.call_id, call_id)
        if isinstance(news, Notice):
            if call is not None and news.over:
                self._ending.hang_up(call, EndReason.CALLER_HUNG_UP, news.detail)
            return provider.nothing()
        own = ids.new_call_id() if call is None else call.id
        return VoiceRequest(own, provider, connector, news, self._settings, base, at), call

    def resume(self, connector: Connector, call: Call, base: str) -> Markup:
        """Return the markup for a live call, as if its provider had asked again."""
        provider = self._providers[connector.provider]
        arrival = Arrival(call.provider_call_id, call.caller, call.callee, in_progress=True)
        now = self._clock.now()
        return self._answer_again(
            VoiceRequest(call.id, provider, connector, arrival, self._settings, base, now), call
        )

    def _admit(self, request: VoiceRequest) -> Markup:
        """Answer the first webhook of a call. Raises ``Conflict`` where the call is known."""
        if self._serving.refusal:
            return request.hold(is_new=True) or self._refuse(request, EndReason.BUSY, None)
        if file_descriptors.is_short():
            return self._refuse(request, EndReason.BUSY, None)
        caller, callee = request.arrival.caller, request.arrival.callee
        dialled, default = self._routing_rules.for_call(callee, request.connector.default_rule_id)
        decision = routing.resolve(request.connector, caller, dialled, default)
        if decision is EndReason.NOT_ALLOWED:
            return self._refuse(request, decision, dialled or default)
        if isinstance(decision, EndReason):
            return self._refuse(request, decision, None)
        rule = decision if isinstance(decision, Rule) else None
        call = replace(request.call(CallStatus.INCOMING, rule), attempts=1)
        if rule is not None and rule.room.pin is not None:
            markup = self._pin_prompt.ask(request, call, rule.room.pin)
        else:
            markup = self._admit_to_room(request, call, decision)
        return markup or self._refuse(request, EndReason.BUSY, rule)

    def _admit_to_room(
        self, request: VoiceRequest, call: Call, decision: Rule | ById
    ) -> Markup | None:
        """Admit a new call to its room, if the room lets it in.

        Returns ``None`` beyond ``MAX_CALLS``.
        """
        try:
            room = self._admission.resolve_room(decision, call.caller, call.callee)
        except Busy:
            return None
        barred = room.bars(call.participant.id)
        if barred:
            rule = decision if isinstance(decision, Rule) else None
            return self._refuse(request, barred, rule, room.id)
        ref, now = ids.new_ref(), self._clock.now()
        answer = self._stream(request, call, ref, now)
        call = replace(call, room_id=room.id, expires_at=now + ids.REF_SECONDS * 1000)
        place = self._calls.admit(call, ids.digest(ref), self._settings.max_calls, answer.steps)
        if place is None:
            return None
        logger.info("a call of %s is let in", call.provider, extra=about(call.id, call.room_id))
        return answer.markup(place)

    def _stream(self, request: VoiceRequest, call: Call, ref: str, at: Millis) -> StreamAnswer:
        asked, answered = (
            request.step(LadderEvent.WEBHOOK, request.at),
            request.step(LadderEvent.MARKUP, at),
        )
        return StreamAnswer(request, call.region, ref, asked, answered)

    def _refuse(
        self,
        request: VoiceRequest,
        reason: EndReason,
        rule: Rule | None,
        room_id: str | None = None,
    ) -> Markup:
        now = self._clock.now()
        markup = self._refusal(request, reason)
        end = request.answered(
            LadderStep(LadderEvent.END, now, CallStatus.REJECTED, reason), markup
        )
        call = replace(
            request.call(CallStatus.REJECTED, rule),
            room_id=room_id,
            ended_at=now,
            end_reason=reason,
            steps=(
                request.step(LadderEvent.WEBHOOK, request.at),
                request.answered(end, markup),
            ),
        )
        self._calls.add(call)
        self._metrics.call_ended(call.provider, reason)
        logger.warning("a call is refused: %s", reason, extra=about(call.id, room_id))
        return markup

    def _refusal(self, request: VoiceRequest, reason: EndReason | None) -> Markup:
        busy = reason is EndReason.BUSY
        return request.refuse(Refusal.BUSY if busy else Refusal.REJECTED)

    def _answer_again(self, request: VoiceRequest, call: Call) -> Markup:
        """Answer a provider that asks again, because our markup was lost or the socket is gone."""
        request = replace(request, call_id=call.id)
        if call.status is CallStatus.REJECTED:
            if call.pin_tries:
                return self._pin_prompt.dismiss(request)
            return self._refusal(request, call.end_reason)
        # A repeated webhook does not end a call that has its socket.
        if call.attempts >= MAX_ATTEMPTS and (call.is_transferring or not call.is_attached):
            detail = f"asked {MAX_ATTEMPTS} times without a sign of life in between"
            self._ending.hang_up(call, EndReason.CONNECTION_LOST, detail)
            return request.provider.hang_up()
        if call.awaits_pin:
            markup = self._pin_prompt.repeat(request, call)
            # No markup means that the call has changed in between, which ends at some point.
            return markup or self._answer_again(request, self._calls.get(call.id))
        now = self._clock.now()
        dialled = state_of(call).after(Trigger.DIALLED)
        if call.transfer and dialled:
            dial = self._dial(request, call, call.transfer.number, now)
            step = request.answered(dialled.step(LadderEvent.TRANSFER, now), dial)
            if self._stored_steering.dialling(call.id, call.transfer.number, step):
                return dial
        # A node that does not answer resumes or counts as gone within a few holds. Sockets that it
        # does not adopt would use up the attempts before.
        is_held = self._serving.refusal or (call.node_id and self._is_silent(call.node_id))
        if is_held and (markup := request.hold()):
            self._serving.expect_no_more(call.id)
            return markup
        ref = ids.new_ref()
        answer = self._stream(request, call, ref, now)
        expires_at = now + ids.REF_SECONDS * 1000
        place = self._calls.reissue(call.id, ids.digest(ref), expires_at, answer.steps)
        return request.provider.hang_up() if place is None else answer.markup(place)

    def _dial(self, request: VoiceRequest, call: Call, number: str, at: Millis) -> Markup:
        """Return the markup that dials a number, for as long as the call may last."""
        limit = self._settings.call_seconds(call.max_seconds)
        return self._controls[call.provider].dial(
            Dial(
                number=number,
                caller=call.ours if is_number(call.ours) else None,
                action=f"{request.call_url}/dial",
                ring_seconds=DIAL_SECONDS,
                max_seconds=max(1, limit - (at - (call.answered_at or at)) // 1000),
            )
        )
