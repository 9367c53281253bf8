"""Answers the providers' webhooks: a new call is routed and admitted, a known one goes on or ends.

Every streaming answer ends with a redirect back to the same webhook. So the provider asks again
when the socket is gone and the caller is not, and hears then whether to stream once more, into the
same room as the same participant, or to hang up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from service import tokens
from service.calls import Switchboard
from service.errors import Conflict, NotFound
from service.model import (
    Call,
    CallStatus,
    Connector,
    Direction,
    EndReason,
    LadderEvent,
    Participant,
    Refusal,
    Step,
)
from service.providers import controls
from service.providers.base import Arrival, Markup, Notice, Provider, Webhook
from service.providers.control import Dial
from service.routing import resolve
from service.times import Millis

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Markup answers without audio in between. Whoever asks more often is in a loop."""

DIAL_SECONDS = 30
"""How long a number rings that a call is transferred to."""

PLACED = "placed"
"""The query parameter with which the webhooks of a placed call say which call they are about."""

PHONE_METADATA = {"sipUser": True, "callType": "inbound"}
"""What VideoSDK's agents recognise a phone by."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One webhook of one call. ``base`` is the public origin without a trailing slash."""

    provider: Provider
    connector: Connector
    arrival: Arrival
    base: str
    at: Millis

    def call(self, status: CallStatus, room_id: str | None, rule_id: str | None) -> Call:
        """The call as its first webhook makes it."""
        return Call(
            id=tokens.new_call_id(),
            provider=self.provider.name,
            provider_call_id=self.arrival.call_id,
            connector_id=self.connector.id,
            room_id=room_id,
            rule_id=rule_id,
            session_id=None,
            caller=self.arrival.caller,
            callee=self.arrival.callee,
            status=status,
            participant=Participant(
                tokens.new_participant_id(), self.arrival.caller, PHONE_METADATA
            ),
            region=self.connector.region,
            started_at=self.at,
        )

    def step(self, event: LadderEvent, at: Millis, detail: str | None = None) -> Step:
        return Step(event, at, CallStatus.INCOMING, detail)

    def stream(self, ref: str, *, reattach: bool) -> Markup:
        name = self.provider.name
        media_url = f"ws{self.base.removeprefix('http')}/{name}/{ref}"
        return self.provider.answer(
            media_url, ref, self.hook if reattach else None, f"{self.hook}/status"
        )

    @property
    def hook(self) -> str:
        """The address of the connector's webhook."""
        return f"{self.base}/v2/hooks/{self.provider.name}/{self.connector.webhook_key}"

    def refuse(self, refusal: Refusal) -> Markup:
        """Turn the caller away: a call that is up already can only be hung up."""
        if self.arrival.in_progress:
            return self.provider.hang_up()
        return self.provider.refuse(refusal)


