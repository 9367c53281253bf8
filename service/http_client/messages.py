"""HTTP requests and responses as values.

Code that makes requests does no I/O. ``http_client.client`` sends them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes = field(default=b"", repr=False)

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON object in the body, or an empty one."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def form(url: str, fields: list[tuple[str, str]], headers: Mapping[str, str]) -> HttpRequest:
    """Return a POST of form fields. Order and repeats are kept."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", url, {**headers, **kind}, urlencode(fields).encode())


def document(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> HttpRequest:
    """Return a POST of a JSON object."""
    kind = {"Content-Type": "application/json"}
    return HttpRequest("POST", url, {**headers, **kind}, orjson.dumps(body))
