"""The voice request: a voice webhook of one call, and the markup that answers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial

from service.clock import Millis
from service.domain import ids, phone_numbers
from service.domain.calls import (
    Call,
    CallStatus,
    Direction,
    LadderEvent,
    LadderStep,
    Participant,
    Refusal,
    phone_metadata,
)
from service.domain.connectors import Connector, webhook_url
from service.domain.nodes import Place
from service.domain.routing_rules import Rule
from service.providers.base.provider import Arrival, Markup, Provider
from service.security import call_keys
from service.settings import Settings

MASKED_KEY = "clk_•••"
MASKED_REF = "•••"


class StreamAnswer:
    """Markup that streams a call to its place, which is known only while the call is stored."""

    def __init__(
        self, request: VoiceRequest, region: str | None, ref: str, *steps: LadderStep
    ) -> None:
        """The last of the ``steps`` is that of the markup."""
        self._request = request
        self._ref = ref
        self._begun, self._markup_step = steps[:-1], steps[-1]
        self._markup = cache(partial(request.stream, ref, region))

    def markup(self, place: Place) -> Markup:
        return self._markup(place.node_url)

    def steps(self, place: Place) -> tuple[LadderStep, ...]:
        """Return the steps of the ladder, the last one with the markup."""
        answered = self._request.answered(self._markup_step, self.markup(place), self._ref)
        return *self._begun, answered


@dataclass(frozen=True, slots=True)
class VoiceRequest:
    """A voice webhook of one call. ``base`` is the public origin without a trailing slash.

    ``call_id`` is the call's id, also where the call is new.
    """

    call_id: str
    provider: Provider
    connector: Connector
    arrival: Arrival
    settings: Settings
    base: str
    at: Millis

    def call(self, status: CallStatus, rule: Rule | None) -> Call:
        """Make the call of a first webhook, without a room.

        Without a rule its number is not hidden, and the room is told of pressed keys.
        """
        caller = self.arrival.caller
        hides_number = rule is not None and rule.hide_phone_number
        name = phone_numbers.masked(caller) if hides_number else caller
        return Call(
            id=self.call_id,
            key_digest=ids.digest(self.key),
            provider=self.provider.name,
            provider_call_id=self.arrival.call_id,
            connector_id=self.connector.id,
            room_id=None,
            rule_id=None if rule is None else rule.id,
            session_id=None,
            caller=caller,
            callee=self.arrival.callee,
            status=status,
            participant=Participant(
                ids.new_participant_id(), name, phone_metadata(Direction.INBOUND)
            ),
            region=self.connector.region or phone_numbers.region(caller),
            started_at=self.at,
            hides_number=hides_number,
            dtmf=rule is None or rule.dtmf,
            agent=None if rule is None else rule.assignment(self.base),
        )

    def step(
        self,
        event: LadderEvent,
        at: Millis,
        detail: str | None = None,
        status: CallStatus = CallStatus.INCOMING,
    ) -> LadderStep:
        return LadderStep(event, at, status, detail)

    def answered(self, step: LadderStep, markup: Markup, ref: str | None = None) -> LadderStep:
        """Return the step with its markup, in which key and reference are masked."""
        text = markup.text.replace(self.key, MASKED_KEY)
        return replace(step, markup=text if ref is None else text.replace(ref, MASKED_REF))

    def stream(self, ref: str, region: str | None, node_url: str | None) -> Markup:
        """Return markup that streams to a machine: the one of ``node_url``, if it has one."""
        media = self.settings.media_base(region, node_url or self.base)
        media_url = f"{media}/{self.provider.name}/{ref}"
        again = self.call_url if self.settings.reattach else None
        return self.provider.answer(media_url, ref, again, f"{self.call_url}/status")

    def hold(self, *, is_new: bool = False) -> Markup | None:
        """Return a hold until the next process answers, or ``None`` if ``REATTACH`` is off.

        A call that ``is_new`` has no address of its own yet.
        """
        if not self.settings.reattach:
            return None
        again = self._address(self.connector.webhook_key) if is_new else self.call_url
        return self.provider.hold(self.settings.hold_seconds, again)

    def ask(self, prompt: str, digits: int, tries: int) -> Markup:
        """Return markup that asks for digits. The answer carries the number of the try."""
        return self.provider.ask(prompt, digits, f"{self.call_url}/gather?try={tries}")

    def refuse(self, refusal: Refusal) -> Markup:
        """Return markup that refuses a new call. One in progress can only be hung up."""
        if self.arrival.in_progress:
            return self.provider.hang_up()
        return self.provider.refuse(refusal)

    @property
    def key(self) -> str:
        """The call key, which is in the addresses of this call."""
        return call_keys.key_of(self.settings.api_secret, self.call_id)

    @property
    def call_url(self) -> str:
        """The URL at which the provider requests markup for this call.

        It stays valid when the webhook key is replaced or the connector deleted.
        """
        return self._address(self.key)

    def _address(self, key: str) -> str:
        return webhook_url(self.base, self.provider.name, key)
