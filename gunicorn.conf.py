"""gunicorn's configuration: workers that share one machine, and a migration before they listen.

The values here replace gunicorn's defaults, and its command line overrides them. ``on_starting``
refuses values that would break rooms.
"""

import gc
import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import click
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from service.cli import dotenv_file
from service.cli.console import new_link
from service.cli.migrate import prepare
from service.cli.quickstart import first_steps
from service.clock import SystemClock
from service.process import file_descriptors
from service.process.machine import WORKER, Machine
from service.settings import MOST_WORKERS, Settings
from service.storage import connection_shares
from service.storage.cluster import machine_lease
from service.telemetry import log_handlers, log_output, logs
from service.web.services import services_of

OTHER_WORKER = (
    "--worker-class %s needs a proxy that reads whole requests: slow clients hold its threads. It "
    "loses its calls where file descriptors run out or gunicorn's master is gone."
)
ONE_WORKER = (
    "--worker-class %s has one worker only, and no NODE_URL: leave --worker-class as it is, or set "
    "--workers to 1 and remove NODE_URL."
)
FEW_CONNECTIONS = "%d workers are started instead of %d: DATABASE_CONNECTIONS allows no more."
TOO_MANY = "WEB_CONCURRENCY and --workers must be from 1 to %d."
REMOVED = "The folder that the workers share was removed and is made again: reload all workers. %s"
NOT_SHARED = "This server was started with one worker: set WEB_CONCURRENCY and restart it for more."

dotenv_file.load_once(Path(__file__).with_name(".env"), os.environ)
settings = Settings.from_env(os.environ)
# Before anything is logged, so that no reader of the log can block this process or its worker.
log_output.install()
logs.configure(settings.log_level, settings.log_format)


class RedactingLogger(Logger):
    """gunicorn's error and access logs in Patchbay's format, without its secrets."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self._unblock()
        for log in self._loggers():
            for handler in log.handlers:
                handler.setFormatter(logs.formatter(settings.log_format))

    def reopen_files(self) -> None:
        super().reopen_files()
        self._unblock()

    def _unblock(self) -> None:
        for log in self._loggers():
            log_handlers.unblock(log)

    def _loggers(self) -> tuple[logging.Logger, ...]:
        # gunicorn's --log-config and related options add handlers to the root logger.
        return logging.getLogger(), self.error_log, self.access_log

    def atoms(self, *args: Any) -> dict[str, Any]:
        """Return the values that an operator's access log format can name."""
        atoms: dict[str, Any] = super().atoms(*args)
        # Tokens of others have no form that redaction could recognise.
        for name in {"{authorization}i", "{http_authorization}e"} & atoms.keys():
            atoms[name] = "***"
        return atoms


wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{settings.port}"

# On Heroku the Procfile bounds WEB_CONCURRENCY by the number of cores.
workers = settings.web_concurrency
# A thread serves one request, or the upgrade of a media socket, and is free again.
worker_class = "service.server.worker.Worker"
threads = 16

# gunicorn's limit cannot exceed 8 KB, but a webhook by GET can. The worker has its own limit
# (service/server/request_framing.py).
limit_request_line = 0
# The worker's main thread sends answers from memory.
sendfile = False

# Heroku's router keeps connections for 90 s and races a server that closes them earlier.
# https://devcenter.heroku.com/articles/http-routing
keepalive = 95
timeout = 60
# Heroku kills 30 s after SIGTERM. Five seconds are left after the calls were handed over.
graceful_timeout = settings.drain_seconds + 5

# The application decides by TRUST_PROXY which proxies to trust.
forwarded_allow_ips = ""

# gunicornc could add workers through it.
control_socket_disable = True

logger_class = RedactingLogger
loglevel = settings.log_level
# Without the query, because a webhook by GET contains telephone numbers.
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s bytes %(M)s ms'


