"""What a provider is asked to do beside its webhooks, and what it tells beside them.

Its REST API (hang up, place a call), the verb that dials on, and its callbacks. Values in, values
out: nothing here does I/O. A module ``<provider>_control`` has one as ``CONTROL``.
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
"""Characters kept of a provider's own words."""


class Outcome(StrEnum):
    """How a call, or the dialling of another number for it, has ended."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """A call to place. The URLs are those of the connector's own webhook."""

    caller: str
    callee: str
    answer_url: str
    status_url: str
    ring_seconds: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class Dial:
    """A number to dial on to; ``action`` is asked what to do when that is over."""

    number: str
    caller: str | None
    action: str
    ring_seconds: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class News:
    """What a status callback says of a call or of its stream.

    ``outcome`` is set where the whole call is over, ``cause`` is the provider's word for why, and
    ``trouble`` a sentence about what went wrong, if anything.
    """

    call_id: str
    is_ringing: bool = False
    outcome: Outcome | None = None
    cause: str | None = None
    trouble: str | None = None


class CallControl(ABC):
    """One vendor. ``hang_up_needs`` and ``place_needs`` are names of credentials.

    ``shortest_call`` and ``longest_call`` are the limits, in seconds, that it can be told.
    """

    provider: ClassVar[Provider]
    title: ClassVar[str]
    hang_up_needs: ClassVar[tuple[str, ...]]
    place_needs: ClassVar[tuple[str, ...]]
    shortest_call: ClassVar[int] = 1
    longest_call: ClassVar[int] = 86_400
    dial_field: ClassVar[str] = "DialCallStatus"
    outcomes: ClassVar[Mapping[str, Outcome]] = {each.value: each for each in Outcome}
    troubles: ClassVar[Mapping[str, str]] = {}
    """Error codes of the provider, and what each means in one sentence."""

    @abstractmethod
    def hang_up(self, call_id: str, secrets: Secrets, api: str) -> HttpRequest:
        """End a call that is up."""

    @abstractmethod
    def was_over(self, response: HttpResponse) -> bool:
        """Whether a hang-up was refused because the call had ended already."""

    @abstractmethod
    def place(self, order: Order, secrets: Secrets, api: str) -> HttpRequest: ...

    @abstractmethod
    def placed(self, response: HttpResponse) -> str | None:
        """The provider's id of the call that it has placed; ``None`` where it has told none."""

    @abstractmethod
    def complaint(self, response: HttpResponse) -> str:
        """The provider's reason for a refusal, in its own words, or nothing."""

    def refusal(self, response: HttpResponse) -> str:
        """Why the provider refused a request, in one sentence."""
        words = printable(self.complaint(response))
        said = f": {words}" if words else ""
        return f"{self.title} answered {response.status}{said}"

    def dial(self, dial: Dial) -> Markup:
        """Connect the caller with another number and ask ``action`` afterwards."""
        verb = Element("Dial", action=dial.action, method="POST")
        if dial.caller is not None:
            verb.set("callerId", self.number(dial.caller))
        verb.set("timeout", str(dial.ring_seconds))
        verb.set("timeLimit", str(self.time_limit(dial.max_seconds)))
        SubElement(verb, "Number").text = self.number(dial.number)
        return Markup.of(verb)

    def dialled(self, hook: Webhook) -> Outcome:
        """How a dial has ended."""
        said = hook.get(self.dial_field) or ""
        # "answered" is said where the dialled party stays on while the caller goes on.
        return self.outcomes.get("completed" if said == "answered" else said, Outcome.FAILED)

    def news(self, hook: Webhook) -> News:
        """Raises ``RemoteError`` where the callback names no call."""
        return News(
            call_id=self.provider.call_id(hook),
            is_ringing=hook.get("CallStatus") == "ringing",
            outcome=self.outcome(hook),
            cause=self.provider.cause(hook),
            trouble=self.trouble(hook),
        )

    def outcome(self, hook: Webhook) -> Outcome | None:
        """How the call has ended; ``None`` where it has not, or where only its stream has."""
        if hook.get("StreamEvent") is not None:
            return None
        return self.outcomes.get(hook.get("CallStatus") or "")

    @abstractmethod
    def trouble(self, hook: Webhook) -> str | None:
        """What went wrong according to a status callback, in one sentence."""

    def explained(self, code: str, words: str) -> str:
        """An error with its meaning, or with the provider's words where we know none."""
        meaning = self.troubles.get(code) or printable(words)
        number = printable(code)
        named = f"{self.title} error {number}" if number else f"{self.title} reports an error"
        return f"{named}: {meaning}" if meaning else f"{named}."

    def number(self, e164: str) -> str:
        """A number as the provider writes it."""
        return e164

    def time_limit(self, seconds: int) -> int:
        """``seconds`` within what the provider allows as the length of a call."""
        return max(self.shortest_call, min(seconds, self.longest_call))


def printable(words: str) -> str:
    """The provider's words as they may be stored and shown."""
    return "".join(each for each in words if each.isprintable())[:MAX_COMPLAINT].strip()
