"""Requests to providers that may be sent later, by any node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RequestKind(StrEnum):
    HANG_UP = "hang-up"
    """End the call."""

    REDIRECT = "redirect"
    """Have the call ask for markup, because the node that had its socket is lost."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """A request about one call. ``attempts`` counts the nodes that have tried."""

    kind: RequestKind
    call_id: str
    connector_id: str
    provider: str
    provider_call_id: str
    attempts: int
