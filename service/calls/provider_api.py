"""What the providers are asked through their REST APIs: to hang up, and to place a call.

Only where the connector has the credentials for it. Hanging up happens behind the request that
wants it, in a few threads that may block on HTTP and the database; a failure is written on the
ladder and fails nothing else, since the provider's next question is told to hang up as well.
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
from service.storage.calls.control import Steering
from service.storage.connectors import Connectors
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

THREADS = 2


class ProviderApi:
    """Thread-safe. The threads start with the first errand, so after any fork."""

    def __init__(
        self, settings: Settings, clock: Clock, connectors: Connectors, steering: Steering
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connectors = connectors
        self._steering = steering
        self._controls = controls()
        self._outgoing = HttpClient(clock)
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def hang_up(self, call: Call) -> None:
        """Have the provider end the call, some time soon, where it can be asked to."""
        if call.provider_call_id == call.id or not self.can_hang_up(call):
            return
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="errands")
            self._pool.submit(self._hang_up, call)

    def can_hang_up(self, call: Call) -> bool:
        """Whether the provider can be asked to end this call."""
        try:
            connector = self._connectors.get(call.connector_id or "")
        except NotFound:
            return False
        needed = self._controls[connector.provider].hang_up_needs
        return all(name in connector.credentials for name in needed)

    def lacking(self, connector: Connector) -> tuple[str, ...]:
        """Names of the credentials without which this connector cannot place calls."""
        needed = self._controls[connector.provider].place_needs
        return tuple(name for name in needed if name not in connector.credentials)

    def place(self, connector: Connector, order: Order) -> str | None:
        """Have the provider dial; its id of the call, if it tells one. Raises ``BadGateway``."""
        control, secrets = self._controls[connector.provider], _secrets(connector)
        try:
            response = self._outgoing.send(
                control.place(order, secrets, self._settings.api_url(connector.provider)),
                needs_body=True,
            )
        except BadGateway as error:
            raise BadGateway(f"{control.title} could not be asked: {error.message}.") from None
        if not 200 <= response.status < 300:
            raise BadGateway(f"{control.refusal(response)}.")
        return control.placed(response)

    def stop(self) -> None:
        """Finish what has been begun, and no more."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._outgoing.close()

    def _hang_up(self, call: Call) -> None:
        try:
            connector = self._connectors.get(call.connector_id or "")
            said = self._ask_to_hang_up(self._controls[call.provider], connector, call)
            self._steering.note(call.id, said, self._clock.now())
        except ServiceError as error:
            logger.warning("not ended through the provider: %s", error, extra=about(call.id))
        except Exception:
            logger.exception("not ended through the provider", extra=about(call.id))

    def _ask_to_hang_up(self, control: CallControl, connector: Connector, call: Call) -> str:
        """What came of it, in one sentence."""
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
    """The credentials to use: the first where two are kept for a rotation."""
    return {name: values[0] for name, values in connector.credentials.items() if values}
