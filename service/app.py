"""The composition root: the only module that imports every package, and connects their parts."""

from __future__ import annotations

import atexit
from collections.abc import Mapping

from flask import Flask, request

from service import api, cli, console
from service.agents.dispatch_request import DispatchRequests
from service.agents.dispatcher import Dispatcher
from service.calls.admission import Admission
from service.calls.call_lookup import CallLookup
from service.calls.callbacks import Callbacks
from service.calls.connector_lookup import ConnectorLookup
from service.calls.deadlines import Deadlines, SessionDeadlines
from service.calls.drain import drain
from service.calls.ending import CallEnding
from service.calls.holds import Holds
from service.calls.inbound import InboundCalls
from service.calls.node_services import node_services
from service.calls.outbound import OutboundCalls
from service.calls.pin_prompt import PinPrompt
from service.calls.provider_api import ProviderApi
from service.calls.recorder import CallRecorder
from service.calls.recorder_thread import RecorderThread
from service.calls.removals import Removals
from service.calls.retention import Retention
from service.calls.serving_state import ServingState
from service.calls.signatures import Signatures
from service.calls.steering import Steering
from service.calls.sweeps import Sweeps
from service.calls.takeover import Takeover
from service.calls.timekeeper import SharedTimekeeper, Timekeeper
from service.clock import Clock, SteadyClock, SystemClock
from service.cluster.membership import Membership, membership
from service.console.change_notifier import ChangeNotifier
from service.domain import ids
from service.errors import ServiceError
from service.http_client.client import HttpClient
from service.media.engine.engine import Engine
from service.process.machine import Machine
from service.providers import load
from service.providers.base.provider import Provider
from service.providers.plivo import Plivo
from service.security.failure_limit import FailureLimit
from service.security.webhook_signing import Signer
from service.settings import Settings
from service.simulator.simulated_calls import SimulatedCalls
from service.storage.change_signals import ChangeSignal
from service.storage.connection_shares import of_worker
from service.storage.database import Database
from service.storage.stores import Stores
from service.telemetry import logs
from service.telemetry.logs import Troubles
from service.telemetry.metrics import Metrics
from service.telemetry.shared_counters import SharedCounters
from service.web.application import Application
from service.web.services import Services, install
from service.web.websocket_handshake import SOCK_SERVER_OPTIONS
from service.webhooks.scheduler import DeliveryScheduler


def create_app(
    settings: Settings, clock: Clock | None = None, machine: Machine | None = None
) -> Flask:
    """Make the whole service as a WSGI application.

    Nothing is started before the first request, so it may be made before a fork. With a
    ``machine`` it is one worker of several.
    """
    wall = clock or SystemClock()
    node_id = ids.new_node_id()
    named = None if machine is None else node_id
    troubles = logs.configure(settings.log_level, settings.log_format, named)
    providers = {**load(), Plivo.name: Plivo(accepts_v2=settings.plivo_old_signatures)}
    metrics = Metrics(providers, None if machine is None else SharedCounters.of(machine))
    # Durations and deadlines use a clock that cannot be set.
    steady = SteadyClock(wall)
    database = Database(settings.database_url, metrics.transaction, of_worker(settings))
    member = membership(settings, database, node_id, machine)
    services = build_services(
        settings, steady, wall, database, Engine(steady), providers, metrics, troubles, member
    )
    app = Application(settings.trust_proxy)
    app.config.update(SETTINGS=settings, SOCK_SERVER_OPTIONS=SOCK_SERVER_OPTIONS)

    def begin() -> None:
        if machine is None and request.environ.get("wsgi.multiprocess"):
            raise ServiceError("This server runs several processes that share no rooms.")
        services.start()

    install(app, services)
    register(app, tuple(providers))
    app.before_request(begin)
    cli.register(app)
    atexit.register(services.close)
    return app


