"""The composition root: the one module that knows every room and wires them together."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from service import api, cli, console
from service.agents.dispatch_request import DispatchRequests
from service.agents.dispatcher import Dispatcher
from service.calls.callbacks import Callbacks
from service.calls.drain import drain
from service.calls.ending import Switchboard
from service.calls.inbound import InboundCalls
from service.calls.lease_guard import LeaseGuard
from service.calls.outbound import OutboundCalls
from service.calls.recorder import CallRecorder
from service.calls.retention import Retention
from service.calls.timekeeper import Timekeeper
from service.clock import Clock, SteadyClock, SystemClock
from service.console.change_notifier import ChangeNotifier
from service.errors import ServiceError
from service.http_client import addresses
from service.http_client.client import HttpClient
from service.media.engine.engine import Engine
from service.providers import load
from service.providers.base.provider import Provider
from service.providers.plivo import Plivo
from service.security.failure_limit import FailureLimit
from service.security.webhook_signing import Signer
from service.settings import Settings
from service.simulator.test_calls import TestCalls
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.lease import lease_of
from service.storage.stores import Stores
from service.telemetry import logs
from service.telemetry.logs import Troubles
from service.telemetry.metrics import Metrics
from service.web.pasted_urls import tidied
from service.web.services import Services, install
from service.web.websocket_handshake import SOCK_SERVER_OPTIONS
from service.webhooks.delivery import DeliveryScheduler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Application(Flask):
    """Middleware: believe this many ``proxies`` about the client's address and scheme.

    Accept pasted addresses where their meaning is clear.
    The host is the ``Host`` of the last proxy: anybody may send ``X-Forwarded-Host``.
    """

    def __init__(self, proxies: int) -> None:
        super().__init__("patchbay", static_folder=None)
        self._proxies = proxies
        self._behind = ProxyFix(super().wsgi_app, x_for=0, x_proto=proxies, x_host=0)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Not ProxyFix's: it takes whatever the header holds, with a port and all.
        environ["REMOTE_ADDR"] = addresses.client(
            environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_FORWARDED_FOR", ""), self._proxies
        )
        environ["PATH_INFO"] = tidied(environ.get("PATH_INFO", ""))
        return self._behind(environ, start_response)


def create_app(settings: Settings, clock: Clock | None = None) -> Flask:
    """The whole service as a WSGI application.

    Nothing is opened or started before the first request, so that it may be made before a fork.
    """
    wall = clock or SystemClock()
    troubles = logs.configure(settings.log_level, settings.log_format)
    providers = {**load(), Plivo.name: Plivo(accepts_v2=settings.plivo_old_signatures)}
    metrics = Metrics(providers)
    # Durations and deadlines use a clock that nobody sets.
    steady = SteadyClock(wall)
    database = Database(settings.database_url, metrics.transaction)
    services = build_services(
        settings, steady, wall, database, Engine(steady), providers, metrics, troubles
    )
    app = Application(settings.trust_proxy)
    app.config.update(SETTINGS=settings, SOCK_SERVER_OPTIONS=SOCK_SERVER_OPTIONS)

    def begin() -> None:
        if request.environ.get("wsgi.multiprocess"):
            raise ServiceError("Patchbay keeps its rooms in one process: run one worker.")
        services.start()

    register(app, services, tuple(providers))
    app.before_request(begin)
    cli.register(app)
    atexit.register(services.close)
    return app


def register(app: Flask, services: Services, providers: tuple[str, ...]) -> None:
    """Give the app its services, the providers on offer, its API and its console."""
    app.config["PROVIDERS"] = providers
    install(app, services)
    # First of all, so that a request has its id whatever becomes of it.
    api.register(app)
    console.register(app)


def build_services(
    settings: Settings,
    clock: SteadyClock,
    wall: Clock,
    database: Database,
    engine: Engine,
    providers: Mapping[str, Provider],
    metrics: Metrics,
    troubles: Troubles,
) -> Services:
    """Make the repositories, the use cases and the background threads, and start nothing."""
    stores = Stores.of(database, settings, clock, wall)
    switchboard = Switchboard(settings, clock, wall, database, stores, providers, engine, metrics)
    inbound = InboundCalls(switchboard, providers)
    signer = Signer(stores.signing_keys, clock)
    http = HttpClient(clock, allow_private=settings.webhook_allow_private)
    deliveries = DeliveryScheduler(
        stores.outbox,
        signer,
        http,
        clock,
        database.signals[ChangeSignal.OUTBOX],
        count_outcome=metrics.told,
    )
    notifier = ChangeNotifier(engine, database.signals[ChangeSignal.CALLS])
    retention = Retention(stores.history, clock, settings.keep_days)
    test_calls = TestCalls(settings.test_calls)
    dispatcher = Dispatcher(switchboard, DispatchRequests(settings, signer, http))
    guard = LeaseGuard(lease_of(database), lost=lambda: os.kill(os.getpid(), signal.SIGTERM))
    recorder = CallRecorder(
        switchboard,
        engine.reports,
        Timekeeper(clock, stores.calls, stores.time_bases),
        guard,
        followers=(notifier.start, dispatcher.start, deliveries.start, retention.start),
    )

    def hand_over() -> None:
        # Their callers are in this process, and will not ask the next one.
        test_calls.stop()
        drain(switchboard, engine, guard.release)

    def close() -> None:
        atexit.unregister(close)
        notifier.stop()
        retention.stop()
        test_calls.stop()
        engine.stop()
        recorder.stop()
        guard.close()
        dispatcher.stop()
        deliveries.stop()
        switchboard.errands.stop()
        http.close()
        database.close()

    return Services(
        settings=settings,
        clock=clock,
        wall=wall,
        began_at=clock.now(),
        stores=stores,
        engine=engine,
        metrics=metrics,
        troubles=troubles,
        failures=FailureLimit(clock),
        drain=switchboard.handover,
        switchboard=switchboard,
        inbound=inbound,
        callbacks=Callbacks(switchboard, inbound, providers),
        outbound=OutboundCalls(switchboard),
        dispatcher=dispatcher,
        test_calls=test_calls,
        # The names are part of what /healthz answers.
        is_alive={
            "engine": lambda: engine.is_alive,
            "ledger": lambda: recorder.is_alive,
            "guard": lambda: guard.is_alive,
            "herald": lambda: notifier.is_alive,
            "dispatcher": lambda: dispatcher.is_alive,
            "courier": lambda: deliveries.is_alive,
            "retention": lambda: retention.is_alive,
        },
        body_limits=console.BODY_LIMITS,
        start=recorder.start,
        hand_over=hand_over,
        close=close,
    )