class Reception:
    def __init__(self, switchboard: Switchboard, providers: Mapping[str, Provider]) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings
        self._clock = switchboard.clock
        self._calls = switchboard.calls
        self._steering = switchboard.steering
        self._controls = controls()
        self._providers = providers

    def recognise(self, provider_name: str, key: str) -> Connector:
        """The connector of a webhook. Raises ``NotFound`` for a key that is not this provider's."""
        connector = self._switchboard.connectors.by_key(provider_name, key)
        if connector is None or provider_name not in self._providers:
            raise NotFound("Unknown webhook key.")
        return connector

    def answer(self, connector: Connector, hook: Webhook, base: str) -> Markup:
        """Markup for one webhook. Raises ``RemoteError`` for one the provider would not send."""
        at = self._clock.now()
        provider = self._providers[connector.provider]
        news = provider.parse(hook)
        call = self.call_of(connector, hook, news.call_id)
        if isinstance(news, Notice):
            if call is not None and news.over:
                self._switchboard.hang_up(call, EndReason.CALLER_HUNG_UP, news.detail)
            return provider.nothing()
        visit = Visit(provider, connector, news, base, at)
        if call is None:
            try:
                return self._admit(visit)
            except Conflict:
                # The same webhook came twice at once, and the other one was faster.
                call = self._calls.find(connector.id, news.call_id)
        return provider.hang_up() if call is None else self._answer_again(visit, call)

    def resume(self, connector: Connector, call: Call, base: str) -> Markup:
        """Markup for a call that is known and up, as if its provider had asked again."""
        provider = self._providers[connector.provider]
        arrival = Arrival(call.provider_call_id, call.caller, call.callee, in_progress=True)
        return self._answer_again(
            Visit(provider, connector, arrival, base, self._clock.now()), call
        )

    def call_of(self, connector: Connector, hook: Webhook, provider_call_id: str) -> Call | None:
        """The call that a webhook of the connector is about, if it is known.

        A call that was placed may be asked about before the provider has told its id: the
        addresses that were given for it say which call is meant.
        """
        call = self._calls.find(connector.id, provider_call_id)
        placed = next((value for name, value in hook.query if name == PLACED), None)
        if call is not None or placed is None:
            return call
        try:
            call = self._calls.get(placed)
        except NotFound:
            return None
        if call.connector_id != connector.id or call.direction is not Direction.OUTBOUND:
            return None
        return self._steering.bind(call.id, provider_call_id, firm=True)

    def busy(self, provider_name: str) -> Markup | None:
        """What a caller should hear when no better answer can be given."""
        provider = self._providers.get(provider_name)
        return provider.refuse(Refusal.BUSY) if provider else None

    def _admit(self, visit: Visit) -> Markup:
        """Answer the first webhook of a call. Raises ``Conflict`` where it is not the first."""
        if self._switchboard.draining:
            return self._turn_away(visit, Refusal.BUSY)
        route = resolve(visit.connector)
        if isinstance(route, Refusal):
            return self._turn_away(visit, route)
        ref = tokens.new_ref()
        now = self._clock.now()
        call = replace(
            visit.call(CallStatus.INCOMING, route.room_id, route.rule_id),
            expires_at=now + tokens.REF_SECONDS * 1000,
            attempts=1,
            steps=(visit.step(LadderEvent.WEBHOOK, visit.at), visit.step(LadderEvent.MARKUP, now)),
        )
        if not self._calls.admit(call, tokens.digest(ref), self._settings.max_calls):
            return self._turn_away(visit, Refusal.BUSY)
        logger.info("call %s: %s to room %s", call.id, call.provider, call.room_id)
        return visit.stream(ref, reattach=self._settings.reattach)

    def _turn_away(self, visit: Visit, refusal: Refusal) -> Markup:
        now = self._clock.now()
        reason = EndReason.BUSY if refusal is Refusal.BUSY else EndReason.NO_ROUTE
        end = Step(LadderEvent.END, now, CallStatus.REJECTED, reason)
        call = replace(
            visit.call(CallStatus.REJECTED, None, None),
            ended_at=now,
            end_reason=reason,
            steps=(visit.step(LadderEvent.WEBHOOK, visit.at), end),
        )
        self._calls.add(call)
        logger.warning("call %s: %s refused: %s", call.id, call.provider, reason)
        return visit.refuse(refusal)

    def _answer_again(self, visit: Visit, call: Call) -> Markup:
        """The provider asks again: a first answer got lost, or the socket is gone."""
        if call.status is CallStatus.REJECTED:
            busy = call.end_reason is EndReason.BUSY
            return visit.refuse(Refusal.BUSY if busy else Refusal.REJECTED)
        if call.attempts >= MAX_ATTEMPTS:
            detail = f"asked {MAX_ATTEMPTS} times without audio in between"
            self._switchboard.hang_up(call, EndReason.CONNECTION_LOST, detail)
            return visit.provider.hang_up()
        now = self._clock.now()
        if call.is_transferring and (dialling := self._steering.dialling(call.id, now)):
            return self._dial(visit, dialling, now)
        ref = tokens.new_ref()
        steps = (visit.step(LadderEvent.WEBHOOK, visit.at), visit.step(LadderEvent.MARKUP, now))
        expires_at = now + tokens.REF_SECONDS * 1000
        if self._calls.reissue(call.id, tokens.digest(ref), expires_at, steps) is None:
            return visit.provider.hang_up()
        return visit.stream(ref, reattach=self._settings.reattach)

    def _dial(self, visit: Visit, call: Call, at: Millis) -> Markup:
        """Connect the caller with the number of the transfer, for as long as the call may last."""
        transfer = call.transfer
        ours = call.callee if call.direction is Direction.INBOUND else call.caller
        limit = min(
            call.max_seconds or self._settings.max_call_seconds, self._settings.max_call_seconds
        )
        return self._controls[call.provider].dial(
            Dial(
                number=transfer.number if transfer else "",
                caller=ours if ours.startswith("+") else None,
                action=f"{visit.hook}/dial",
                ring_seconds=DIAL_SECONDS,
                max_seconds=max(1, limit - (at - (call.answered_at or at)) // 1000),
            )
        )
