"""Structured logs without secrets: text or JSON lines on stderr.

No code should log a key, a reference or a token. ``redact`` is the last line of defence: it works
on the finished line, including the text of exceptions.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

from service.clock import Millis, iso

HANDLER = "patchbay"

KEPT = 50
LONGEST = 500
"""Warnings and errors that are kept, and characters of their messages."""

EXAMINED, EXCERPT = 1000, 300
"""Bytes of a peer's message that are searched for secrets, and characters that are shown."""

PRIVATE = re.compile("[0-9]{7,}|[A-Za-z0-9+/]{64,}")
"""Telephone numbers and audio."""

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this thread answers. All its log lines have it."""

# A provider's reference consists of 32 letters and digits of both cases, in a path, in markup or in
# a peer's message. Hexadecimal ids have one case and a Twilio SID is longer, so both stay legible.
# In a URL inside a URL it follows %2F or %3D instead of a delimiter.
REFERENCE = (
    r"(?:(?<![A-Za-z0-9])|(?<=%2[Ff])|(?<=%3[Dd]))"
    r"(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{32}(?![A-Za-z0-9])"
)

# The quotes of a dict or of JSON. They are escaped where JSON is inside JSON.
QUOTE = r"""(?:\\?["'])?"""
NAMED_REFERENCE = rf"((?<![A-Za-z])ref{QUOTE}(?:=|%3[Dd]|:\s?){QUOTE})[A-Za-z0-9_%*-]+"
AUTHORIZATION = (
    rf"(?i)(\bauthorization{QUOTE}\s?[:=,]\s?{QUOTE}(?:(?:bearer|basic)\s)?)[^\s\"'\\,;]+"
)

# Tokens in a query. They do not belong there, but clients send them.
IN_QUERY = r"(?i)(token(?:=|%3D))[^\s\"'\\,;&]+"

# The bounded length of the first part prevents quadratic time.
JWT = r"eyJ[A-Za-z0-9_-]{8,500}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"

# Letters, digits, hyphens and underscores may be percent-encoded in any URL (RFC 3986, 2.3), those
# of a secret too.
ENCODED = r"%(?:2[Dd]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])"
ENCODED_WORD = rf"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*{ENCODED})(?:{ENCODED}|[A-Za-z0-9_-]){{20,}}"

SECRETS = (
    (re.compile(ENCODED_WORD), "***"),
    (re.compile(r"whk_[A-Za-z0-9]+"), "whk_***"),
    # The id of the call follows. Its lines are found by it.
    (re.compile(r"clk_[0-9A-Fa-f]+"), "clk_***"),
    (re.compile(r"vs_[a-z0-9]{12,}"), "vs_***"),
    (re.compile(REFERENCE), "***"),
    (re.compile(NAMED_REFERENCE), r"\1***"),
    (re.compile(JWT), "***"),
    (re.compile(AUTHORIZATION), r"\1***"),
    (re.compile(IN_QUERY), r"\1***"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1***@"),
)

# Control characters in the log could move the cursor of a terminal, also those of Latin-1.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}

PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Replace every webhook key, reference, token and password in ``text`` by ``***``."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def excerpt(message: bytes) -> str:
    """Return the beginning of a peer's message without secrets, telephone numbers and audio."""
    text = redact(message[:EXAMINED].decode(errors="replace"))
    return PRIVATE.sub("***", text)[:EXCERPT]


def about(call_id: str | None, room_id: str | None = None, **more: str) -> Mapping[str, str]:
    """Return the ``extra`` of a line about a call. Lines are found by these fields."""
    known = {"call_id": call_id, "room_id": room_id, **more}
    return {name: value for name, value in known.items() if value is not None}


def configure(level: str, fmt: str, node: str | None = None) -> Troubles:
    """Send every logger's lines of at least ``level`` to stderr, as ``fmt``: ``text`` or ``json``.

    Every line names the ``node``, where there are several. The returned handler keeps the last
    warnings and errors. A second call replaces the handlers of the first one, and no others.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.name == HANDLER]:
        root.removeHandler(old)
    stream, troubles = logging.StreamHandler(), Troubles()
    stream.setFormatter(formatter(fmt))
    for handler in (stream, troubles):
        handler.name = HANDLER
        handler.addFilter(_name_request)
        name_node(handler, node)
        root.addHandler(handler)
    root.setLevel(level.upper())
    # Alembic logs each plugin at info, seven lines on every start that migrates.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    return troubles


def name_node(handler: logging.Handler, node: str | None) -> None:
    """Let every line of a handler name the node, unless it is ``None``."""

    def name(record: logging.LogRecord) -> bool:
        # A line that names another node is about that one.
        vars(record).setdefault("node", node)
        return True

    if node is not None:
        handler.addFilter(name)


def _name_request(record: logging.LogRecord) -> bool:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        vars(record).setdefault("request_id", request_id)
    return True


def formatter(fmt: str) -> logging.Formatter:
    """Return the formatter for ``text`` or ``json``. Its output is redacted."""
    return JsonFormatter() if fmt == "json" else TextFormatter()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A redacted line of at least ``warning``. ``error`` is the type of its exception.

    ``template`` is the message without its arguments. Lines of one logger and template are of one
    kind.
    """

    at: Millis
    level: str
    logger: str
    template: str
    message: str
    error: str | None
    call_id: str | None


class Troubles(logging.Handler):
    """Keep the last warnings and errors for the console's health page, as ``limited`` does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: tuple[Trouble, ...] = ()

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        trouble = Trouble(
            at=int(record.created * 1000),
            level=record.levelname.lower(),
            logger=record.name,
            template=redact(str(record.msg))[:LONGEST],
            message=redact(record.getMessage())[:LONGEST],
            error=kind.__name__ if kind else None,
            call_id=_extra(record).get("call_id"),
        )
        # logging calls this with the handler's lock.
        self._kept = limited((trouble, *self._kept))

    def last(self) -> tuple[Trouble, ...]:
        """Return the kept lines, newest first."""
        return self._kept


def limited(newest_first: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """Return ``KEPT`` of the lines at most, in their order.

    The kind that has the most lines loses its oldest one first. So lines that anybody can cause,
    for instance by webhooks with wrong signatures, displace none of another kind.
    """
    of_kind: Counter[tuple[str, str]] = Counter()
    ranked: list[tuple[int, int]] = []
    for place, each in enumerate(newest_first):
        kind = each.logger, each.template
        ranked.append((of_kind[kind], place))
        of_kind[kind] += 1
    places = sorted(place for _, place in sorted(ranked)[:KEPT])
    return tuple(newest_first[place] for place in places)


class TextFormatter(logging.Formatter):
    """``2026-06-21T14:30:45.123Z INFO service.calls.ending: Call ended. call=… reason=…``.

    Continuation lines are indented, so that a message cannot forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={value}" for name, value in _extra(record).items())
        message = f"{record.levelname} {record.name}: {record.getMessage()}{pairs}"
        lines = "\n".join([message, *_trouble(self, record)])
        return f"{_time(record)} " + redact(lines.translate(CONTROLS)).replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, extra fields and any exception."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _extra(record).items():
            fields.setdefault(name, value)
        if trouble := _trouble(self, record):
            fields["exception"] = "\n".join(trouble)
        return redact(_dumps(fields))


def _dumps(fields: Mapping[str, Any]) -> str:
    option = orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(fields, default=str, option=option).decode()
    except TypeError:
        # orjson refuses lone surrogates and integers beyond 64 bits. An escaped line is better than
        # a lost one.
        return orjson.dumps({ascii(k)[1:-1]: ascii(v) for k, v in fields.items()}).decode()


def _time(record: logging.LogRecord) -> str:
    return iso(int(record.created * 1000))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of ``extra=``."""
    return {name: value for name, value in vars(record).items() if name not in PLAIN}


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """Return the record's exception and stack as text, where it has them."""
    lines = []
    if record.exc_info:
        lines.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        lines.append(record.exc_text)
    if record.stack_info:
        lines.append(formatter.formatStack(record.stack_info))
    return lines
