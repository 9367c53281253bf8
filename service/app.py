"""The composition root: the one module that knows every room and wires them together."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterable
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
from service.providers.plivo import Plivo
from service.security.failure_limit import FailureLimit
from service.security.webhook_signing import Signer
from service.settings import Settings
from service.simulator.test_calls import TestCalls
from service.storage.calls.in_progress import CallsInProgress
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.lease import lease_of
from service.storage.sign_in_links import SignInLinks
from service.storage.time_bases import TimeBases
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.signing_keys import SigningKeys
from service.storage.webhooks.subscriptions import Subscriptions
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from service.web.pasted_urls import tidied
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
    # Durations and deadlines use a clock that nobody sets.
    clock = SteadyClock(wall)
    troubles = logs.configure(settings.log_level, settings.log_format)
    providers = {**load(), Plivo.name: Plivo(accepts_v2=settings.plivo_old_signatures)}
    metrics = Metrics(providers)
    database = Database(settings.database_url, metrics.transaction)
    engine = Engine(clock)
    switchboard = Switchboard(settings, clock, database, providers, engine, metrics, wall)
    reception = InboundCalls(switchboard, providers)
    timekeeper = Timekeeper(clock, switchboard.calls, TimeBases(database))
    herald = ChangeNotifier(engine, database.signals[ChangeSignal.CALLS])
    signing_keys = SigningKeys(
        database,
        wall,
        settings.api_secret,
        settings.webhook_private_key,
        settings.api_secret_previous,
    )
    signer = Signer(signing_keys, clock)
    outbox = Outbox(database)
    outgoing = HttpClient(clock, allow_private=settings.webhook_allow_private)
    courier = DeliveryScheduler(
        outbox, signer, outgoing, clock, database.signals[ChangeSignal.OUTBOX], told=metrics.told
    )
    retention = Retention(switchboard.history, clock, settings.keep_days)
    trials = TestCalls(settings.test_calls)
    dispatcher = Dispatcher(switchboard, DispatchRequests(settings, signer, outgoing))

    guard = LeaseGuard(lease_of(database), lost=lambda: os.kill(os.getpid(), signal.SIGTERM))
    followers = (herald.start, dispatcher.start, courier.start, retention.start)
    ledger = CallRecorder(switchboard, engine.reports, timekeeper, guard, followers)

    def leave() -> None:
        # Their callers are in this process, and will not ask the next one.
        trials.stop()
        drain(switchboard, engine, guard.release)

    app = Application(settings.trust_proxy)
    app.config.update(
        SETTINGS=settings, PROVIDERS=tuple(providers), SOCK_SERVER_OPTIONS=SOCK_SERVER_OPTIONS
    )
    app.extensions.update(
        patchbay=switchboard,
        reception=reception,
        callbacks=Callbacks(switchboard, reception, providers),
        control=OutboundCalls(switchboard),
        drain=leave,
        engine=engine,
        ledger=ledger,
        dispatcher=dispatcher,
        signing_keys=signing_keys,
        outbox=outbox,
        courier=courier,
        subscriptions=Subscriptions(database),
        failures=FailureLimit(clock),
        sign_in_links=SignInLinks(database),
        calls_in_progress=CallsInProgress(database),
        trials=trials,
        troubles=troubles,
        began_at=clock.now(),
        threads={
            "engine": lambda: engine.is_alive,
            "ledger": lambda: ledger.is_alive,
            "guard": lambda: guard.is_alive,
            "herald": lambda: herald.is_alive,
            "dispatcher": lambda: dispatcher.is_alive,
            "courier": lambda: courier.is_alive,
            "retention": lambda: retention.is_alive,
        },
    )

    def begin() -> None:
        if request.environ.get("wsgi.multiprocess"):
            raise ServiceError("Patchbay keeps its rooms in one process: run one worker.")
        ledger.start()

    def finish() -> None:
        atexit.unregister(finish)
        herald.stop()
        retention.stop()
        trials.stop()
        engine.stop()
        ledger.stop()
        guard.close()
        dispatcher.stop()
        courier.stop()
        switchboard.errands.stop()
        outgoing.close()
        database.close()

    app.extensions["close"] = finish
    atexit.register(finish)
    # First of all, so that a request has its id whatever becomes of it.
    api.register(app)
    app.before_request(begin)
    console.register(app)
    cli.register(app)
    return app
