"""Structured logs without secrets: text or JSON lines on stderr.

Nobody is meant to log a key, a reference or a token in the first place. ``redact`` is the last
line of defence: it works on the finished line, the text of exceptions included.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

from service.clock import Millis, iso

HANDLER = "patchbay"

KEPT = 50
LONGEST = 500
"""Troubles that are kept, and characters of their messages."""

EXAMINED, EXCERPT = 1000, 300
"""Bytes of a peer's message that are searched for secrets, and characters that are shown."""

PRIVATE = re.compile("[0-9]{7,}|[A-Za-z0-9+/]{64,}")
"""Telephone numbers and audio."""

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this thread answers: every line logged meanwhile has it."""

# A provider's reference is 32 letters and digits of both cases wherever it stands: in a path, in
# markup, in a peer's message. Hexadecimal ids are of one case and a Twilio SID is longer, so both
# stay legible. In a URL inside a URL it follows %2F or %3D instead of a delimiter.
REFERENCE = (
    r"(?:(?<![A-Za-z0-9])|(?<=%2[Ff])|(?<=%3[Dd]))"
    r"(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{32}(?![A-Za-z0-9])"
)

# The quotes of a dict or of JSON, which are escaped where JSON is inside JSON.
QUOTE = r"""(?:\\?["'])?"""
NAMED_REFERENCE = rf"((?<![A-Za-z])ref{QUOTE}(?:=|%3[Dd]|:\s?){QUOTE})[A-Za-z0-9_%*-]+"
AUTHORIZATION = (
    rf"(?i)(\bauthorization{QUOTE}\s?[:=,]\s?{QUOTE}(?:(?:bearer|basic)\s)?)[^\s\"'\\,;]+"
)

# In a query, where no token belongs and clients put it all the same.
IN_QUERY = r"(?i)(token(?:=|%3D))[^\s\"'\\,;&]+"

# The first part is bounded in length so that no input takes quadratic time.
JWT = r"eyJ[A-Za-z0-9_-]{8,500}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"

# A letter, digit, hyphen or underscore may be percent-encoded in any URL (RFC 3986, 2.3), and a
# secret that has been so is still one.
ENCODED = r"%(?:2[Dd]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])"
ENCODED_WORD = rf"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*{ENCODED})(?:{ENCODED}|[A-Za-z0-9_-]){{20,}}"

SECRETS = (
    (re.compile(ENCODED_WORD), "***"),
    (re.compile(r"whk_[A-Za-z0-9]+"), "whk_***"),
    # What follows is the id of the call, by which its lines are found.
    (re.compile(r"clk_[0-9A-Fa-f]+"), "clk_***"),
    (re.compile(r"vs_[a-z0-9]{12,}"), "vs_***"),
    (re.compile(REFERENCE), "***"),
    (re.compile(NAMED_REFERENCE), r"\1***"),
    (re.compile(JWT), "***"),
    (re.compile(AUTHORIZATION), r"\1***"),
    (re.compile(IN_QUERY), r"\1***"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1***@"),
)

# Control characters could move the cursor of whoever reads the log in a terminal.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127)}

PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """``text`` with ``***`` for every webhook key, reference, token and password in it."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def excerpt(message: bytes) -> str:
    """The beginning of a peer's message without secrets, telephone numbers and audio."""
    text = redact(message[:EXAMINED].decode(errors="replace"))
    return PRIVATE.sub("***", text)[:EXCERPT]


def about(call_id: str | None, room_id: str | None = None, **more: str) -> Mapping[str, str]:
    """The ``extra`` of a line about a call: fields by which its lines are found."""
    known = {"call_id": call_id, "room_id": room_id, **more}
    return {name: value for name, value in known.items() if value is not None}


def configure(level: str, fmt: str) -> Troubles:
    """Send every logger's lines of at least ``level`` to stderr, as ``fmt``: ``text`` or ``json``.

    What is returned keeps the last warnings and errors among them.

    Calling it again replaces what it set up before and touches no other handler.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.name == HANDLER]:
        root.removeHandler(old)
    stream, troubles = logging.StreamHandler(), Troubles()
    stream.setFormatter(formatter(fmt))
    for handler in (stream, troubles):
        handler.name = HANDLER
        handler.addFilter(_name_request)
        root.addHandler(handler)
    root.setLevel(level.upper())
    # It names each plugin at info, seven lines on every start that migrates.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    return troubles


def _name_request(record: logging.LogRecord) -> bool:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        vars(record).setdefault("request_id", request_id)
    return True


def formatter(fmt: str) -> logging.Formatter:
    """The formatter for ``text`` or ``json``; its output is redacted."""
    return JsonFormatter() if fmt == "json" else TextFormatter()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line of at least ``warning``, redacted; ``error`` is the type of its exception."""

    at: Millis
    level: str
    logger: str
    message: str
    error: str | None
    call_id: str | None


class Troubles(logging.Handler):
    """Keeps the last ``KEPT`` troubles, so that nobody needs the log to see them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[Trouble] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        self._kept.append(
            Trouble(
                at=int(record.created * 1000),
                level=record.levelname.lower(),
                logger=record.name,
                message=redact(record.getMessage())[:LONGEST],
                error=kind.__name__ if kind else None,
                call_id=_extra(record).get("call_id"),
            )
        )

    def last(self) -> tuple[Trouble, ...]:
        """Newest first."""
        return tuple(reversed(tuple(self._kept)))


class TextFormatter(logging.Formatter):
    """``2026-06-21T14:30:45.123Z INFO service.calls.ending: Call ended. call=… reason=…``.

    Continuation lines are indented, so that no message can pass for a line of its own.
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
        # Lone surrogates and integers past 64 bits: better an escaped line than a lost one.
        return orjson.dumps({ascii(k)[1:-1]: ascii(v) for k, v in fields.items()}).decode()


def _time(record: logging.LogRecord) -> str:
    return iso(int(record.created * 1000))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What a caller passed in ``extra=``."""
    return {name: value for name, value in vars(record).items() if name not in PLAIN}


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The record's exception and stack as text, where it has them."""
    lines = []
    if record.exc_info:
        lines.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        lines.append(record.exc_text)
    if record.stack_info:
        lines.append(formatter.formatStack(record.stack_info))
    return lines
