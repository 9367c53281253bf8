"""Requests to the providers' REST APIs: place a call, end one, and redirect one.

A connector needs the credentials for them. A request about a live call is a row that is written
with the change of the call, so it outlives this process: a thread takes the rows, and a few others
send them and may block on HTTP and the database. A failure is written on the call's ladder and
fails nothing else. A call that is not ended is told to hang up when its provider asks next, and a
call that is not redirected asks once its provider notices that the socket is dead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from service.clock import Clock
from service.domain.calls import Call
from service.domain.connectors import Connector, webhook_url
from service.domain.provider_requests import ProviderRequest, RequestKind
from service.errors import BadGateway, Busy, NotFound, ServiceError
from service.http_client.client import HttpClient
from service.http_client.messages import HttpRequest
from service.process.background import BackgroundThread
from service.providers import controls
from service.providers.base.call_control import CallControl, Order
from service.security import call_keys
from service.settings import Settings
from service.storage.calls.provider_requests import MOST_ATTEMPTS, ProviderRequests
from service.storage.connectors import Connectors
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

THREADS = 4

VERBS = {
    RequestKind.HANG_UP: "hang up",
    RequestKind.REDIRECT: "redirect the call",
}

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
            self._pool.submit(self._send, asked)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._requests.signal.clear()
            pause = LOOK_SECONDS
            try:
                self.work()
            except Busy as error:
                pause = TROUBLE_SECONDS
                logger.warning("providers are still to be asked: %s", error.message)
            except Exception:
                pause = TROUBLE_SECONDS
                logger.exception("providers are still to be asked")
            self._requests.signal.wait(pause)

    def _send(self, asked: ProviderRequest) -> None:
        try:
            self._try_to_send(asked)
        except ServiceError as error:
            logger.warning("the provider is not asked: %s", error, extra=about(asked.call_id))
        except Exception:
            logger.exception("the provider is not asked", extra=about(asked.call_id))
        finally:
            self._free.release()
            self._requests.signal.set()

    def _try_to_send(self, asked: ProviderRequest) -> None:
        connector = self._able_connector(asked.connector_id)
        if connector is None:
            self._requests.drop(asked)
            return
        if asked.attempts > MOST_ATTEMPTS:
            logger.error(
                "the provider is not asked to %s any more: no attempt of %d was finished",
                VERBS[asked.kind],
                MOST_ATTEMPTS,
                extra=about(asked.call_id),
            )
            self._requests.drop(asked)
            return
        if asked.kind is RequestKind.REDIRECT and not self._is_lost(asked.call_id):
            self._requests.drop(asked)
            return
        said = self._ask(self._controls[asked.provider], connector, asked)
        self._requests.answered(asked, said, self._clock.now())

    def _is_lost(self, call_id: str) -> bool:
        """Return whether a call to redirect has neither come back by itself nor ended."""
        return self._settings.public_url is not None and self._requests.is_lost(call_id)

    def _able_connector(self, connector_id: str) -> Connector | None:
        """Return the connector, if it has the credentials for requests about calls."""
        try:
            connector = self._connectors.get(connector_id)
        except NotFound:
            return None
        needed = self._controls[connector.provider].call_needs
        return connector if all(name in connector.credentials for name in needed) else None

    def _ask(self, control: CallControl, connector: Connector, asked: ProviderRequest) -> str:
        """Send a request, and return the outcome in one sentence."""
        verb = VERBS[asked.kind]
        try:
            response = self._outgoing.send(
                self._request(control, connector, asked), needs_body=True
            )
        except BadGateway as error:
            said = f"{control.title} could not be asked to {verb}: {error.message}."
        else:
            if 200 <= response.status < 300:
                return f"{control.title} was told to {verb}."
            if control.was_over(response):
                return f"{control.title} had ended the call already."
            said = f"{control.title} did not {verb}. {control.refusal(response)}."
        logger.warning("%s", said, extra=about(asked.call_id))
        return said

    def _request(
        self, control: CallControl, connector: Connector, asked: ProviderRequest
    ) -> HttpRequest:
        call_id, secrets = asked.provider_call_id, _secrets(connector)
        api = self._settings.api_url(connector.provider)
        if asked.kind is RequestKind.HANG_UP:
            return control.hang_up(call_id, secrets, api)
        key = call_keys.key_of(self._settings.api_secret, asked.call_id)
        url = webhook_url(self._settings.public_url or "", asked.provider, key)
        return control.redirect(call_id, url, secrets, api)


def _secrets(connector: Connector) -> Mapping[str, str]:
    """Return the credentials to use: the first of two that are kept for a rotation."""
    return {name: values[0] for name, values in connector.credentials.items() if values}
