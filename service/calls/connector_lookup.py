"""The lookup of a webhook's connector by the key in its address."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain import ids
from service.domain.connectors import Connector
from service.errors import NotFound
from service.providers.base.provider import Provider
from service.security import call_keys, constant_time
from service.storage.connectors import Connectors


class ConnectorLookup:
    def __init__(
        self,
        connectors: Connectors,
        providers: Mapping[str, Provider],
        api_secrets: tuple[str, str | None],
    ) -> None:
        self._connectors = connectors
        self._providers = providers
        self._api_secrets = api_secrets

    def find(self, provider_name: str, key: str) -> Connector:
        """Return the connector of a webhook key, or of a call key.

        A connector that was deleted while the call is up has no credentials. Raises ``NotFound``
        for a key that is not this provider's.
        """
        connector = None
        if provider_name in self._providers:
            call_id = call_keys.call_id_of(key)
            if call_id is None:
                connector = self._connectors.by_key(provider_name, key)
            else:
                connector = self._of_call(provider_name, call_id, key)
        if connector is None:
            raise NotFound("Unknown webhook key.")
        return connector

    def _of_call(self, provider_name: str, call_id: str, key: str) -> Connector | None:
        found = self._connectors.of_call(provider_name, call_id)
        if found is None:
            return None
        connector, stored = found
        # The stored digest proves keys that were made with another API_SECRET.
        is_the_calls = call_keys.is_genuine(key, *self._api_secrets) or (
            stored is not None and constant_time.equal(ids.digest(key), stored)
        )
        return connector if is_the_calls else None
