"""Base class of phone providers: verify a voice webhook, parse it, and answer it with markup.

A provider is a stateless value. The state of a call's stream is in the ``Wire`` that it makes for
each media socket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeGuard
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, tostring

from service.clock import Millis
from service.domain.calls import Refusal
from service.domain.phone_numbers import e164
from service.domain.wire import Wire
from service.errors import RemoteError
from service.providers.base.signatures import Credential, Secrets, Use

KEY_SECONDS = 10
"""Seconds to press the first key, and with most providers each key after it."""

MAX_FIELD = 256
"""Characters kept of a caller or callee, and allowed in a call id."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request of a provider, with everything that its signature may cover.

    ``form`` are the parameters of the body, in order and with repeats. ``url`` is the public one,
    with path and query as received, percent-encoding included. The URL of a WebSocket upgrade
    begins with ``ws``.
    """

    form: tuple[tuple[str, str], ...] = ()
    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        query = self.url.partition("#")[0].partition("?")[2]
        return tuple(parse_qsl(query, keep_blank_values=True))

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        """Parameters of the provider: the form, or the query if there is no form.

        Never both: Telnyx signs only the body, and parameters added to the URL of a signed request
        must have no effect.
        """
        return self.form or self.query

    @property
    def is_upgrade(self) -> bool:
        return self.url.startswith("ws")

    def get(self, name: str) -> str | None:
        """Return the first value of ``name``."""
        return next((value for key, value in self.params if key == name), None)

    def ours(self, name: str) -> str | None:
        """Return the value of a parameter that this server put into the URL."""
        return next((value for key, value in self.query if key == name), None)

    def header(self, name: str) -> str:
        """Return the value of a header, whose name has no case; empty if there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that requests markup. ``caller`` and ``callee`` are in E.164 if they are numbers.

    ``in_progress``: the call was answered, so that it can be hung up but not rejected.
    """

    call_id: str
    caller: str
    callee: str
    in_progress: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A status update at the URL of the voice webhook, which needs no markup.

    ``over``: the call has ended. ``detail`` is the provider's word for the reason.
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
    """One provider: its webhook, its markup and its media dialect.

    ``name`` is the name of the module. ``call_id_field`` and ``cause_field`` are the parameters
    with the call's id and the reason of its end. ``over_statuses`` are the statuses of an ended
    call. ``tells_progress``: the status also says that the call was answered. ``credentials`` are
    the account's credentials that a connector may have. ``signs_upgrades``: the request that opens
    a media socket is signed too. ``writes_plus``: international numbers have their plus sign.
    ``speak_verb`` is the verb that reads a text out, and ``wait_verb`` the one for silence.
    """

    name: ClassVar[str]
    credentials: ClassVar[tuple[Credential, ...]]
    signs_upgrades: ClassVar[bool] = True
    writes_plus: ClassVar[bool] = True
    call_id_field: ClassVar[str] = "CallSid"
    cause_field: ClassVar[str] = "CallStatus"
    speak_verb: ClassVar[str] = "Say"
    wait_verb: ClassVar[str] = "Pause"
    tells_progress: ClassVar[bool] = True
    over_statuses: ClassVar[frozenset[str]] = frozenset(
        ("completed", "busy", "no-answer", "failed", "canceled")
    )

    def checks(self, secrets: Secrets) -> bool:
        """Whether ``secrets`` has a credential to check signatures with."""
        return any(
            Use.SIGNATURES in each.uses and secrets.get(each.name) for each in self.credentials
        )

    @abstractmethod
    def verify(self, hook: Webhook, secrets: Secrets, now: Millis) -> None:
        """Raise ``BadSignature`` unless the request is signed with one of ``secrets``.

        Without a credential for signatures, no signature is required.
        """

    def parse(self, hook: Webhook) -> Arrival | Notice:
        """Parse a webhook. Raises ``RemoteError`` if it names no call.

        A call without a caller or a callee is accepted: a person may be waiting.
        """
        call_id = self.call_id(hook)
        over = self.is_over(hook)
        # Status callbacks of Twilio and Telnyx name their source; voice webhooks have none.
        if over or hook.get("CallbackSource") is not None:
            return Notice(call_id, over, self.cause(hook))
        return Arrival(
            call_id=call_id,
            caller=e164(_printable(hook.get("From") or ""), plus=self.writes_plus),
            callee=e164(_printable(hook.get("To") or ""), plus=self.writes_plus),
            in_progress=self.tells_progress and hook.get("CallStatus") == "in-progress",
        )

    def call_id(self, hook: Webhook) -> str:
        """Return the call id of a request. Raises ``RemoteError`` if it has none."""
        call_id = hook.get(self.call_id_field)
        if call_id is None:
            raise RemoteError(f"{self.call_id_field} is missing.")
        if not is_call_id(call_id):
            raise RemoteError(
                f"{self.call_id_field} must be 1 to {MAX_FIELD} printable characters."
            )
        return call_id

    def cause(self, hook: Webhook) -> str | None:
        """Return the provider's word for why a call has ended, if it gives one."""
        return _printable(hook.get(self.cause_field) or "") or None

    def is_over(self, hook: Webhook) -> bool:
        """Whether the webhook says that the call has ended."""
        return hook.get("CallStatus") in self.over_statuses

    def answer(
        self, media_url: str, ref: str, again: str | None, status_url: str | None = None
    ) -> Markup:
        """Stream to ``media_url``; then request ``again``, or hang up if it is ``None``.

        Status callbacks about the stream go to ``status_url``.
        """
        stream = self.stream(media_url, ref, status_url)
        return Markup.of(stream, Element("Hangup") if again is None else _redirect(again))

    def ask(self, prompt: str, digits: int, action: str) -> Markup:
        """Collect this many ``digits`` and send them to ``action``, or none after a timeout.

        Without a key, providers continue with the markup, which therefore leads to ``action`` too.
        """
        gather = self.gather(digits, action)
        gather.append(self._speak(prompt))
        return Markup.of(gather, _redirect(action))

    @abstractmethod
    def gather(self, digits: int, action: str) -> Element:
        """Return the verb that collects keys, up to this many ``digits`` or the hash key."""

    def digits(self, hook: Webhook) -> str:
        """Return the pressed keys; empty if there were none."""
        return hook.get("Digits") or ""

    @abstractmethod
    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        """Return the verb that opens a two-way media socket and waits for its end."""

    @abstractmethod
    def refuse(self, reason: Refusal) -> Markup:
        """Refuse a call that was not answered."""

    def hold(self, seconds: int, again: str) -> Markup:
        """Keep the caller on the line for this many ``seconds``, and then request ``again``."""
        return Markup.of(Element(self.wait_verb, length=str(seconds)), _redirect(again))

    def hang_up(self) -> Markup:
        """End an answered call."""
        return Markup.of(Element("Hangup"))

    def dismiss(self, text: str) -> Markup:
        """Read a last sentence to the caller of an answered call, and end the call."""
        return Markup.of(self._speak(text), Element("Hangup"))

    def nothing(self) -> Markup:
        """Return the answer to a ``Notice``."""
        return Markup.of()

    @abstractmethod
    def wire(self) -> Wire:
        """Return a new state machine for one media socket."""

    def _speak(self, text: str) -> Element:
        verb = Element(self.speak_verb)
        verb.text = text
        return verb


def is_call_id(value: object) -> TypeGuard[str]:
    """Whether a provider's id of a call can be stored and shown."""
    return isinstance(value, str) and 0 < len(value) <= MAX_FIELD and value.isprintable()


def _redirect(url: str) -> Element:
    redirect = Element("Redirect", method="POST")
    redirect.text = url
    return redirect


def _printable(value: str) -> str:
    """Return the part of ``value`` that can be stored and logged: databases reject a NUL."""
    return "".join(character for character in value if character.isprintable())[:MAX_FIELD]
