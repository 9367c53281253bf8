"""The provider's requests of one call: for markup, again for markup, and to tell of things.

What is told is sent by a thread of its own, in order, because no provider holds a call up for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from service.clock import Clock
from service.errors import RemoteError
from service.simulator import webhook_client
from service.simulator.providers import markup
from service.simulator.providers.base import Dialect
from service.simulator.providers.signing import Signer
from service.simulator.report import Tally
from service.simulator.scenario import Scenario
from service.simulator.timeline import Timeline
from service.simulator.webhook_client import Request

RETRY_SECONDS = 0.1


class Requests:
    """``close`` it once, at the end of the call."""

    def __init__(
        self,
        plan: Scenario,
        dialect: Dialect,
        signer: Signer | None,
        *,
        clock: Clock,
        timeline: Timeline,
        tally: Tally,
        hung_up: threading.Event,
    ) -> None:
        self._plan = plan
        self._dialect = dialect
        self._signer = signer
        self._clock = clock
        self._timeline = timeline
        self._tally = tally
        self._hung_up = hung_up
        self._teller = ThreadPoolExecutor(1, thread_name_prefix="simulator-teller")

    def ask(self, request: Request) -> Sequence[markup.Verb]:
        """The verbs of the markup that answers the request. Raises ``RemoteError``."""
        body = webhook_client.ask(
            request.url, request.fields, request.method, self._plan.webhook_timeout, self._signer
        )
        verbs = markup.parse(body, self._dialect.readers)
        self._timeline.record("markup", ", ".join(type(verb).__name__ for verb in verbs))
        return verbs

    def ask_again(self, request: Request) -> Sequence[markup.Verb]:
        """The same, as patiently as is planned where nothing listens."""
        patience = self._clock.monotonic() + self._plan.patience
        while True:
            try:
                return self.ask(request)
            except webhook_client.NobodyListens:
                if self._clock.monotonic() >= patience:
                    raise
                if self._hung_up.wait(RETRY_SECONDS):
                    return ()

    def notify_after_commit(self) -> bool:
        """Tell how a placed call fares until it is answered, or not: then false."""
        for status in ("initiated", "ringing", self._plan.fares):
            self.tell("status", self._plan.status_url, self._dialect.fares(status))
        return self._plan.fares == "answered"

    def say_goodbye(self) -> None:
        """Tell of the end of the call, to whoever is to be told."""
        if self._plan.status_url is not None:
            self.tell("notice", self._plan.status_url, self._dialect.fares("completed"))
        else:
            self.tell("notice", self._plan.webhook_url, self._dialect.hung_up())

    def tell(self, name: str, url: str | None, fields: Mapping[str, str] | None) -> None:
        """Send ``fields`` where no markup is wanted, and record it as the event ``name``.

        Nothing happens where this provider has no such message, or nobody wants it.
        """
        if url is not None and fields is not None:
            with suppress(RuntimeError):  # The interpreter is ending, and nobody is told any more.
                self._teller.submit(self._tell, name, url, fields)

    def close(self) -> None:
        self._teller.shutdown()

    def _tell(self, name: str, url: str, fields: Mapping[str, str]) -> None:
        try:
            webhook_client.tell(url, fields, self._plan.webhook_timeout, self._signer)
        except RemoteError as error:
            self._tally.complain(error.message)
        self._timeline.record(name)
