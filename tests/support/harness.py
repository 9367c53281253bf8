"""A process without its server: real use cases and storage, a clock that the test sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, fromstring, tostring

from sqlalchemy import select

from service.calls.outbound import CallRequest
from service.calls.recorder_thread import RecorderThread
from service.calls.sweeps import Sweeps
from service.calls.takeover import Takeover
from service.calls.timekeeper import Timekeeper
from service.clock import Uptime
from service.cluster.keeper import Keeper
from service.domain.calls import Call, EndReason, LadderEvent
from service.domain.connectors import Connector
from service.media.engine.engine import Engine
from service.media.rooms.reports import LegClosed, LegMoved, Report
from service.providers.base.provider import Webhook
from service.security.call_keys import key_of
from service.storage.database import Database
from service.storage.tables import provider_requests
from service.storage.time_bases import TimeBases
from tests.support.apps import a_settings, services_with
from tests.support.clocks import FakeClock
from tests.support.provider_apis import CREDENTIALS
from tests.support.records import a_connector

BASE = "https://voice.example.com"

DIALLED = "+442071838750"
"""The number that calls are placed to."""

CALL_IDS = {
    "twilio": "CA00000000000000000000000000000001",
    "plivo": "11111111-2222-3333-4444-555555555555",
    "telnyx": "v3:9X2vabcAiQ",
}


def waiting_requests(database: Database) -> list[str]:
    """Return the calls whose providers are still to be asked to end them."""
    with database.read() as connection:
        return list(connection.scalars(select(provider_requests.c.call_id)))


class Harness:
    """The use cases of a process, with a clock that the test sets and nothing started."""

    def __init__(self, database: Database, clock: FakeClock, **settings: Any) -> None:
        self.database, self.engine = database, Engine(clock)
        self.services = services_with(a_settings(**settings), clock, database, self.engine)
        self.clock, self.steady = clock, self.services.clock
        self.stores = self.services.stores
        self.calls = self.stores.calls
        self.admission = self.services.admission
        self.callbacks = self.services.callbacks
        self.deadlines = self.services.deadlines
        self.serving = self.services.serving
        self.ending = self.services.ending
        self.inbound = self.services.inbound
        self.outbound = self.services.outbound
        self.provider_api = self.services.provider_api
        self.recorder = self.services.recorder
        self.removals = self.services.removals
        self.session_deadlines = self.services.session_deadlines
        self.steering = self.services.steering
        self.waiters = self.services.waiters

        self._keeper = Keeper(self.steady, self.stores.nodes, None, self.engine, lost=lambda: None)

    def stop(self) -> None:
        self._keeper.close()
        self.engine.stop()
        self.provider_api.stop()

    def ask_providers(self) -> None:
        """Send all requests that wait for a provider's API."""
        pause = Event()
        for _ in range(2_000):
            if not waiting_requests(self.database):
                return
            self.provider_api.work()
            pause.wait(0.01)
        raise AssertionError("requests to providers are left")

    def recorder_thread(
        self,
        reports: SimpleQueue[Report],
        timekeeper: Timekeeper | None = None,
        followers: Sequence[Callable[[], object]] = (),
    ) -> RecorderThread:
        """A thread that has these reports to write. Another may follow it."""
        timekeeper = timekeeper or self.timekeeper()
        return RecorderThread(
            self.steady,
            reports,
            self.recorder,
            self.database,
            self.takeover(timekeeper),
            self.sweeps(timekeeper),
            self.serving,
            self.services.metrics,
            followers,
        )

    def sweeps(self, timekeeper: Timekeeper | None = None) -> Sweeps:
        return Sweeps(
            self._keeper,
            timekeeper or self.timekeeper(),
            self.deadlines,
            self.session_deadlines,
            self.stores.secrets,
        )

    def restart(self) -> None:
        """Take the calls over as after the process that had them was killed."""
        self.deadlines.begin()
        self.stores.nodes.take_over(self.clock.now(), has_started=True)

    def takeover(self, timekeeper: Timekeeper) -> Takeover:
        return Takeover(
            self.database,
            self._keeper,
            timekeeper,
            self.deadlines,
            self.calls,
            self.stores.secrets,
        )

    def timekeeper(self, boot: str = "boot-1", bases: TimeBases | None = None) -> Timekeeper:
        """Return a timekeeper for a machine that was booted a thousand seconds before the test."""

        def measure() -> Uptime:
            return Uptime(boot, int(self.clock.monotonic() * 1000))

        return Timekeeper(self.steady, self.calls, bases or self.stores.time_bases, measure)

    def connect(self, connector: Connector) -> Connector:
        self.stores.connectors.add(connector)
        return connector

    def webhook(self, connector: Connector, **fields: str) -> Element:
        """Return the markup for a voice webhook of the connector's provider."""
        name = connector.provider
        params = {
            "CallUUID" if name == "plivo" else "CallSid": CALL_IDS[name],
            "From": "+14155550100",
            "To": "+14155550199",
            "CallStatus": "ringing",
            **fields,
        }
        known = self.services.connector_lookup.find(name, connector.webhook_key)
        tries = params.pop("try", None)
        ask = self.inbound.answer if tries is None else self.inbound.gather
        url = "" if tries is None else f"{BASE}/gather?try={quote(tries)}"
        return fromstring(ask(known, Webhook(tuple(params.items()), url), BASE).text)

    def press(self, connector: Connector, digits: str, tries: int, **fields: str) -> Element:
        """Return the markup after keys were pressed, or none were, for a PIN."""
        pressed = {"Digits": digits} if digits else {}
        return self.webhook(
            connector, CallStatus="in-progress", **{"try": str(tries)}, **pressed, **fields
        )

    def call(self, connector: Connector) -> Any:
        """Return the stored call of the usual call id, with its ladder."""
        found = self.calls.find(connector.id, CALL_IDS[connector.provider])
        return None if found is None else self.calls.get(found.id)

    def address(self, call: Any) -> str:
        """Return the address at which the provider asks about a call."""
        return f"{BASE}/v2/hooks/{call.provider}/{self.key(call)}"

    def key(self, call: Any) -> str:
        return key_of(self.services.settings.api_secret, call.id)

    def invite(self, room_id: str, *about: Any) -> tuple[Call, str]:
        """Make a ticket, and return its call and its reference."""
        ticket = self.admission.invite(room_id, *about)
        return ticket.call, ticket.ref

    def start(self, ref: str, provider: str = "twilio", session_id: str = "s1") -> str:
        """Claim a reference and report the start of its leg. Return the leg's id."""
        spec = self.admission.claim(provider, ref)
        assert self.calls.answered(spec.call_id, spec.leg_id, session_id, self.clock.now())
        return spec.leg_id

    def answered(self, connector: Connector, **fields: str) -> Call:
        leg = self.start(ref_of(self.webhook(connector, **fields)), connector.provider)
        call = self.call(connector)
        assert call.leg_id == leg
        return call

    def hook(self, connector: Connector, **fields: str) -> Webhook:
        name = "CallUUID" if connector.provider == "plivo" else "CallSid"
        return Webhook(tuple({name: CALL_IDS[connector.provider], **fields}.items()))

    def dialled(self, connector: Connector, status: str, **fields: str) -> Element:
        name = "DialStatus" if connector.provider == "plivo" else "DialCallStatus"
        hook = self.hook(connector, **{name: status, "CallStatus": "in-progress", **fields})
        return fromstring(self.callbacks.dialled(connector, hook, BASE).text)

    def lost(self, call: Call, reason: EndReason | None = None) -> None:
        at = self.clock.now()
        self.recorder.record(LegClosed(call.id, call.leg_id, reason, "gone", {}, at))

    def moved(self, call: Call, room_id: str, session_id: str = "s2") -> None:
        self.recorder.record(
            LegMoved(
                call.id, call.leg_id, room_id, call.participant.id, session_id, self.clock.now()
            )
        )


