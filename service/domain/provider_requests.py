"""Requests to providers that may be sent later, by any node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HangUpRequest:
    """A call that its provider is to be asked to end. ``attempts`` counts those who have tried."""

    call_id: str
    connector_id: str
    provider: str
    provider_call_id: str
    attempts: int
