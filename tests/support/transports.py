"""A transport without a socket, which records the messages to send."""

from __future__ import annotations

import json
from binascii import a2b_base64
from typing import Any

from service.domain.calls import EndReason


class RecordingTransport:
    """A ``Transport`` that keeps ``messages`` and audio ``payloads``, each in order.

    ``log`` has both in one order: the name of an event, ``audio``, or ``forget``. Like a real
    transport it drops everything after ``hang_up``, and only the first ``hang_up`` counts.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        self.log: list[str] = []
        self.envelope: tuple[bytes, bytes] | None = None
        self.closed: tuple[int, str, EndReason | None] | None = None
        self.dropped = 0
        self.answers_pings = False

    def text(self, message: bytes) -> None:
        if self.closed is None:
            document = json.loads(message)
            self.messages.append(document)
            self.log.append(document["event"])

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        self.envelope = (prefix, suffix)
        return self.envelope

    def audio(self, frame: bytes) -> None:
        if self.closed is None and self.envelope is not None:
            prefix, suffix = self.envelope
            assert frame.startswith(prefix)
            assert frame.endswith(suffix)
            text = frame[len(prefix) : len(frame) - len(suffix)]
            self.payloads.append(a2b_base64(text, strict_mode=True))
            self.log.append("audio")

    def forget_audio(self) -> None:
        self.log.append("forget")

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        if self.closed is None:
            self.closed = (code, text, reason)

    def new_messages(self) -> list[dict[str, Any]]:
        """Return the messages since the last call."""
        messages, self.messages = self.messages, []
        return messages
