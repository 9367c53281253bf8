"""What every phone provider does: check a voice webhook, read it and answer it with markup.

A provider is a stateless value; what it learns during a call lives in the ``Wire`` that it makes
for each media socket.
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
"""How long a caller may take to press the first key, and on most providers each one after it."""

MAX_FIELD = 256
"""Characters kept of a caller or callee, and allowed in a call id."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request of a provider: what it says, and all that its signature may cover.

    ``form`` are the parameters of the body, in order, repeats kept. ``url`` is the public one, with
    path and query as they came, percent-encoding included; that of a WebSocket upgrade begins with
    ``ws``.
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
        """What the provider says: its form, or its query where it sends no form.

        Never both: Telnyx signs the body alone, and what somebody has added to the URL of a signed
        request must not count.
        """
        return self.form or self.query

    @property
    def is_upgrade(self) -> bool:
        return self.url.startswith("ws")

    def get(self, name: str) -> str | None:
        """The first value of ``name``."""
        return next((value for key, value in self.params if key == name), None)

    def ours(self, name: str) -> str | None:
        """The value of a parameter that was put into the URL here, whatever the provider says."""
        return next((value for key, value in self.query if key == name), None)

    def header(self, name: str) -> str:
        """The value of a header, whatever the case of its name; empty where there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")


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
    ``credentials`` are what a connector may be given of the account; ``signs_upgrades`` says
    whether the request that opens a media socket is signed too. ``writes_plus`` says whether
    international numbers come with their plus sign. ``speak_verb`` is its markup's word
    for reading a text out, and ``wait_verb`` for silence.
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
        """Whether there is anything in ``secrets`` to check signatures with."""
        return any(
            Use.SIGNATURES in each.uses and secrets.get(each.name) for each in self.credentials
        )

    @abstractmethod
    def verify(self, hook: Webhook, secrets: Secrets, now: Millis) -> None:
        """Raise ``BadSignature`` unless the request is signed as ``secrets`` demand.

        Where they hold nothing to check a signature with, none is asked for.
        """

    def parse(self, hook: Webhook) -> Arrival | Notice:
        """What the webhook says. Raises ``RemoteError`` where it names no call.

        A call without a caller or a callee is still somebody waiting on a line.
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
        """Which call a request is about. Raises ``RemoteError`` where it names none."""
        call_id = hook.get(self.call_id_field)
        if call_id is None:
            raise RemoteError(f"{self.call_id_field} is missing.")
        if not is_call_id(call_id):
            raise RemoteError(
                f"{self.call_id_field} must be 1 to {MAX_FIELD} printable characters."
            )
        return call_id

    def cause(self, hook: Webhook) -> str | None:
        """The provider's word for why a call has ended, if it says one."""
        return _printable(hook.get(self.cause_field) or "") or None

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
        return Markup.of(stream, Element("Hangup") if again is None else _redirect(again))

    def ask(self, prompt: str, digits: int, action: str) -> Markup:
        """Have the caller press so many keys and send them to ``action``, or nothing after a while.

        Providers go on with the markup where no key is pressed, so that it leads there as well.
        """
        gather = self.gather(digits, action)
        gather.append(self._speak(prompt))
        return Markup.of(gather, _redirect(action))

    @abstractmethod
    def gather(self, digits: int, action: str) -> Element:
        """The verb that collects keys, up to so many or the hash key, around what is said."""

    def digits(self, hook: Webhook) -> str:
        """The keys that were pressed; empty where there were none."""
        return hook.get("Digits") or ""

    @abstractmethod
    def stream(self, media_url: str, ref: str, status_url: str | None) -> Element:
        """The verb that opens a two-way media socket and waits for its end."""

    @abstractmethod
    def refuse(self, reason: Refusal) -> Markup:
        """Turn a call away that has not been answered."""

    def hold(self, seconds: int, again: str) -> Markup:
        """Keep the caller on the line for so many seconds, and then ask ``again``."""
        return Markup.of(Element(self.wait_verb, length=str(seconds)), _redirect(again))

    def hang_up(self) -> Markup:
        """End a call that has been answered."""
        return Markup.of(Element("Hangup"))

    def dismiss(self, text: str) -> Markup:
        """Say a last sentence to a caller who has been answered, and end the call."""
        return Markup.of(self._speak(text), Element("Hangup"))

    def nothing(self) -> Markup:
        """The answer to a ``Notice``."""
        return Markup.of()

    @abstractmethod
    def wire(self) -> Wire:
        """A fresh state machine for one media socket."""

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
    """What of ``value`` can be stored and logged: a database text may not hold a NUL."""
    return "".join(character for character in value if character.isprintable())[:MAX_FIELD]
