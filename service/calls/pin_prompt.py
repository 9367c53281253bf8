"""Asks callers for a PIN before they are let into a room.

How often a caller was asked is stored with the call, so that it outlives a restart, and every
question carries its number, so that an answer counts once. Digits are compared and forgotten: they
are in no log, on no ladder and in no table.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from service.calls.ending import Switchboard
from service.calls.voice_webhook import VoiceRequest
from service.domain import ids
from service.domain.calls import Call, CallStatus, EndReason, LadderEvent
from service.domain.routing_rules import Rule
from service.providers.base.provider import Markup, Webhook
from service.security import constant_time
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MAX_TRIES = 3
"""How often a caller is asked."""

ASK_SECONDS = 180
"""How long a question may stay open: its prompt, and a slow hand on the longest PIN."""

PROMPT = "Please enter your PIN."
PROMPT_AGAIN = "That PIN is not right. Please enter your PIN."
FAREWELL = "Sorry, you cannot be connected. Goodbye."


class PinPrompt:
    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._clock = switchboard.clock
        self._pins = switchboard.pins

    def ask(self, visit: VoiceRequest, call: Call, pin: str) -> Markup | None:
        """Admit a new call and ask its caller. ``None`` where there is no room for more calls.

        Raises ``Conflict`` where the call is known already.
        """
        markup = visit.ask(PROMPT, len(pin), tries=1)
        step = visit.step(LadderEvent.PIN, self._clock.now(), "asked")
        asked = replace(
            call,
            expires_at=self._expiry(),
            pin_tries=1,
            steps=(visit.step(LadderEvent.WEBHOOK, visit.at), visit.answered(step, markup)),
        )
        if not self._switchboard.calls.admit(asked, None, self._settings.max_calls):
            return None
        logger.info("a call of %s is asked for a PIN", call.provider, extra=about(call.id))
        return markup

    def hear(self, visit: VoiceRequest, call: Call, hook: Webhook) -> Markup | None:
        """Judge what was pressed. ``None`` where it is no answer to the question that is open."""
        if not call.awaits_pin or hook.ours("try") != str(call.pin_tries):
            return None
        rule = self._rule(call)
        if rule is None or rule.room.pin is None:
            return self._settle(visit, call, rule)
        digits, pin = visit.provider.digits(hook), rule.room.pin
        if constant_time.equal(digits, pin):
            return self._let_in(visit, call, rule)
        missed = "wrong PIN" if digits else "no PIN"
        if call.pin_tries >= MAX_TRIES:
            return self._close(visit, call, EndReason.NO_PIN, missed)
        prompt = PROMPT_AGAIN if digits else PROMPT
        markup = visit.ask(prompt, len(pin), tries=call.pin_tries + 1)
        step = visit.step(LadderEvent.PIN, self._clock.now(), f"{missed}, asked again")
        asked = visit.answered(step, markup)
        if not self._pins.asked(call.id, call.pin_tries, self._expiry(), asked):
            return None
        return markup

    def repeat(self, visit: VoiceRequest, call: Call) -> Markup | None:
        """The question that is open, once more: an answer of ours got lost on its way."""
        rule = self._rule(call)
        if rule is None or rule.room.pin is None:
            return self._settle(visit, call, rule)
        markup = visit.ask(PROMPT, len(rule.room.pin), tries=call.pin_tries)
        step = visit.step(LadderEvent.PIN, self._clock.now(), "the same question again")
        steps = (visit.step(LadderEvent.WEBHOOK, visit.at), visit.answered(step, markup))
        if not self._pins.repeated(call.id, call.pin_tries, self._expiry(), steps):
            return None
        return markup

    def dismiss(self, visit: VoiceRequest) -> Markup:
        """The end for a caller who was asked: that one has been answered, and hears a sentence."""
        return visit.provider.dismiss(FAREWELL)

    def _settle(self, visit: VoiceRequest, call: Call, rule: Rule | None) -> Markup | None:
        """The rule has changed since the caller was asked: it is gone, or wants no PIN any more."""
        if rule is None:
            return self._close(visit, call, EndReason.NO_ROUTE, "the routing rule is gone")
        return self._let_in(visit, call, rule)

    def _let_in(self, visit: VoiceRequest, call: Call, rule: Rule) -> Markup | None:
        room = self._switchboard.room(rule, call.caller, call.callee, is_admitted=True)
        barred = room.bars(call.participant.id)
        if barred:
            return self._close(visit, call, barred, "the room does not let the caller in")
        ref, now = ids.new_ref(), self._clock.now()
        markup = visit.stream(ref, call.region)
        verified, step = (
            visit.step(event, now, status=CallStatus.VERIFIED)
            for event in (LadderEvent.VERIFIED, LadderEvent.MARKUP)
        )
        steps = (verified, visit.answered(step, markup, ref))
        expires_at = now + ids.REF_SECONDS * 1000
        if not self._pins.verified(
            call.id, call.pin_tries, room.id, ids.digest(ref), expires_at, steps
        ):
            return None
        logger.info("a call of %s is let in", call.provider, extra=about(call.id, room.id))
        return markup

    def _close(
        self, visit: VoiceRequest, call: Call, reason: EndReason, detail: str
    ) -> Markup | None:
        now, markup = self._clock.now(), self.dismiss(visit)
        step = visit.answered(visit.step(LadderEvent.PIN, now, detail), markup)
        if not self._pins.rejected(call.id, call.pin_tries, reason, now, step):
            return None
        self._switchboard.metrics.call_ended(call.provider, reason)
        logger.warning("a call is refused: %s", reason, extra=about(call.id))
        return markup

    def _rule(self, call: Call) -> Rule | None:
        """The rule of the call. One whose PIN cannot be read leads nowhere, as if it were gone."""
        rule = None if call.rule_id is None else self._switchboard.rules.find(call.rule_id)
        return None if rule is None or rule.room.is_locked else rule

    def _expiry(self) -> int:
        return self._clock.now() + ASK_SECONDS * 1000
