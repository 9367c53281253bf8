"""What every phone provider does: read a voice webhook and answer it with markup.

A provider is a stateless value; what it learns during a call lives in the ``Wire`` that it makes
for each media socket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar
from xml.etree.ElementTree import Element, tostring

from service.errors import RemoteError
from service.model import Refusal
from service.providers.numbers import e164
from service.wire import Wire

MAX_FIELD = 256
"""Characters kept of a caller or callee, and allowed in a call id."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """The parameters of a request, from its query or its form: in order, repeats kept.

    ``query`` has those of the query again, which our own addresses may hold.
    """

    params: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The first value of ``name``."""
        return next((value for key, value in self.params if key == name), None)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that asks what to do. Numbers are E.164 where they are numbers.

    ``in_progress`` says that the call has been answered, so that it can only be hung up and no
    longer be rejected.
    """

    call_id: str
    caller: str
    callee: str
    in_progress: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """News of a call on the URL of the voice webhook. It wants no markup.

    ``over`` is True where the call has ended, and ``detail`` is the provider's word for why.
    """

    call_id: str
    over: bool
    detail: str | None


@dataclass(frozen=True, slots=True)
class Markup:
    """An XML document that tells the provider what to do with the call."""

    content_type: ClassVar[str] = "text/xml; charset=utf-8"

    text: str

    @classmethod
    def of(cls, *verbs: Element) -> Markup:
        response = Element("Response")
        response.extend(verbs)
        body = tostring(response, encoding="unicode")
        return cls(f'<?xml version="1.0" encoding="UTF-8"?>{body}')


class Provider(ABC):
    """One vendor: its webhook, its markup and its media dialect.

    ``name`` is the name of the module. ``call_id_field``, ``cause_field`` and ``over_statuses`` say
    where a webhook names the call, why it ended and which of its statuses mean that it has;
    ``tells_progress`` whether its status also tells that the call has been answered.
    """

    name: ClassVar[str]
    call_id_field: ClassVar[str] = "CallSid"
    cause_field: ClassVar[str] = "CallStatus"
    tells_progress: ClassVar[bool] = True
    over_statuses: ClassVar[frozenset[str]] = frozenset(
        ("completed", "busy", "no-answer", "failed", "canceled")
    )

    def parse(self, hook: Webhook) -> Arrival | Notice:
        """What the webhook says. Raises ``RemoteError`` where it names no call.

        A call without a caller or a callee is still somebody waiting on a line.
        """
        call_id = hook.get(self.call_id_field)
        if call_id is None:
            raise RemoteError(f"{self.call_id_field} is missing.")
        if not (0 < len(call_id) <= MAX_FIELD and call_id.isprintable()):
            raise RemoteError(
                f"{self.call_id_field} must be 1 to {MAX_FIELD} printable characters."
            )
        over = self.is_over(hook)
        # Status callbacks of Twilio and Telnyx name their source; voice webhooks have none.
        if over or hook.get("CallbackSource") is not None:
            cause = hook.get(self.cause_field)
            return Notice(call_id, over, _printable(cause) if cause else None)
        return Arrival(
            call_id=call_id,
            caller=e164(_printable(hook.get("From") or "")),
            callee=e164(_printable(hook.get("To") or "")),
            in_progress=self.tells_progress and hook.get("CallStatus") == "in-progress",
        )

    def is_over(self, hook: Webhook) -> bool:
        """Whether the webhook says that the call has ended."""
        return hook.get("CallStatus") in self.over_statuses

    def answer(
        self, media_url: str, ref: str, again: str | None, status_url: str | None = None
    ) -> Markup:
        """Stream to ``media_url``; after the stream ask ``again``, or hang up where it is None.

        ``status_url`` is told how the stream fares.
        """
        stream = self.stream(media_url, ref, status_url)
        if again is None:
            return Markup.of(stream, Element("Hangup"))
        redirect = Element("Redirect", method="POST")
        redirect.text = again
        return Markup.of(stream, redirect)

    @abstractmethod
    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        """The verb that opens a two-way media socket and waits for its end."""

    @abstractmethod
    def refuse(self, reason: Refusal) -> Markup:
        """Turn a call away that has not been answered."""

    def hang_up(self) -> Markup:
        """End a call that has been answered."""
        return Markup.of(Element("Hangup"))

    def nothing(self) -> Markup:
        """The answer to a ``Notice``."""
        return Markup.of()

    @abstractmethod
    def wire(self) -> Wire:
        """A fresh state machine for one media socket."""


def _printable(value: str) -> str:
    """What of ``value`` can be stored and logged: a database text may not hold a NUL."""
    return "".join(character for character in value if character.isprintable())[:MAX_FIELD]