def on_starting(server: Arbiter) -> None:
    """Refuse settings that would break rooms, then migrate the database."""
    if not 1 <= server.cfg.workers <= MOST_WORKERS:
        raise SystemExit(TOO_MANY % MOST_WORKERS)
    if server.cfg.worker_class_str not in (worker_class, "gthread", "sync"):
        raise SystemExit("Patchbay runs in a worker of its own: leave --worker-class as it is.")
    _keep_to_connections(server)
    # A worker shares DATABASE_CONNECTIONS with the others.
    os.environ["WEB_CONCURRENCY"] = str(server.cfg.workers)
    is_beside_others = server.cfg.workers > 1 or settings.node_url is not None
    if server.cfg.worker_class_str != worker_class:
        if is_beside_others:
            raise SystemExit(ONE_WORKER % server.cfg.worker_class_str)
        server.log.warning(OTHER_WORKER, server.cfg.worker_class_str)
    if server.cfg.is_ssl:
        raise SystemExit("TLS ends in front of Patchbay: remove --certfile and --keyfile.")
    warning = file_descriptors.too_few(settings.max_calls, file_descriptors.raise_limit())
    if warning is not None:
        server.log.warning(warning)
    # On a socket of systemd callers may wait already, and a server can answer them without its
    # database. A restart every three seconds could not.
    is_awaited = "LISTEN_FDS" in os.environ
    if not prepare(settings, waits=is_awaited):
        server.log.error("The database is away or locked: this server starts, and waits for it.")
    Machine.forget(os.environ)
    Machine.remove_abandoned()
    if is_beside_others:
        machine = Machine.make(os.environ, machine_lease.open_file(settings.database_url))
        machine.give(server.cfg.uid, server.cfg.gid)


def on_exit(server: Arbiter) -> None:
    """Remove the folder that the workers have shared."""
    machine = Machine.of(os.environ)
    if machine is not None:
        machine.remove()


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Let workers that end wait for this one, which is about to serve."""
    machine = Machine.of(os.environ)
    if machine is None:
        return
    # An error that leaves this function would end the master, and all workers with it.
    try:
        if machine.restore():
            server.log.error(REMOVED, machine.folder)
            machine.give(server.cfg.uid, server.cfg.gid)
        machine.expect(worker.age)
    except OSError as error:
        server.log.error("The folder that the workers share cannot be used: %s", error)


def post_fork(server: Arbiter, worker: Worker) -> None:
    os.environ[WORKER] = str(worker.age)


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Let no worker wait for one that has ended."""
    machine = Machine.of(os.environ)
    if machine is not None:
        machine.serves(worker.age)


def when_ready(server: Arbiter) -> None:
    """Print the first steps where ``gunicorn --env FIRST_STEPS=1`` asks for them."""
    if "FIRST_STEPS" in server.cfg.env:
        now = SystemClock().now()
        click.echo(first_steps(settings, new_link(settings, settings.local_url, now), now))


def post_worker_init(worker: Worker) -> None:
    """Start the background threads, and hand the calls over after SIGTERM."""
    services = services_of(worker.wsgi)
    for name in ("gunicorn.error", "gunicorn.access"):
        for handler in logging.getLogger(name).handlers:
            logs.name_node(handler, services.node)
    worker.on_fault = services.metrics.connection_failed
    worker.body_limits = services.body_limits
    services.start()
    # The objects made so far stay for good. Collecting garbage among them takes longer than a tick.
    gc.collect()
    gc.freeze()
    end = signal.getsignal(signal.SIGTERM)
    drained = threading.Event()
    is_ending = False

    def leave() -> None:
        try:
            services.hand_over()
        finally:
            drained.set()
            os.kill(os.getpid(), signal.SIGTERM)

    # Heroku and systemd send the signal to every process, so it arrives twice.
    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        if drained.is_set():
            end(number, frame)
        elif not is_ending:
            is_ending = True
            threading.Thread(target=leave, name="drain").start()

    signal.signal(signal.SIGTERM, drain)


def nworkers_changed(server: Arbiter, new: int, old: int | None) -> None:
    """Keep to the limits after SIGTTIN and a reload. ``old`` is ``None`` at the start."""
    if old is None or new <= old:
        return
    if Machine.of(os.environ) is None:
        server.log.warning(NOT_SHARED)
        # Each request is told by it whether there are other workers.
        server.cfg.set("workers", 1)
        server.num_workers = 1
    elif new > MOST_WORKERS:
        server.log.warning(TOO_MANY, MOST_WORKERS)
        server.num_workers = MOST_WORKERS
    else:
        _keep_to_connections(server, new)


def _keep_to_connections(server: Arbiter, wanted: int | None = None) -> None:
    """Start no more workers than ``DATABASE_CONNECTIONS`` is enough for."""
    number, most = wanted or server.cfg.workers, connection_shares.most_workers(settings)
    if number > most:
        server.log.warning(FEW_CONNECTIONS, most, number)
        server.cfg.set("workers", most)
        server.num_workers = most


def pre_exec(server: Arbiter) -> None:
    """End the second server of a SIGUSR2 before it takes calls from this one."""
    server.log.warning("Patchbay does not upgrade in place: stop it and start the new version.")
    raise SystemExit(1)
