"""Requests to the providers' REST APIs: hang up a call, and place one.

A connector needs the credentials for them. A request to hang up is a row that is written with the
end of the call, so it outlives this process: a thread takes the rows, and a few others send them
and may block on HTTP and the database. A failure is written on the call's ladder and fails nothing
else, because the provider's next question is answered with a hang-up as well.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from service.clock import Clock
from service.domain.calls import Call
from service.domain.connectors import Connector
from service.domain.provider_requests import HangUpRequest
from service.errors import BadGateway, Busy, NotFound, ServiceError
from service.http_client.client import HttpClient
from service.process.background import BackgroundThread
from service.providers import controls
from service.providers.base.call_control import CallControl, Order
from service.settings import Settings
from service.storage.calls.provider_requests import MOST_ATTEMPTS, ProviderRequests
from service.storage.connectors import Connectors
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

THREADS = 2

LOOK_SECONDS = 5.0
"""Seconds between two searches for requests of a process that was killed. The signal shortens it.
"""

TROUBLE_SECONDS = 1.0
"""Pause after a failure of the database."""


class ProviderApi(BackgroundThread):
    """Thread-safe. The threads start with ``start``, so after any fork."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        connectors: Connectors,
        requests: ProviderRequests,
    ) -> None:
        super().__init__("provider-api", requests.signal)
        self._settings = settings
        self._clock = clock
        self._connectors = connectors
        self._requests = requests
        self._controls = controls()
        self._outgoing = HttpClient(clock)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="provider-api")
        self._free = threading.Semaphore(THREADS)

    def can_hang_up(self, call: Call) -> bool:
        """Return whether the provider can be asked to end this call."""
        return self._able_connector(call.connector_id or "") is not None

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

    def stop(self, seconds: float | None = None) -> None:
        """Finish the requests that have begun. The rest is left to another process."""
        super().stop(seconds)
        self._pool.shutdown()
        self._outgoing.close()

    def work(self) -> None:
        """Begin the requests that wait, as far as threads are free."""
        while not self._stopping.is_set() and self._free.acquire(blocking=False):
            asked = None
            try:
                asked = self._requests.take()
            finally:
                if asked is None:
                    self._free.release()
            if asked is None:
                return
            self._pool.submit(self._hang_up, asked)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._requests.signal.clear()
            pause = LOOK_SECONDS
            try:
                self.work()
            except Busy as error:
                pause = TROUBLE_SECONDS
                logger.warning("calls are still to be ended at their providers: %s", error.message)
            except Exception:
                pause = TROUBLE_SECONDS
                logger.exception("calls are still to be ended at their providers")
            self._requests.signal.wait(pause)

    def _hang_up(self, asked: HangUpRequest) -> None:
        try:
            self._try_to_hang_up(asked)
        except ServiceError as error:
            logger.warning("not ended through the provider: %s", error, extra=about(asked.call_id))
        except Exception:
            logger.exception("not ended through the provider", extra=about(asked.call_id))
        finally:
            self._free.release()
            self._requests.signal.set()

    def _try_to_hang_up(self, asked: HangUpRequest) -> None:
        connector = self._able_connector(asked.connector_id)
        if connector is None:
            self._requests.drop(asked)
            return
        if asked.attempts > MOST_ATTEMPTS:
            logger.error(
                "the provider is not asked to hang up any more: no attempt of %d was finished",
                MOST_ATTEMPTS,
                extra=about(asked.call_id),
            )
            self._requests.drop(asked)
            return
        said = self._ask_to_hang_up(self._controls[asked.provider], connector, asked)
        self._requests.answered(asked, said, self._clock.now())

    def _able_connector(self, connector_id: str) -> Connector | None:
        """Return the connector, if it has the credentials to hang up."""
        try:
            connector = self._connectors.get(connector_id)
        except NotFound:
            return None
        needed = self._controls[connector.provider].call_needs
        return connector if all(name in connector.credentials for name in needed) else None

    def _ask_to_hang_up(
        self, control: CallControl, connector: Connector, asked: HangUpRequest
    ) -> str:
        """Return the outcome in one sentence."""
        api = self._settings.api_url(connector.provider)
        try:
            response = self._outgoing.send(
                control.hang_up(asked.provider_call_id, _secrets(connector), api), needs_body=True
            )
        except BadGateway as error:
            said = f"{control.title} could not be asked to hang up: {error.message}."
        else:
            if 200 <= response.status < 300:
                return f"{control.title} was told to hang up."
            if control.was_over(response):
                return f"{control.title} had ended the call already."
            said = f"{control.title} did not hang up. {control.refusal(response)}."
        logger.warning("%s", said, extra=about(asked.call_id))
        return said


def _secrets(connector: Connector) -> Mapping[str, str]:
    """Return the credentials to use: the first of two that are kept for a rotation."""
    return {name: values[0] for name, values in connector.credentials.items() if values}
