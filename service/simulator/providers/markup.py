"""The server's markup, parsed into the verbs that a provider carries out.

Parsing is as strict as the provider's own, because markup that only a lenient parser accepts fails
on a real call. Every error is a ``RemoteError`` with one sentence.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from service.errors import RemoteError
from service.simulator.audio.codec import Codec

MAX_BYTES = 100_000
"""Plivo's limit for a response: https://www.plivo.com/docs/voice/xml/response/."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Stream:
    """Open a media socket. ``inbound`` is the codec towards the server, ``outbound`` from it."""

    url: str = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    inbound: Codec = Codec.MULAW
    outbound: Codec = Codec.MULAW
    status_url: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        return urlsplit(self.url).hostname in LOOPBACK

    @property
    def origin(self) -> str:
        """The socket's URL without its path, which holds a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the call before answering; the reason is ``rejected`` or ``busy``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Play:
    url: str


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Redirect:
    """Fetch markup from ``url``, which may be relative to the current URL."""

    url: str = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect the caller to ``number``, and fetch markup from ``action`` afterwards."""

    number: str
    action: str = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Gather:
    """Collect keys while ``prompt`` plays, and fetch markup from ``url`` with the pressed keys.

    ``seconds`` is the timeout of the first key, in simulated time. Without any key the markup
    continues, unless ``answers_silence`` is set.
    """

    url: str = field(repr=False)
    method: str
    max_keys: int
    finish_on: str
    seconds: int
    prompt: tuple[Say | Play | Pause, ...]
    answers_silence: bool = False

    def collect(self, keys: str) -> str:
        """Return the keys to send: those before the finishing key, and at most ``max_keys``."""
        for position, key in enumerate(keys):
            if key in self.finish_on:
                return keys[:position]
            if position + 1 == self.max_keys:
                return keys[: position + 1]
        return keys


@dataclass(frozen=True, slots=True)
class Unknown:
    """A verb that this provider does not have, or that the simulator does not support."""

    name: str


Verb: TypeAlias = Stream | Reject | Hangup | Say | Play | Pause | Redirect | Dial | Gather | Unknown
Reader: TypeAlias = Callable[[ET.Element], Verb]


def parse(body: bytes, readers: Mapping[str, Reader]) -> tuple[Verb, ...]:
    """Parse ``body`` into verbs. ``readers`` has the provider's elements by name."""
    if len(body) > MAX_BYTES:
        raise RemoteError(f"The markup is longer than {MAX_BYTES} bytes.")
    # Entities could expand a small response without limit, and markup needs no DTD.
    if b"<!DOCTYPE" in body:
        raise RemoteError("The markup holds a document type, which providers do not read.")
    try:
        root = ET.fromstring(body)  # noqa: S314 - entities cannot be declared without a DTD
    except ET.ParseError as error:
        raise RemoteError(f"The markup is not well-formed XML: {error}.") from None
    if root.tag != "Response":
        raise RemoteError(f"The markup's root must be <Response>, not <{root.tag[:40]}>.")
    return tuple(
        readers[verb.tag](verb) if verb.tag in readers else Unknown(verb.tag[:40]) for verb in root
    )


def hangup(element: ET.Element) -> Verb:
    return Hangup()


def play(element: ET.Element) -> Verb:
    return Play(text(element))


def say(element: ET.Element) -> Verb:
    return Say(text(element))


def reject(element: ET.Element) -> Verb:
    reason = element.get("reason", "rejected")
    if reason not in ("rejected", "busy"):
        raise RemoteError(f"<{element.tag}> has the reason {reason[:40]!r}, not rejected or busy.")
    return Reject(reason)


def pause(element: ET.Element) -> Verb:
    length = element.get("length", "1")
    if not (length.isascii() and length.isdigit()) or len(length) > 6:
        raise RemoteError(f"<{element.tag}> has the length {length[:40]!r}, not whole seconds.")
    return Pause(float(length))


