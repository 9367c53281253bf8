"""A switchboard with everything real but the clock, and what a test wants to ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, fromstring, tostring

from service.domain.calls import LadderEvent
from service.domain.connectors import Connector
from service.media.engine.engine import Engine
from service.providers.base.provider import Webhook
from service.security.call_keys import key_of
from service.storage.database import Database
from tests.support.apps import a_settings, services_with
from tests.support.clocks import FakeClock

BASE = "https://voice.example.com"

CALL_IDS = {
    "twilio": "CA00000000000000000000000000000001",
    "plivo": "11111111-2222-3333-4444-555555555555",
    "telnyx": "v3:9X2vabcAiQ",
}


class Desk:
    """A switchboard with a reception in front of it."""

    def __init__(self, database: Database, clock: FakeClock, **settings: Any) -> None:
        self.database, self.engine = database, Engine(clock)
        self.services = services_with(a_settings(**settings), clock, database, self.engine)
        self.clock, self.steady = clock, self.services.clock
        self.switchboard = self.services.switchboard
        self.calls = self.services.stores.calls
        self.reception = self.services.inbound

    def connect(self, connector: Connector) -> Connector:
        self.switchboard.connectors.add(connector)
        return connector

    def notify_after_commit(self, connector: Connector, **fields: str) -> Element:
        """The markup of a voice webhook of the connector's provider."""
        name = connector.provider
        params = {
            "CallUUID" if name == "plivo" else "CallSid": CALL_IDS[name],
            "From": "+14155550100",
            "To": "+14155550199",
            "CallStatus": "ringing",
            **fields,
        }
        known = self.reception.recognise(name, connector.webhook_key)
        tries = params.pop("try", None)
        ask = self.reception.answer if tries is None else self.reception.gather
        url = "" if tries is None else f"{BASE}/gather?try={quote(tries)}"
        return fromstring(ask(known, Webhook(tuple(params.items()), url), BASE).text)

    def press(self, connector: Connector, digits: str, tries: int, **fields: str) -> Element:
        """The markup after keys were pressed, or none were, when asked for a PIN."""
        pressed = {"Digits": digits} if digits else {}
        return self.notify_after_commit(
            connector, CallStatus="in-progress", **{"try": str(tries)}, **pressed, **fields
        )

    def call(self, connector: Connector) -> Any:
        """The stored call of the provider's usual call id, with its ladder."""
        found = self.calls.find(connector.id, CALL_IDS[connector.provider])
        return None if found is None else self.calls.get(found.id)

    def address(self, call: Any) -> str:
        """Where the provider asks about a call that is known."""
        return f"{BASE}/v2/hooks/{call.provider}/{self.key(call)}"

    def key(self, call: Any) -> str:
        return key_of(self.switchboard.settings.api_secret, call.id)

    def start(self, ref: str, provider: str = "twilio", session_id: str = "s1") -> str:
        """Claim a reference and start its leg, as the engine would report it; the leg's id."""
        spec = self.switchboard.claim(provider, ref)
        assert self.calls.answered(spec.call_id, spec.leg_id, session_id, self.clock.now())
        return spec.leg_id


@contextmanager
def a_desk(database: Database, clock: FakeClock, **settings: Any) -> Iterator[Desk]:
    desk = Desk(database, clock, **settings)
    try:
        yield desk
    finally:
        desk.engine.stop()


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
    """The markup on a call's ladder, in the order of its rungs."""
    markups = [step.markup for step in call.steps if step.markup is not None]
    return [tostring(fromstring(markup), encoding="unicode") for markup in markups]


def masked(response: Element, connector: Connector) -> str:
    """An answer as it may be kept: without the call's key and the stream's reference."""
    text = re.sub(r"clk_\w+(-\w+)*", "clk_•••", tostring(response, encoding="unicode"))
    assert connector.webhook_key not in text
    streamed = next(response.iter("Stream"), None) is not None
    return text.replace(ref_of(response), "•••") if streamed else text
