"""The peer's end of a leg without a socket: a ``Line`` that keeps what it is given."""

from __future__ import annotations

import json
from typing import Any

from service.model import EndReason


class ListLine:
    """``said`` are the messages and ``heard`` the audio payloads, each in their order.

    ``log`` has both in one order: the name of an event, or ``audio``. Like a real line it drops
    what comes after ``hang_up``, and only the first of these counts.
    """

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.heard: list[bytes] = []
        self.log: list[str] = []
        self.envelope: tuple[bytes, bytes] | None = None
        self.closed: tuple[int, str, EndReason | None] | None = None
        self.dropped = 0

    def text(self, message: bytes) -> None:
        if self.closed is None:
            document = json.loads(message)
            self.said.append(document)
            self.log.append(document["event"])

    def prepare(self, prefix: bytes, suffix: bytes) -> None:
        self.envelope = (prefix, suffix)

    def audio(self, payload: bytes) -> None:
        if self.closed is None:
            self.heard.append(payload)
            self.log.append("audio")

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        if self.closed is None:
            self.closed = (code, text, reason)

    def news(self) -> list[dict[str, Any]]:
        """What has been said since the last call."""
        said, self.said = self.said, []
        return said
