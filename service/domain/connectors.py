"""Connectors: stored configuration of a phone provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.clock import Millis


@dataclass(frozen=True, slots=True)
class Connector:
    """Stored configuration for one provider; owns a secret webhook key.

    ``credentials`` has the values of each by name, the current one first. A second value is
    accepted while it is being replaced. ``locked``: some stored credentials cannot be decrypted
    with this server's ``API_SECRET``, so that no signature can be verified.
    """

    id: str
    provider: str
    name: str | None
    webhook_key: str = field(repr=False)
    default_room_id: str | None
    default_rule_id: str | None
    region: str | None
    created_at: Millis
    credentials: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    locked: bool = False


def webhook_url(base: str, provider: str, key: str) -> str:
    """Return the URL of a provider's webhooks. ``key`` is a connector's or a call's."""
    return f"{base}/v2/hooks/{provider}/{key}"
