"""Apps of the real use cases and a real database, with a scripted engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask

from service.app import build_services, register
from service.clock import SteadyClock
from service.cluster.membership import membership
from service.domain import ids
from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.engine.commands import EngineCommand
from service.media.engine.engine import Engine
from service.media.engine.stats import EngineStats
from service.media.rooms.leg import LegSpec
from service.process.machine import Machine
from service.providers import load
from service.settings import Settings
from service.storage.database import Database
from service.telemetry.logs import Troubles
from service.telemetry.metrics import Metrics
from service.web.services import Services, install, services_of
from tests.support.clocks import FakeClock
from tests.support.documented_responses import DocumentedClient

API_KEY = "test-key"
API_SECRET = "test-secret-as-long-as-hs512-recommends-" + "x" * 24
PUBLIC_URL = "https://voice.example.com"


class ScriptedEngine(Engine):
    """An engine without a thread. A test writes its statistics into ``live``."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.live: dict[str, Mapping[str, Any]] = {}
        self.loud: dict[str, Loudness] = {}
        self.counted = EngineStats()
        self.answers = True
        self.hung_up: list[tuple[str, EndReason]] = []
        self.moved: list[tuple[str, str, str]] = []
        self.released: list[str] = []
        self.handed_back: list[str] = []

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

    def hand_back(self, call_id: str, text: str, moved_to: str | None = None) -> None:
        self.handed_back.append(call_id)

    def _submit(self, request: EngineCommand) -> None:
        # A thread that is not stopped would run during other tests.
        raise AssertionError(f"This engine has no thread to act on {request}.")


class App(Flask):
    test_client_class = DocumentedClient
    shares_rules = False

    def copy(self) -> App:
        """An app with the same endpoints, and with services, settings and hooks of its own.

        It shares the rules, which take long to compile, until a test adds one.
        """
        twin = copy(self)
        twin.shares_rules = True
        twin.extensions, twin.config = {}, copy(self.config)
        twin.view_functions = copy(self.view_functions)
        twin.before_request_funcs = deepcopy(self.before_request_funcs)
        twin.after_request_funcs = deepcopy(self.after_request_funcs)
        return twin

    def add_url_rule(self, *args: Any, **kwargs: Any) -> None:
        if self.shares_rules:
            self.shares_rules, self.url_map = False, _registered().url_map
        super().add_url_rule(*args, **kwargs)


def _registered() -> App:
    app = App("patchbay", static_folder=None)
    # The order of the documentation, and no more than it: a new provider changes no test here.
    register(app, ("twilio", "plivo", "telnyx"))
    return app


@cache
def _endpoints() -> App:
    """The app that the others are copied from. It is never asked."""
    return _registered()


def build(
    database: Database,
    clock: FakeClock,
    public_url: str | None = PUBLIC_URL,
    max_calls: int = 200,
    machine: Machine | None = None,
    **more: Any,
) -> Flask:
    """The app without its proxies, its commands and its threads."""
    settings = a_settings(
        **{"api_key": API_KEY, "api_secret": API_SECRET, "public_url": public_url, **more},
        max_calls=max_calls,
    )
    app = _endpoints().copy()
    install(app, services_with(settings, clock, database, ScriptedEngine(clock), machine))
    return app


def a_settings(**changes: Any) -> Settings:
    usual = {
        "api_key": "key",
        "api_secret": "secret",
        "database_url": "sqlite:////unused",
        "data_dir": Path("/unused"),
        "dial_allowed": ("*",),
        # Addresses without a listener: no test connects to a provider.
        **{f"{name}_api_url": "http://127.0.0.1:9" for name in ("twilio", "plivo", "telnyx")},
    }
    return Settings(**{**usual, **changes})


def services_with(
    settings: Settings,
    clock: FakeClock,
    database: Database,
    engine: Engine,
    machine: Machine | None = None,
) -> Services:
    """Return the services of ``create_app``, with the test's clock, engine and database."""
    providers = load()
    return build_services(
        settings,
        SteadyClock(clock),
        clock,
        database,
        engine,
        providers,
        Metrics(providers),
        Troubles(),
        membership(settings, database, ids.new_node_id(), machine),
    )


def change_settings(app: Flask, **changes: Any) -> None:
    """Change settings that handlers read from the services; a use case keeps those it was given."""
    known = services_of(app)
    install(app, replace(known, settings=replace(known.settings, **changes)))
