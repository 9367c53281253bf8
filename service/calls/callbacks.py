"""What providers tell beside their voice webhooks: how a call fares, and how a dial has ended.

Callbacks come late, twice and in any order. They move a call forward and never back.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.calls.ending import Switchboard
from service.calls.holds import outcome
from service.calls.inbound import InboundCalls
from service.domain.calls import Call, CallStatus, Direction, EndReason
from service.domain.connectors import Connector
from service.providers import controls
from service.providers.base.call_control import News, Outcome
from service.providers.base.provider import Markup, Provider, Webhook

UNANSWERED: Mapping[Outcome, EndReason] = {
    Outcome.BUSY: EndReason.CALLEE_BUSY,
    Outcome.NO_ANSWER: EndReason.NO_ANSWER,
    Outcome.CANCELED: EndReason.CANCELED,
    Outcome.FAILED: EndReason.PROVIDER_FAILED,
}
"""Why a placed call that nobody has been in a room through is over."""


class Callbacks:
    def __init__(
        self, switchboard: Switchboard, reception: InboundCalls, providers: Mapping[str, Provider]
    ) -> None:
        self._switchboard = switchboard
        self._reception = reception
        self._providers = providers
        self._controls = controls()

    def status(self, connector: Connector, hook: Webhook, call_id: str | None = None) -> None:
        """Take note of a status callback. Raises ``RemoteError`` for one that names no call.

        ``call_id`` is as in ``InboundCalls.answer``.
        """
        news = self._controls[connector.provider].news(hook)
        if news == News(news.call_id, cause=news.cause):
            # Most of them: a stream has begun, or ended, or the call goes on.
            return
        call = self._reception.call_of(connector, hook, news.call_id, call_id)
        if call is None:
            return
        at = self._switchboard.clock.now()
        if news.trouble is not None:
            self._switchboard.steering.note(call.id, news.trouble, at)
        if news.is_ringing:
            self._switchboard.steering.ringing(call.id, at)
        if news.outcome is not None:
            self._switchboard.hang_up(call, _reason(call, news), news.cause)

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
        call = self._reception.call_of(connector, hook, news.call_id, call_id)
        if call is None:
            return provider.hang_up()
        how = outcome(control, hook)
        if call.is_transferring and how is Outcome.COMPLETED:
            self._switchboard.hang_up(call, EndReason.TRANSFERRED, None)
            return provider.hang_up()
        if news.outcome is Outcome.COMPLETED:
            self._switchboard.hang_up(call, EndReason.CALLER_HUNG_UP, news.cause)
            return provider.nothing()
        at = self._switchboard.clock.now()
        self._switchboard.steering.transfer_failed(call.id, how.value, at)
        return self._reception.resume(connector, call, base)


def _reason(call: Call, news: News) -> EndReason:
    if call.direction is Direction.OUTBOUND and call.status is not CallStatus.ANSWERED:
        return UNANSWERED.get(news.outcome or Outcome.COMPLETED, EndReason.CALLER_HUNG_UP)
    return EndReason.CALLER_HUNG_UP
