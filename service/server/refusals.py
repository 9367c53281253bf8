"""Answers to requests that never reach the application, in the shape of its own errors."""

from __future__ import annotations

import uuid
from http import HTTPStatus

import orjson


class Refused(Exception):
    """The request is answered with an error, and its connection is closed."""

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after

    def answer(self) -> bytes:
        """Return the whole response: a JSON object with ``message`` and ``statusCode``."""
        body = orjson.dumps({"message": self.sentence, "statusCode": self.status})
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"x-request-id: {uuid.uuid4().hex}",
        ]
        if self.retry_after is not None:
            lines.append(f"Retry-After: {self.retry_after}")
        return "\r\n".join([*lines, "", ""]).encode() + body