def register(app: Flask, providers: tuple[str, ...]) -> None:
    """Give the app the providers on offer, its API and its console."""
    app.config["PROVIDERS"] = providers
    # Before the console, because the API gives each request its id.
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
    member: Membership,
) -> Services:
    """Make the repositories, the use cases and the background threads, and start nothing."""
    stores = Stores.of(database, settings, clock, wall, member.nodes, member.placement)
    calls, rooms, sessions = stores.calls, stores.rooms, stores.sessions
    connectors, rules, secrets = stores.connectors, stores.routing_rules, stores.secrets

    simulated_calls = SimulatedCalls(settings.test_calls)
    node = node_services(
        member, database, calls, clock, wall, engine, simulated_calls, troubles, providers, metrics
    )
    media, waiters, told = node.media, node.waiters, node.remote_holds
    serving = ServingState(member.serves_elsewhere)
    http = HttpClient(clock, allow_private=settings.webhook_allow_private)
    provider_api = ProviderApi(settings, clock, connectors, stores.provider_requests)
    signer = Signer(stores.signing_keys, clock)

    ending = CallEnding(clock, database, calls, media, metrics, waiters, serving)
    admission = Admission(
        settings, clock, providers, calls, rooms, sessions, secrets, media, serving
    )
    steering = Steering(settings, clock, database, stores.steering, rooms, sessions, media)
    lookup = CallLookup(calls, stores.steering)
    inbound = InboundCalls(
        settings,
        clock,
        providers,
        calls,
        stores.steering,
        rules,
        lookup,
        admission,
        PinPrompt(settings, clock, calls, stores.pins, rules, admission, metrics),
        ending,
        metrics,
        serving,
        node.is_silent,
    )
    deadlines = Deadlines(
        settings, clock, database, calls, stores.holds, engine, ending, steering, serving, told
    )
    session_deadlines = SessionDeadlines(
        settings, clock, database, calls, rooms, sessions, stores.dispatches, ending, serving
    )
    recorder = CallRecorder(
        settings,
        database,
        calls,
        stores.steering,
        stores.loudness,
        rooms,
        engine,
        steering,
        ending,
        waiters,
    )

    dispatcher = Dispatcher(
        clock,
        stores.agents,
        calls,
        stores.dispatches,
        sessions,
        DispatchRequests(settings, signer, http),
        admission,
        ending,
        waiters,
        serving,
    )
    deliveries = DeliveryScheduler(
        stores.receiver_leases,
        stores.outbox,
        signer,
        http,
        clock,
        database.signals[ChangeSignal.OUTBOX],
        count_outcome=metrics.count_deliveries,
        is_shared=lambda: member.machine is not None or serving.is_draining,
    )
    notifier = ChangeNotifier(media, database.signals[ChangeSignal.CALLS])
    retention = Retention(stores.history, stores.work_leases, clock, settings.keep_days)
    threads = (notifier, dispatcher, deliveries, provider_api, retention)
    keeper = member.keeper(clock, engine, node.tell_lost)
    keeps_time = Timekeeper if settings.node_url is None else SharedTimekeeper
    timekeeper = keeps_time(clock, calls, stores.time_bases)
    recorder_thread = RecorderThread(
        clock,
        engine.reports,
        recorder,
        database,
        Takeover(database, keeper, timekeeper, deadlines, calls, secrets),
        Sweeps(keeper, timekeeper, deadlines, session_deadlines, secrets),
        serving,
        metrics,
        followers=(*(thread.start for thread in threads), node.on_takeover),
    )

    def hand_calls_over() -> None:
        if member.machine is None:
            serving.begin_drain()
        # The callers of test calls are in this process, and cannot ask the next one.
        simulated_calls.stop()
        drain(settings, serving, engine, keeper, member.machine)

    def close() -> None:
        atexit.unregister(close)
        for stop in (notifier.stop, retention.stop, simulated_calls.stop, node.stop, engine.stop):
            stop()
        for stop in (recorder_thread.stop, dispatcher.stop, deliveries.stop, provider_api.stop):
            stop()
        # From here on other nodes may do what this one has claimed.
        keeper.close()
        http.close()
        database.close()

    return Services(
        settings=settings,
        clock=clock,
        wall=wall,
        began_at=clock.now(),
        database=database,
        stores=stores,
        engine=engine,
        media=media,
        metrics=metrics,
        troubles=troubles,
        failures=FailureLimit(clock),
        serving=serving,
        waiters=waiters,
        provider_api=provider_api,
        connector_lookup=ConnectorLookup(connectors, providers, settings.api_secrets),
        signatures=Signatures(connectors, providers, wall, settings.public_url, settings.node_url),
        holds=Holds(settings, providers, deadlines, serving, node.tell_held),
        admission=admission,
        inbound=inbound,
        outbound=OutboundCalls(
            settings,
            clock,
            calls,
            connectors,
            stores.steering,
            rules,
            secrets,
            admission,
            ending,
            provider_api,
            waiters,
            serving,
        ),
        callbacks=Callbacks(clock, providers, stores.steering, lookup, inbound, ending),
        steering=steering,
        ending=ending,
        removals=Removals(clock, calls, rooms, sessions, ending),
        deadlines=deadlines,
        session_deadlines=session_deadlines,
        recorder=recorder,
        recorder_thread=recorder_thread,
        dispatcher=dispatcher,
        simulated_calls=simulated_calls,
        workers=node.workers,
        node=member.name,
        directory=member.directory,
        remote_requests=node.remote_requests,
        # The names are part of the answer of /healthz.
        is_alive={
            "engine": lambda: engine.is_alive,
            "ledger": lambda: recorder_thread.is_alive,
            "guard": lambda: keeper.is_alive and node.is_alive(),
            "herald": lambda: notifier.is_alive,
            "dispatcher": lambda: dispatcher.is_alive,
            "courier": lambda: deliveries.is_alive,
            "provider-api": lambda: provider_api.is_alive,
            "retention": lambda: retention.is_alive,
        },
        body_limits=console.BODY_LIMITS,
        start=node.started_before(recorder_thread.start),
        hand_over=hand_calls_over,
        close=close,
    )
