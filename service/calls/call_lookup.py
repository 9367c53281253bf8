"""The lookup of the call that a provider's webhook is about."""

from __future__ import annotations

from service.domain.calls import Call, Direction
from service.domain.connectors import Connector
from service.errors import NotFound
from service.providers.base.provider import Webhook
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering

PLACED = "placed"
"""The query parameter that named a placed call before calls had keys. Calls that are up during an
upgrade still use it."""


class CallLookup:
    """Thread-safe."""

    def __init__(self, calls: Calls, stored_steering: StoredSteering) -> None:
        self._calls = calls
        self._stored_steering = stored_steering

    def find(
        self, connector: Connector, hook: Webhook, provider_call_id: str, call_id: str | None = None
    ) -> Call | None:
        """Return the call that a webhook of the connector is about, if it is known.

        ``call_id`` is set where the request came to the address of a call: only that call counts. A
        webhook of a placed call may arrive before the provider has returned its id of the call,
        which is then stored from the webhook.
        """
        call = self._calls.find(connector.id, provider_call_id)
        if call is not None:
            return call if call_id in (None, call.id) else None
        placed = call_id or hook.ours(PLACED)
        if placed is None:
            return None
        try:
            call = self._calls.get(placed)
        except NotFound:
            return None
        if call.connector_id != connector.id or call.direction is not Direction.OUTBOUND:
            return None
        is_unnamed = call.provider_call_id == call.id
        if call_id is not None and not (call.status.is_waiting or is_unnamed):
            # The webhook is about another leg, such as the number of a transfer.
            return None
        return self._stored_steering.bind(call.id, provider_call_id, firm=True)
