"""Typed access to what ``app.py`` built, for handlers, commands and the server's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, request

from service.agents.dispatcher import Dispatcher
from service.calls.admission import Admission
from service.calls.callbacks import Callbacks
from service.calls.connector_lookup import ConnectorLookup
from service.calls.deadlines import Deadlines, SessionDeadlines
from service.calls.ending import CallEnding
from service.calls.holds import Holds
from service.calls.inbound import InboundCalls
from service.calls.outbound import OutboundCalls
from service.calls.provider_api import ProviderApi
from service.calls.recorder import CallRecorder
from service.calls.recorder_thread import RecorderThread
from service.calls.removals import Removals
from service.calls.serving_state import ServingState
from service.calls.signatures import Signatures
from service.calls.steering import Steering
from service.calls.waiting import Waiters
from service.clock import Clock, Millis
from service.cluster.directory import Directory
from service.cluster.remote_requests import RemoteRequests
from service.cluster.worker_values import Workers
from service.errors import Invalid
from service.media.engine.engine import Engine
from service.media.engine.media import Media
from service.security.failure_limit import FailureLimit
from service.settings import Settings
from service.simulator.simulated_calls import SimulatedCalls
from service.storage.database import Database
from service.storage.stores import Stores
from service.telemetry.logs import Troubles
from service.telemetry.metrics import Metrics

NAME = "patchbay"
"""The key in ``app.extensions``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Settings, clocks, repositories and use cases of one process.

    ``clock`` measures calls and does not jump; ``wall`` is the machine's clock. ``is_alive`` has a
    function for each background thread by name: false once the thread has ended by itself.
    """

    settings: Settings
    clock: Clock
    wall: Clock
    began_at: Millis
    database: Database
    stores: Stores
    engine: Engine
    media: Media
    metrics: Metrics
    troubles: Troubles
    failures: FailureLimit
    serving: ServingState
    waiters: Waiters
    provider_api: ProviderApi
    connector_lookup: ConnectorLookup
    signatures: Signatures
    holds: Holds
    admission: Admission
    inbound: InboundCalls
    outbound: OutboundCalls
    callbacks: Callbacks
    steering: Steering
    ending: CallEnding
    removals: Removals
    deadlines: Deadlines
    session_deadlines: SessionDeadlines
    recorder: CallRecorder
    recorder_thread: RecorderThread
    dispatcher: Dispatcher
    simulated_calls: SimulatedCalls
    workers: Workers
    node: str | None
    """The name of this node; ``None`` where it is the only one."""

    remote_requests: RemoteRequests | None
    """``None`` where this machine is the only one."""

    directory: Directory
    is_alive: Mapping[str, Callable[[], bool]]
    body_limits: Mapping[str, int]
    """The longest body in bytes of each path that takes longer ones than the rest."""

    start: Callable[[], None]
    """Take over the database and start the background threads, unless they run."""

    hand_over: Callable[[], None]
    """Close all sockets, and wait until the providers have requested markup."""

    close: Callable[[], None]
    """Stop the background threads and close the database."""


def install(app: Flask, services: Services) -> None:
    """Make ``services`` the ones of ``app``."""
    app.extensions[NAME] = services


def services_of(app: Flask) -> Services:
    return cast("Services", app.extensions[NAME])


def services() -> Services:
    """Return the services of the app that handles the current request or command."""
    return services_of(current_app)


def public_base() -> str:
    """Return the public URL of this service, without a trailing slash.

    It is ``PUBLIC_URL`` where that is set, else the URL of the request up to the service's root.
    The host stays in ASCII, as providers need it: Flask's ``root_url`` converts Punycode to
    Unicode.
    Raises ``Invalid`` for a request without a valid host.
    """
    configured = services().settings.public_url
    if configured is not None:
        return configured
    if not request.host:  # Werkzeug drops an invalid Host header.
        raise Invalid("Host header must name the host this request was sent to.")
    return f"{request.scheme}://{request.host}{request.root_path}"
