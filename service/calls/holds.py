"""Holds: markup that lets a call in progress wait a moment and ask again, without the database.

The call key in the address proves by itself that the call is ours. A caller who has lost the
socket, or returns from a transfer, waits while the database is away or the process restarts, and
hears no busy signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from service.calls.deadlines import Deadlines
from service.calls.serving_state import ServingState
from service.domain.connectors import webhook_url
from service.providers import controls
from service.providers.base.call_control import CallControl, Outcome
from service.providers.base.provider import Markup, Provider, Webhook
from service.security import call_keys
from service.settings import Settings

MOST = 200
"""Most holds in a row: ten minutes of three seconds each."""

HELD = "held"
"""The query parameter that counts them."""

OUTCOME = "outcome"
"""The query parameter that keeps a dial's outcome, which the provider tells once."""


class Holds:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        deadlines: Deadlines,
        serving: ServingState,
        tell_held: Callable[[str], object],
    ) -> None:
        """``tell_held`` tells other machines of a hold, without waiting: they may have the database
        and would end the call.
        """
        self._settings = settings
        self._providers = providers
        self._controls = controls()
        self._deadlines = deadlines
        self._serving = serving
        self._tell_held = tell_held

    def markup(self, provider_name: str, key: str, hook: Webhook, base: str) -> Markup | None:
        """Return a hold that leads back to the call, or ``None`` for a key that is no call key."""
        return self._hold(provider_name, key, hook, webhook_url(base, provider_name, key), {})

    def after_dial(self, provider_name: str, key: str, hook: Webhook, base: str) -> Markup | None:
        """Return a hold for a caller whose transfer has ended."""
        control = self._controls.get(provider_name)
        if control is None:
            return None
        address = f"{webhook_url(base, provider_name, key)}/dial"
        kept = {OUTCOME: outcome(control, hook).value}
        return self._hold(provider_name, key, hook, address, kept)

    def _hold(
        self, provider_name: str, key: str, hook: Webhook, address: str, query: Mapping[str, str]
    ) -> Markup | None:
        provider = self._providers.get(provider_name)
        call_id = call_keys.call_id_of(key)
        if (
            provider is None
            or call_id is None
            or not call_keys.is_genuine(key, *self._settings.api_secrets)
        ):
            return None
        count = _count(hook)
        if count >= MOST or not self._settings.reattach:
            return provider.hang_up()
        self._deadlines.held(call_id)
        self._tell_held(call_id)
        self._serving.expect_no_more(call_id)
        again = f"{address}?{urlencode({**query, HELD: count + 1})}"
        return provider.hold(self._settings.hold_seconds, again)


def outcome(control: CallControl, hook: Webhook) -> Outcome:
    """Return how a dial has ended, as the provider says now or said before a hold."""
    kept = hook.ours(OUTCOME)
    known = {each.value: each for each in Outcome}
    return known[kept] if kept in known else control.dialled(hook)


def _count(hook: Webhook) -> int:
    """Return how many holds in a row the caller has had."""
    said = hook.ours(HELD) or "0"
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0
