"""The composition root: the one module that knows every room and wires them together."""

from __future__ import annotations

import atexit

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from service import api, cli, logs
from service.api.sockets import SOCK_SERVER_OPTIONS
from service.callbacks import Callbacks
from service.calls import Switchboard
from service.control import Control
from service.errors import ServiceError
from service.ledger import Ledger
from service.limits import Failures
from service.media.engine import Engine
from service.providers import load
from service.reception import Reception
from service.settings import Settings
from service.storage.database import Database
from service.times import Clock, SystemClock


def create_app(settings: Settings, clock: Clock | None = None) -> Flask:
    """The whole service as a WSGI application.

    Nothing is opened or started before the first request, so that it may be made before a fork.
    """
    clock = clock or SystemClock()
    logs.configure(settings.log_level, settings.log_format)
    providers = load()
    database = Database(settings.database_url)
    engine = Engine(clock)
    switchboard = Switchboard(settings, clock, database, providers, engine)
    reception = Reception(switchboard, providers)
    ledger = Ledger(switchboard, engine.reports)

    app = Flask("patchbay", static_folder=None)
    app.config.update(
        SETTINGS=settings, PROVIDERS=tuple(providers), SOCK_SERVER_OPTIONS=SOCK_SERVER_OPTIONS
    )
    app.extensions.update(
        patchbay=switchboard,
        reception=reception,
        callbacks=Callbacks(switchboard, reception, providers),
        control=Control(switchboard),
        engine=engine,
        ledger=ledger,
        failures=Failures(clock),
    )

    def begin() -> None:
        if request.environ.get("wsgi.multiprocess"):
            raise ServiceError("Patchbay keeps its rooms in one process: run one worker.")
        ledger.start()

    def finish() -> None:
        engine.stop()
        ledger.stop()
        switchboard.errands.stop()
        database.close()

    app.before_request(begin)
    atexit.register(finish)
    api.register(app)
    cli.register(app)
    if settings.trust_proxy:
        # The host stays what the proxy sends as Host: anybody may send X-Forwarded-Host.
        # Ignored: Flask documents this assignment, for which its types would need a property.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=settings.trust_proxy, x_proto=settings.trust_proxy, x_host=0
        )
    return app
