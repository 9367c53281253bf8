"""The reference repeated in a stream's start message, in any known spelling.

The socket's URL has it as well, so an unknown spelling is ignored. Plivo documents
``k=v;k=v`` and ``k=v,k=v`` and sends ``{X-PH-k: v, X-PH-k: v}``, which is not JSON:
https://github.com/plivo-labs/agent-transport, crates/agent-transport/src/audio_stream/plivo.rs.
Vobiz, which speaks its dialect, has ``X-VH-``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import orjson

NAME = "ref"

PREFIX = re.compile("x-[a-z]{2}-", re.IGNORECASE)
"""Prefix that providers put before the names of our parameters."""

PAIR = re.compile("[=:]")

AROUND = " \t\r\n\"'{}[]"
"""Characters that may surround a name or a value."""


def find_ref(sent: object) -> tuple[str | None, bool]:
    """Return the reference among parameters (an object, a list, or text), and whether an
    unreadable value was sent in its place.
    """
    is_odd = sent is not None and not isinstance(sent, Mapping | list | str)
    for name, value in _pairs(sent):
        bare = PREFIX.sub("", name.strip(AROUND), count=1)
        if bare.lower() != NAME or value is None:
            continue
        if isinstance(value, str) and (ref := value.strip(AROUND)):
            return ref, False
        is_odd |= not isinstance(value, str)
    return None, is_odd


def _pairs(sent: object) -> Iterator[tuple[str, object]]:
    """Yield names and values of parameters, which may be objects, name-value objects or text."""
    if isinstance(sent, str):
        sent = _decoded(sent)
    for each in sent if isinstance(sent, list) else [sent]:
        if isinstance(each, str):
            for pair in re.split("[;,&\n]", each):
                name, *value = PAIR.split(pair, maxsplit=1)
                yield name, "".join(value)
        elif isinstance(each, Mapping):
            yield str(each.get("name")), each.get("value")
            yield from ((str(name), value) for name, value in each.items())


def _decoded(text: str) -> object:
    """Return the JSON value of a text, or the text itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
