"""Requests to the providers' REST APIs: hang up a call, and place one.

A connector needs the credentials for them. Calls are hung up in the background, in a few threads
that may block on HTTP and the database. A failure is written on the call's ladder and fails nothing
else, because the provider's next question is answered with a hang-up as well.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from service.clock import Clock
from service.domain.calls import Call
from service.domain.connectors import Connector
from service.errors import BadGateway, NotFound, ServiceError
from service.http_client.client import HttpClient
from service.providers import controls
from service.providers.base.call_control import CallControl, Order
from service.settings import Settings
from service.storage.calls.steering import StoredSteering
from service.storage.connectors import Connectors
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

THREADS = 2


class ProviderApi:
    """Thread-safe. The threads start with the first request, so after any fork."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        connectors: Connectors,
        stored_steering: StoredSteering,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connectors = connectors
        self._stored_steering = stored_steering
        self._controls = controls()
        self._outgoing = HttpClient(clock)
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def hang_up(self, call: Call) -> None:
        """Ask the provider in the background to end the call, if it can be asked."""
        if call.provider_call_id == call.id or not self.can_hang_up(call):
            return
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="provider-api")
            self._pool.submit(self._hang_up, call)

    def can_hang_up(self, call: Call) -> bool:
        """Return whether the provider can be asked to end this call."""
        try:
            connector = self._connectors.get(call.connector_id or "")
        except NotFound:
            return False
        needed = self._controls[connector.provider].hang_up_needs
        return all(name in connector.credentials for name in needed)

    def lacking(self, connector: Connector) -> tuple[str, ...]:
        """Return the names of the credentials that the connector lacks to place calls."""
        needed = self._controls[connector.provider].place_needs
        return tuple(name for name in needed if name not in connector.credentials)

    def place_call(self, connector: Connector, order: Order) -> str | None:
        """Ask the provider to dial. Return its id of the call, if it tells one.

        Raises ``BadGateway``.
        """
        control, secrets = self._controls[connector.provider], _secrets(connector)
        try:
            response = self._outgoing.send(
                control.place_call(order, secrets, self._settings.api_url(connector.provider)),
                needs_body=True,
            )
        except BadGateway as error:
            raise BadGateway(f"{control.title} could not be asked: {error.message}.") from None
        if not 200 <= response.status < 300:
            raise BadGateway(f"{control.refusal(response)}.")
        return control.placed(response)

    def stop(self) -> None:
        """Finish the requests that have begun, and drop the rest."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._outgoing.close()

    def _hang_up(self, call: Call) -> None:
        try:
            connector = self._connectors.get(call.connector_id or "")
            said = self._ask_to_hang_up(self._controls[call.provider], connector, call)
            self._stored_steering.note(call.id, said, self._clock.now())
        except ServiceError as error:
            logger.warning("not ended through the provider: %s", error, extra=about(call.id))
        except Exception:
            logger.exception("not ended through the provider", extra=about(call.id))

    def _ask_to_hang_up(self, control: CallControl, connector: Connector, call: Call) -> str:
        """Return the outcome in one sentence."""
        api = self._settings.api_url(connector.provider)
        try:
            response = self._outgoing.send(
                control.hang_up(call.provider_call_id, _secrets(connector), api), needs_body=True
            )
        except BadGateway as error:
            said = f"{control.title} could not be asked to hang up: {error.message}."
        else:
            if 200 <= response.status < 300:
                return f"{control.title} was told to hang up."
            if control.was_over(response):
                return f"{control.title} had ended the call already."
            said = f"{control.title} did not hang up. {control.refusal(response)}."
        logger.warning("%s", said, extra=about(call.id, call.room_id))
        return said


def _secrets(connector: Connector) -> Mapping[str, str]:
    """Return the credentials to use: the first of two that are kept for a rotation."""
    return {name: values[0] for name, values in connector.credentials.items() if values}