@contextmanager
def a_harness(database: Database, clock: FakeClock, **settings: Any) -> Iterator[Harness]:
    harness = Harness(database, clock, **settings)
    try:
        yield harness
    finally:
        harness.stop()


def verbs(response: Element) -> list[str]:
    return [verb.tag for verb in response]


def media_url(response: Element) -> str:
    stream = next(response.iter("Stream"))
    return stream.get("url") or stream.text or ""


def ref_of(response: Element) -> str:
    return media_url(response).rpartition("/")[2]


def events(call: Any) -> list[LadderEvent]:
    return [step.event for step in call.steps]


def kept(call: Any) -> list[str]:
    """Return the markup on a call's ladder, in the order of its steps."""
    markups = [step.markup for step in call.steps if step.markup is not None]
    return [tostring(fromstring(markup), encoding="unicode") for markup in markups]


def masked(response: Element, connector: Connector) -> str:
    """Return an answer as the ladder keeps it: without call key and reference."""
    text = re.sub(r"clk_\w+(-\w+)*", "clk_•••", tostring(response, encoding="unicode"))
    assert connector.webhook_key not in text
    streamed = next(response.iter("Stream"), None) is not None
    return text.replace(ref_of(response), "•••") if streamed else text


def keyed(provider: str, **changes: object) -> Connector:
    """A connector with the credentials to ask its provider."""
    credentials = {name: (value,) for name, value in CREDENTIALS[provider].items()}
    return a_connector(provider=provider, credentials=credentials, **changes)


def place(harness: Harness, connector: Connector, **changes: object) -> Call:
    """Place a call through the connector."""
    request = CallRequest(
        callee=DIALLED, caller="+14155550199", connector_id=connector.id, **changes
    )
    return harness.outbound.place_call(request, harness.outbound.plan(request), BASE)


def closed(call_id: str, leg_id: str, reason: EndReason | None, at: int = 5_000) -> LegClosed:
    """The engine's report that a leg's socket is closed."""
    return LegClosed(call_id, leg_id, reason, "a reason in words", {"framesIn": 7}, at)
