"""The HTTP rooms in a small Flask app: real use cases, a real database, a scripted engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flask import Flask
from werkzeug.routing import Rule

from service import api, console
from service.agents.dispatch_request import DispatchRequests
from service.agents.dispatcher import Dispatcher
from service.calls.callbacks import Callbacks
from service.calls.ending import Switchboard
from service.calls.inbound import InboundCalls
from service.calls.outbound import OutboundCalls
from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.http_client.client import HttpClient
from service.media.engine.commands import EngineCommand
from service.media.engine.engine import Engine
from service.media.engine.stats import EngineStats
from service.media.rooms.leg import LegSpec
from service.providers import load
from service.security.failure_limit import FailureLimit
from service.security.webhook_signing import Signer
from service.settings import Settings
from service.storage.calls.in_progress import CallsInProgress
from service.storage.database import Database
from service.storage.sign_in_links import SignInLinks
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.signing_keys import SigningKeys
from service.storage.webhooks.subscriptions import Subscriptions
from service.telemetry.logs import Troubles
from tests.support.clocks import FakeClock
from tests.support.judges import JudgedClient
from tests.support.keyrings import Keyring, a_pair

API_KEY = "test-key"
API_SECRET = "test-secret-as-long-as-hs512-recommends-" + "x" * 24
PUBLIC_URL = "https://voice.example.com"


class ScriptedEngine(Engine):
    """An engine without a thread: its statistics are what a test writes into ``live``."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.live: dict[str, Mapping[str, Any]] = {}
        self.loud: dict[str, Loudness] = {}
        self.counted = EngineStats()
        self.answers = True
        self.hung_up: list[tuple[str, EndReason]] = []
        self.moved: list[tuple[str, str, str]] = []
        self.released: list[str] = []

    def stats(
        self, call_ids: Iterable[str], seconds: float = 1.0
    ) -> Mapping[str, Mapping[str, Any]]:
        if not self.answers:
            raise TimeoutError
        return {call_id: self.live[call_id] for call_id in call_ids if call_id in self.live}

    def legs(self, seconds: float = 1.0) -> tuple[LegSpec, ...]:
        return ()

    def loudness(self, call_id: str, seconds: float = 1.0) -> Loudness | None:
        if not self.answers:
            raise TimeoutError
        return self.loud.get(call_id)

    def engine_stats(self, seconds: float = 1.0) -> EngineStats:
        if not self.answers:
            raise TimeoutError
        return self.counted

    def hang_up(
        self, call_id: str, reason: EndReason, text: str, *, leg_id: str | None = None
    ) -> None:
        self.hung_up.append((call_id, reason))

    def move(
        self, call_id: str, room_id: str, participant: Participant, session_id: str | None
    ) -> None:
        self.moved.append((call_id, room_id, participant.id))

    def release(self, call_id: str, text: str) -> None:
        self.released.append(call_id)

    def _submit(self, request: EngineCommand) -> None:
        # A thread that nobody stops would be found by other tests.
        raise AssertionError(f"This engine has no thread to act on {request}.")


class KnownRule(Rule):
    """A rule that is compiled as its like was before.

    Werkzeug writes two functions for each rule of each app, which takes four fifths of what an app
    takes to build, and the tests build hundreds of the same rules.
    """

    _functions: ClassVar[dict[tuple[object, ...], Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (*self._trace, str(self.defaults), append_unknown)
        if key not in self._functions:
            self._functions[key] = super()._compile_builder(append_unknown)
        return self._functions[key]


class App(Flask):
    url_rule_class = KnownRule
    test_client_class = JudgedClient


def build(
    database: Database,
    clock: FakeClock,
    public_url: str | None = PUBLIC_URL,
    max_calls: int = 200,
    **more: Any,
) -> Flask:
    settings = Settings(
        api_key=API_KEY,
        public_url=public_url,
        database_url="sqlite:////unused",
        data_dir=Path("/unused"),
        max_calls=max_calls,
        # Where nothing listens: no test speaks to a provider.
        **{f"{name}_api_url": "http://127.0.0.1:9" for name in ("twilio", "plivo", "telnyx")},
        **{"api_secret": API_SECRET, "dial_allowed": ("*",), **more},
    )
    providers = load()
    engine = ScriptedEngine(clock)
    switchboard = Switchboard(settings, clock, database, providers, engine)
    signer = Signer(Keyring(a_pair()), clock)
    invitations = DispatchRequests(settings, signer, HttpClient(clock))
    app = App("patchbay", static_folder=None)
    reception = InboundCalls(switchboard, providers)
    app.extensions.update(
        patchbay=switchboard,
        reception=reception,
        callbacks=Callbacks(switchboard, reception, providers),
        control=OutboundCalls(switchboard),
        dispatcher=Dispatcher(switchboard, invitations),
        engine=engine,
        outbox=Outbox(database),
        signing_keys=SigningKeys(database, clock, API_SECRET, None),
        subscriptions=Subscriptions(database),
        failures=FailureLimit(clock),
        sign_in_links=SignInLinks(database),
        calls_in_progress=CallsInProgress(database),
        troubles=Troubles(),
        began_at=clock.now(),
    )
    # The order of the documentation, and no more than it: a new provider changes no test here.
    app.config["PROVIDERS"] = ("twilio", "plivo", "telnyx")
    api.register(app)
    console.register(app)
    return app
