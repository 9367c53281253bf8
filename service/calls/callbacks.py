"""Callbacks beside the voice webhooks: the status of a call, and the outcome of a dial.

Callbacks come late, twice and in any order. They move a call forward and never back.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.calls.call_lookup import CallLookup
from service.calls.ending import CallEnding
from service.calls.holds import outcome
from service.calls.inbound import InboundCalls
from service.clock import Clock
from service.domain.calls import Call, CallStatus, Direction, EndReason
from service.domain.connectors import Connector
from service.providers import controls
from service.providers.base.call_control import News, Outcome
from service.providers.base.provider import Markup, Provider, Webhook
from service.storage.calls.steering import StoredSteering

UNANSWERED: Mapping[Outcome, EndReason] = {
    Outcome.BUSY: EndReason.CALLEE_BUSY,
    Outcome.NO_ANSWER: EndReason.NO_ANSWER,
    Outcome.CANCELED: EndReason.CANCELED,
    Outcome.FAILED: EndReason.PROVIDER_FAILED,
}
"""The end reasons of placed calls that were not answered."""


class Callbacks:
    """Thread-safe."""

    def __init__(
        self,
        clock: Clock,
        providers: Mapping[str, Provider],
        stored_steering: StoredSteering,
        lookup: CallLookup,
        inbound: InboundCalls,
        ending: CallEnding,
    ) -> None:
        self._clock = clock
        self._providers = providers
        self._controls = controls()
        self._stored_steering = stored_steering
        self._lookup = lookup
        self._inbound = inbound
        self._ending = ending

    def status(self, connector: Connector, hook: Webhook, call_id: str | None = None) -> None:
        """Process a status callback. Raises ``RemoteError`` for one that names no call.

        ``call_id`` is as in ``InboundCalls.answer``.
        """
        news = self._controls[connector.provider].news(hook)
        if news == News(news.call_id, cause=news.cause):
            # Most callbacks tell that a stream has begun or ended, or that the call goes on.
            return
        call = self._lookup.find(connector, hook, news.call_id, call_id)
        if call is None:
            return
        at = self._clock.now()
        if news.trouble is not None:
            self._stored_steering.note(call.id, news.trouble, at)
        if news.is_ringing:
            self._stored_steering.ringing(call.id, at)
        if news.outcome is not None:
            self._ending.hang_up(call, _reason(call, news), news.cause)

    def dialled(
        self, connector: Connector, hook: Webhook, base: str, call_id: str | None = None
    ) -> Markup:
        """Return the markup for a caller whose transfer has ended.

        The call ends where the dial was answered. Otherwise the caller returns to the room, unless
        they have hung up meanwhile. Raises ``RemoteError`` for a callback that names no call.
        ``call_id`` is as in ``InboundCalls.answer``.
        """
        provider = self._providers[connector.provider]
        control = self._controls[connector.provider]
        news = control.news(hook)
        call = self._lookup.find(connector, hook, news.call_id, call_id)
        if call is None:
            return provider.hang_up()
        how = outcome(control, hook)
        if call.is_transferring and how is Outcome.COMPLETED:
            self._ending.hang_up(call, EndReason.TRANSFERRED, None)
            return provider.hang_up()
        if news.outcome is Outcome.COMPLETED:
            self._ending.hang_up(call, EndReason.CALLER_HUNG_UP, news.cause)
            return provider.nothing()
        at = self._clock.now()
        self._stored_steering.transfer_failed(call.id, how.value, at)
        return self._inbound.resume(connector, call, base)


def _reason(call: Call, news: News) -> EndReason:
    if call.direction is Direction.OUTBOUND and call.status is not CallStatus.ANSWERED:
        return UNANSWERED.get(news.outcome or Outcome.COMPLETED, EndReason.CALLER_HUNG_UP)
    return EndReason.CALLER_HUNG_UP