def redirect(element: ET.Element) -> Verb:
    url, method = text(element), element.get("method", "POST")
    if not url:
        raise RemoteError("<Redirect> names no URL.")
    if method not in ("GET", "POST"):
        raise RemoteError(f"<Redirect> has the method {method[:40]!r}, not GET or POST.")
    return Redirect(url, method)


def dial(number: str, shortest: int = 1) -> Reader:
    """Create a reader of ``<Dial>`` for a pattern of numbers and a minimum time limit."""

    def read(element: ET.Element) -> Verb:
        children = list(element)
        if len(children) != 1 or children[0].tag != "Number":
            raise RemoteError("The simulator only dials one <Number>.")
        for found in (text(children[0]), element.get("callerId")):
            if found is not None and not re.fullmatch(number, found):
                raise RemoteError("<Dial> holds a number that this provider cannot dial.")
        for name, low, high in (("timeout", 5, 120), ("timeLimit", shortest, 86_400)):
            seconds = element.get(name, str(high))
            if not re.fullmatch("[0-9]{1,6}", seconds) or not low <= int(seconds) <= high:
                raise RemoteError(f"<Dial> has a {name} that is not from {low} to {high}.")
        action, method = element.get("action", ""), element.get("method", "POST")
        if urlsplit(action).scheme not in ("http", "https") or method not in ("GET", "POST"):
            raise RemoteError("<Dial> needs an absolute action URL, and GET or POST.")
        return Dial(text(children[0]), action, method)

    return read


SPOKEN: Mapping[str, Reader] = {"Pause": pause, "Play": play, "Say": say}
"""Readers of the prompts of Twilio and Telnyx, alone and inside ``<Gather>``."""


def gather(
    element: ET.Element, readers: Mapping[str, Reader], *, answers_silence: bool = False
) -> Gather:
    """Parse a ``<Gather>``. ``readers`` has its prompts by name."""
    action, method = element.get("action", ""), element.get("method", "POST")
    if element.get("input", "dtmf") != "dtmf":
        raise RemoteError(f"The simulator presses keys only: <{element.tag}> needs the input dtmf.")
    if not action:
        raise RemoteError(f"<{element.tag}> without an action would ask the same thing for ever.")
    if method not in ("GET", "POST"):
        raise RemoteError(f"<{element.tag}> has the method {method[:40]!r}, not GET or POST.")
    prompt = []
    for child in element:
        verb = readers[child.tag](child) if child.tag in readers else None
        if not isinstance(verb, Say | Play | Pause):
            raise RemoteError(f"<{element.tag}> may not hold <{child.tag[:40]}>.")
        prompt.append(verb)
    return Gather(
        url=action,
        method=method,
        max_keys=whole(element, "numDigits", 99),
        finish_on=element.get("finishOnKey", "#"),
        seconds=whole(element, "timeout", 5),
        prompt=tuple(prompt),
        answers_silence=answers_silence,
    )


def whole(element: ET.Element, name: str, default: int) -> int:
    value = element.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 6 and int(value)):
        raise RemoteError(f"<{element.tag}> has the {name} {value[:40]!r}, not a number from 1.")
    return int(value)


def text(element: ET.Element) -> str:
    return (element.text or "").strip()


def parameters(element: ET.Element) -> dict[str, str]:
    """Return the ``<Parameter>`` children of a stream."""
    found = {}
    for child in element:
        name, value = child.get("name"), child.get("value")
        if child.tag != "Parameter" or not name or value is None:
            raise RemoteError("<Stream> may only hold <Parameter> with a name and a value.")
        found[name] = value
    return found


def only_stream(element: ET.Element) -> ET.Element | None:
    """Return the ``<Stream>`` in a ``<Connect>``, or ``None`` for anything else."""
    children = list(element)
    return children[0] if len(children) == 1 and children[0].tag == "Stream" else None


def stream_url(url: str) -> str:
    """Return ``url`` if a provider would open it: encrypted, except on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("ws", "wss"):
        raise RemoteError("The stream's URL must be absolute and begin with wss://.")
    if parts.scheme == "ws" and host not in LOOPBACK:
        raise RemoteError(
            f"The stream's URL must begin with wss://: ws://{host} is not on this machine."
        )
    return url
