"""Call control: a provider's REST API, the verb that dials another number, and callbacks.

Values in, values out, without I/O. A module ``<provider>_call_control`` has one as ``CONTROL``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from xml.etree.ElementTree import Element, SubElement

from service.http_client.messages import HttpRequest, HttpResponse
from service.providers.base.provider import Markup, Provider, Webhook

Secrets = Mapping[str, str]

MAX_COMPLAINT = 200
"""Characters kept of a provider's error message."""


class Outcome(StrEnum):
    """Result of a call, or of dialling another number for it."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """A call to place. The URLs lead to the connector's webhook."""

    caller: str
    callee: str
    answer_url: str
    status_url: str
    ring_seconds: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class Dial:
    """A number to connect the caller with; ``action`` is requested afterwards."""

    number: str
    caller: str | None
    action: str
    ring_seconds: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class News:
    """Content of a status callback about a call or its stream.

    ``outcome`` is set if the whole call has ended, ``cause`` is the provider's word for the reason,
    and ``trouble`` a sentence about a failure.
    """

    call_id: str
    is_ringing: bool = False
    outcome: Outcome | None = None
    cause: str | None = None
    trouble: str | None = None


class CallControl(ABC):
    """Call control of one provider.

    ``call_needs`` names the credentials that a request about a live call needs, and ``place_needs``
    those to place a call.

    ``shortest_call`` and ``longest_call`` bound the time limit, in seconds, that it accepts.
    """

    provider: ClassVar[Provider]
    title: ClassVar[str]
    call_needs: ClassVar[tuple[str, ...]]
    place_needs: ClassVar[tuple[str, ...]]
    shortest_call: ClassVar[int] = 1
    longest_call: ClassVar[int] = 86_400
    dial_field: ClassVar[str] = "DialCallStatus"
    outcomes: ClassVar[Mapping[str, Outcome]] = {each.value: each for each in Outcome}
    troubles: ClassVar[Mapping[str, str]] = {}
    """Error codes of the provider, with the meaning of each in one sentence."""

    @abstractmethod
    def hang_up(self, call_id: str, secrets: Secrets, api: str) -> HttpRequest:
        """Return the request that ends a live call."""

    @abstractmethod
    def redirect(self, call_id: str, url: str, secrets: Secrets, api: str) -> HttpRequest:
        """Return the request that has a live call ask for markup at ``url``, by POST.

        The provider closes the call's media socket.
        """

    @abstractmethod
    def was_over(self, response: HttpResponse) -> bool:
        """Whether a request was refused because the call had already ended."""

    @abstractmethod
    def place_call(self, order: Order, secrets: Secrets, api: str) -> HttpRequest: ...

    @abstractmethod
    def placed(self, response: HttpResponse) -> str | None:
        """Return the provider's id of a placed call; ``None`` if the response has none."""

    @abstractmethod
    def complaint(self, response: HttpResponse) -> str:
        """Return the provider's error message, or an empty string."""

    def refusal(self, response: HttpResponse) -> str:
        """Return the provider's refusal as one sentence."""
        words = printable(self.complaint(response))
        said = f": {words}" if words else ""
        return f"{self.title} answered {response.status}{said}"

    def dial(self, dial: Dial) -> Markup:
        """Return markup that dials another number and requests ``action`` afterwards."""
        verb = Element("Dial", action=dial.action, method="POST")
        if dial.caller is not None:
            verb.set("callerId", self.number(dial.caller))
        verb.set("timeout", str(dial.ring_seconds))
        verb.set("timeLimit", str(self.time_limit(dial.max_seconds)))
        SubElement(verb, "Number").text = self.number(dial.number)
        return Markup.of(verb)

    def dialled(self, hook: Webhook) -> Outcome:
        """Return the result of a dial."""
        said = hook.get(self.dial_field) or ""
        # "answered": the dialled party stays connected while the caller's markup continues.
        return self.outcomes.get("completed" if said == "answered" else said, Outcome.FAILED)

    def news(self, hook: Webhook) -> News:
        """Parse a status callback. Raises ``RemoteError`` if it names no call."""
        return News(
            call_id=self.provider.call_id(hook),
            is_ringing=hook.get("CallStatus") == "ringing",
            outcome=self.outcome(hook),
            cause=self.provider.cause(hook),
            trouble=self.trouble(hook),
        )

    def outcome(self, hook: Webhook) -> Outcome | None:
        """Return the call's result; ``None`` if it goes on, or if only its stream has ended."""
        if hook.get("StreamEvent") is not None:
            return None
        return self.outcomes.get(hook.get("CallStatus") or "")

    @abstractmethod
    def trouble(self, hook: Webhook) -> str | None:
        """Return the failure in a status callback as one sentence."""

    def explained(self, code: str, words: str) -> str:
        """Return an error with its known meaning, or else with the provider's message."""
        meaning = self.troubles.get(code) or printable(words)
        number = printable(code)
        named = f"{self.title} error {number}" if number else f"{self.title} reports an error"
        return f"{named}: {meaning}" if meaning else f"{named}."

    def number(self, e164: str) -> str:
        """Return a number in the provider's format."""
        return e164

    def time_limit(self, seconds: int) -> int:
        """Return ``seconds`` within the provider's limits of a call's duration."""
        return max(self.shortest_call, min(seconds, self.longest_call))


def printable(words: str) -> str:
    """Return the printable beginning of a provider's text."""
    return "".join(each for each in words if each.isprintable())[:MAX_COMPLAINT].strip()
