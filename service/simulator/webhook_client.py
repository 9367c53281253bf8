"""The provider's HTTP requests to the service during one call.

The webhook URL holds a secret key, so no error message quotes more of it than the origin.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from service.clock import Clock
from service.errors import RemoteError
from service.simulator.providers import markup
from service.simulator.providers.dialect import Dialect
from service.simulator.providers.markup import LOOPBACK, MAX_BYTES
from service.simulator.providers.signing import RequestSigner
from service.simulator.report import CallCounters
from service.simulator.scenario import Scenario
from service.simulator.timeline import Timeline

RETRY_SECONDS = 0.1

XML_TYPES = ("text/xml", "application/xml")

HINTS = {
    403: "; is it signed with the connector's credentials?",
    404: "; is the webhook key right?",
}


class NothingListens(RemoteError):
    """The connection was refused, so the request was not received and may be repeated."""


@dataclass(frozen=True, slots=True)
class MarkupRequest:
    """A request whose response replaces the current markup."""

    url: str = field(repr=False)
    method: str
    fields: Mapping[str, str] = field(repr=False)


class WebhookClient:
    """Fetches markup, and sends notices in order from a thread of its own.

    No provider delays a call for a notice. ``close`` the client once, at the end of the call.
    """

    def __init__(
        self,
        scenario: Scenario,
        dialect: Dialect,
        signer: RequestSigner | None,
        *,
        clock: Clock,
        timeline: Timeline,
        counters: CallCounters,
        hung_up: threading.Event,
    ) -> None:
        self._scenario = scenario
        self._dialect = dialect
        self._signer = signer
        self._clock = clock
        self._timeline = timeline
        self._counters = counters
        self._hung_up = hung_up
        self._notices = ThreadPoolExecutor(1, thread_name_prefix="simulator-notices")

    def fetch(self, request: MarkupRequest) -> Sequence[markup.Verb]:
        """Return the verbs of the markup in the response. Raises ``RemoteError``."""
        body, content_type = self._exchange(request.url, request.fields, request.method)
        if content_type not in XML_TYPES:
            kind = content_type[:60]
            raise RemoteError(f"The webhook answered with the content type {kind}, not text/xml.")
        verbs = markup.parse(body, self._dialect.readers)
        self._timeline.record("markup", ", ".join(type(verb).__name__ for verb in verbs))
        return verbs

    def fetch_with_retries(self, request: MarkupRequest) -> Sequence[markup.Verb]:
        """Like ``fetch``, but retry for ``retry_seconds`` while nothing listens."""
        deadline = self._clock.monotonic() + self._scenario.retry_seconds
        while True:
            try:
                return self.fetch(request)
            except NothingListens:
                if self._clock.monotonic() >= deadline:
                    raise
                if self._hung_up.wait(RETRY_SECONDS):
                    return ()

    def notify_of_dialing(self) -> bool:
        """Send the statuses of a placed call, and return whether it is answered."""
        for status in ("initiated", "ringing", self._scenario.outcome):
            self.notify("status", self._scenario.status_url, self._dialect.call_status(status))
        return self._scenario.outcome == "answered"

    def notify_of_end(self) -> None:
        """Send the end of the call to the status URL, or else to the webhook."""
        if self._scenario.status_url is not None:
            url, fields = self._scenario.status_url, self._dialect.call_status("completed")
            self.notify("notice", url, fields)
        else:
            self.notify("notice", self._scenario.webhook_url, self._dialect.hung_up())

    def notify(self, name: str, url: str | None, fields: Mapping[str, str] | None) -> None:
        """Send ``fields`` without expecting markup, and record the event ``name``.

        Do nothing if there is no URL, or if the provider has no such message.
        """
        if url is not None and fields is not None:
            with suppress(RuntimeError):  # The interpreter is shutting down.
                self._notices.submit(self._notify, name, url, fields)

    def close(self) -> None:
        self._notices.shutdown()

    def _notify(self, name: str, url: str, fields: Mapping[str, str]) -> None:
        try:
            self._exchange(url, fields, "POST")
        except RemoteError as error:
            self._counters.add_problem(error.message)
        self._timeline.record(name)

    def _exchange(self, url: str, fields: Mapping[str, str], method: str) -> tuple[bytes, str]:
        """Send ``fields`` as a form, and return the body and its content type."""
        parts = urllib.parse.urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if parts.scheme not in ("http", "https"):
            raise RemoteError("The markup redirects to a URL that is not http:// or https://.")
        form = urllib.parse.urlencode(fields)
        body = form.encode() if method == "POST" else None
        if method == "GET":
            query = f"{parts.query}&{form}" if parts.query else form
            url = parts._replace(query=query).geturl()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "patchbay-simulator",
        }
        if self._signer is not None:
            headers |= self._signer.request(method, url, fields if body else {}, body or b"")
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            url, data=body, headers=headers, method=method
        )
        timeout = self._scenario.webhook_timeout
        try:
            with opener(parts.hostname).open(request, timeout=timeout) as response:
                return response.read(MAX_BYTES + 1), response.headers.get_content_type()
        except urllib.error.HTTPError as error:
            with error:
                hint = HINTS.get(error.code, ".")
                raise RemoteError(
                    f"{origin} answered the webhook with {error.code}{hint}"
                ) from None
        except urllib.error.URLError as error:
            refused = isinstance(error.reason, ConnectionRefusedError)
            kind = NothingListens if refused else RemoteError
            raise kind(unreachable(origin, error.reason, timeout)) from None
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError(unreachable(origin, error, timeout)) from None


def opener(host: str | None) -> urllib.request.OpenerDirector:
    """Return an opener for HTTP URLs of ``host``."""
    # A proxy cannot reach this machine's loopback interface.
    proxies: dict[str, str] | None = {} if host in LOOPBACK else None
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies))


def unreachable(origin: str, reason: object, timeout: float) -> str:
    """Describe in one sentence why ``origin`` did not respond."""
    if isinstance(reason, ConnectionRefusedError):
        return f"Nothing listens at {origin} (connection refused); is the server running?"
    if isinstance(reason, TimeoutError):
        return f"{origin} did not answer within {timeout:g} seconds."
    if isinstance(reason, ssl.SSLError):
        return f"{origin} could not be reached over TLS ({reason.reason})."
    if isinstance(reason, OSError) and reason.strerror:
        return f"{origin} could not be reached ({reason.strerror})."
    return f"{origin} broke off its answer."
