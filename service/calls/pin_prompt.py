"""The PIN prompt: callers enter a PIN before they are let into a room.

The number of tries is stored with the call, so it outlives a restart. Every question carries its
number, so an answer counts once. Digits are compared and forgotten: no log, ladder or table has
them.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from service.calls.admission import Admission
from service.calls.voice_request import StreamAnswer, VoiceRequest
from service.clock import Clock
from service.domain import ids
from service.domain.calls import Call, CallStatus, EndReason, LadderEvent
from service.domain.routing_rules import Rule
from service.providers.base.provider import Markup, Webhook
from service.security import constant_time
from service.settings import Settings
from service.storage.calls.calls import Calls
from service.storage.calls.pins import Pins
from service.storage.routing_rules import Rules
from service.telemetry.logs import about
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_TRIES = 3
"""The most tries of a caller."""

ASK_SECONDS = 180
"""Seconds for which a question stays open: its prompt, and the longest PIN pressed slowly."""

PROMPT = "Please enter your PIN."
PROMPT_AGAIN = "That PIN is not right. Please enter your PIN."
FAREWELL = "Sorry, you cannot be connected. Goodbye."


class PinPrompt:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        calls: Calls,
        pins: Pins,
        routing_rules: Rules,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = calls
        self._pins = pins
        self._routing_rules = routing_rules
        self._admission = admission
        self._metrics = metrics

    def ask(self, request: VoiceRequest, call: Call, pin: str) -> Markup | None:
        """Admit a new call and ask its caller. Return ``None`` beyond ``MAX_CALLS``.

        Raises ``Conflict`` where the call is known.
        """
        markup = request.ask(PROMPT, len(pin), tries=1)
        step = request.step(LadderEvent.PIN, self._clock.now(), "asked")
        asked = replace(
            call,
            expires_at=self._expiry(),
            pin_tries=1,
            steps=(request.step(LadderEvent.WEBHOOK, request.at), request.answered(step, markup)),
        )
        if not self._calls.admit(asked, None, self._settings.max_calls):
            return None
        logger.info("a call of %s is asked for a PIN", call.provider, extra=about(call.id))
        return markup

    def check(self, request: VoiceRequest, call: Call, hook: Webhook) -> Markup | None:
        """Check the keys pressed. Return ``None`` where they do not answer the open question."""
        if not call.awaits_pin or hook.ours("try") != str(call.pin_tries):
            return None
        rule = self._rule(call)
        if rule is None or rule.room.pin is None:
            return self._continue_without_pin(request, call, rule)
        digits, pin = request.provider.digits(hook), rule.room.pin
        if constant_time.equal(digits, pin):
            return self._admit(request, call, rule)
        missed = "wrong PIN" if digits else "no PIN"
        if call.pin_tries >= MAX_TRIES:
            return self._reject(request, call, EndReason.NO_PIN, missed)
        prompt = PROMPT_AGAIN if digits else PROMPT
        markup = request.ask(prompt, len(pin), tries=call.pin_tries + 1)
        step = request.step(LadderEvent.PIN, self._clock.now(), f"{missed}, asked again")
        asked = request.answered(step, markup)
        if not self._pins.asked(call.id, call.pin_tries, self._expiry(), asked):
            return None
        return markup

    def repeat(self, request: VoiceRequest, call: Call) -> Markup | None:
        """Ask the open question again, because our markup was lost on its way."""
        rule = self._rule(call)
        if rule is None or rule.room.pin is None:
            return self._continue_without_pin(request, call, rule)
        markup = request.ask(PROMPT, len(rule.room.pin), tries=call.pin_tries)
        step = request.step(LadderEvent.PIN, self._clock.now(), "the same question again")
        steps = (request.step(LadderEvent.WEBHOOK, request.at), request.answered(step, markup))
        if not self._pins.repeated(call.id, call.pin_tries, self._expiry(), steps):
            return None
        return markup

    def dismiss(self, request: VoiceRequest) -> Markup:
        """Return the end of a call that was asked for a PIN, with a spoken sentence."""
        return request.provider.dismiss(FAREWELL)

    def _continue_without_pin(
        self, request: VoiceRequest, call: Call, rule: Rule | None
    ) -> Markup | None:
        """Continue without a PIN: the rule was deleted, or lost its PIN after the question."""
        if rule is None:
            return self._reject(request, call, EndReason.NO_ROUTE, "the routing rule is gone")
        return self._admit(request, call, rule)

    def _admit(self, request: VoiceRequest, call: Call, rule: Rule) -> Markup | None:
        room = self._admission.resolve_room(rule, call.caller, call.callee, is_admitted=True)
        barred = room.bars(call.participant.id)
        if barred:
            return self._reject(request, call, barred, "the room does not let the caller in")
        ref, now = ids.new_ref(), self._clock.now()
        steps = (
            request.step(event, now, status=CallStatus.VERIFIED)
            for event in (LadderEvent.VERIFIED, LadderEvent.MARKUP)
        )
        answer = StreamAnswer(request, call.region, ref, *steps)
        expires_at = now + ids.REF_SECONDS * 1000
        place = self._pins.verified(
            call.id, call.pin_tries, room.id, ids.digest(ref), expires_at, answer.steps
        )
        if place is None:
            return None
        logger.info("a call of %s is let in", call.provider, extra=about(call.id, room.id))
        return answer.markup(place)

    def _reject(
        self, request: VoiceRequest, call: Call, reason: EndReason, detail: str
    ) -> Markup | None:
        now, markup = self._clock.now(), self.dismiss(request)
        step = request.answered(request.step(LadderEvent.PIN, now, detail), markup)
        if not self._pins.rejected(call.id, call.pin_tries, reason, now, step):
            return None
        self._metrics.call_ended(call.provider, reason)
        logger.warning("a call is refused: %s", reason, extra=about(call.id))
        return markup

    def _rule(self, call: Call) -> Rule | None:
        """Return the rule of the call. One whose PIN cannot be decrypted counts as deleted."""
        rule = None if call.rule_id is None else self._routing_rules.find(call.rule_id)
        return None if rule is None or rule.room.is_locked else rule

    def _expiry(self) -> int:
        return self._clock.now() + ASK_SECONDS * 1000
