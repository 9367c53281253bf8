"""Checks of webhook signatures, with errors that name the URL that was checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from service.clock import Clock
from service.domain.connectors import Connector
from service.domain.ids import digest
from service.domain.origins import Address, origin
from service.errors import BadSignature, Unverifiable
from service.providers.base.provider import Provider, Webhook
from service.providers.base.signatures import with_scheme
from service.storage.connectors import Connectors
from service.telemetry.logs import redact

MAX_SHOWN = 300
"""Most characters of a URL in an error, because a sender can make it any length."""


class Signatures:
    def __init__(
        self,
        connectors: Connectors,
        providers: Mapping[str, Provider],
        clock: Clock,
        public_url: str | None,
        node_url: str | None = None,
    ) -> None:
        """``public_url`` is the base of webhooks, and ``node_url`` that of media sockets, where
        this machine has an address of its own.
        """
        self._connectors = connectors
        self._providers = providers
        self._clock = clock
        self._public_url = public_url
        self._media_url = node_url or public_url

    def check(self, connector: Connector, hook: Webhook) -> None:
        """Raise ``BadSignature`` unless the request is signed as the credentials demand.

        Where the credentials cannot be decrypted, every request is refused.
        """
        self._check(connector, hook, self._public_url)

    def _check(self, connector: Connector, hook: Webhook, base: str | None) -> None:
        if connector.locked:
            raise Unverifiable(
                f"The credentials of {connector.id} cannot be read with this API_SECRET, so that "
                "no signature can be checked: set them again."
            )
        provider = self._providers[connector.provider]
        failures = []
        for url in _spellings(hook, base):
            try:
                provider.verify(replace(hook, url=url), connector.credentials, self._clock.now())
            except BadSignature as error:
                failures.append(error.message)
            else:
                return
        raise BadSignature(
            f"{failures[0]} Checked for {connector.id}: {hook.method} {shown(hook.url)}"
        )

    def check_upgrade(self, provider_name: str, ref: str, hook: Webhook) -> None:
        """Check the request that opens a media socket, if the provider signs it.

        A reference of a deleted connector, or of another provider, is left to the claim.
        """
        provider = self._providers.get(provider_name)
        if provider is None or not provider.signs_upgrades:
            return
        connector = self._connectors.by_reference(digest(ref))
        if connector is not None and connector.provider == provider_name:
            self._check(connector, hook, self._media_url)


def _spellings(hook: Webhook, configured: str | None) -> Iterator[str]:
    """Return the request's URL, and the other spellings that the provider may sign.

    A provider signs the URL that it was given. Earlier versions gave it the ``configured`` base as
    written.
    """
    yield hook.url
    if configured is None:
        return
    base = with_scheme(configured, hook.url.partition(":")[0])
    if isinstance(configured, Address) and hook.url.startswith(base):
        written = with_scheme(configured.written, base.partition(":")[0])
        if written != base:
            yield written + hook.url.removeprefix(base)
    sent = f"{base.partition(':')[0]}://{hook.header('Host')}"
    if not base.startswith(sent) and origin(sent) == origin(base):
        yield sent + hook.url.removeprefix(origin(base) or "")


def shown(url: str) -> str:
    """Return ``url`` for a log: without the secrets of its path and the values of its query."""
    address, mark, query = url.partition("?")
    names = "&".join(name for name, _ in parse_qsl(query, keep_blank_values=True))
    return (redact(address) + mark + names)[:MAX_SHOWN]
