"""``flask doctor``: URLs that signatures are checked against, nodes, and mistakes in the setup.

Each problem is one sentence that says what to do. Any problem makes the exit code 1.
"""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.cli import with_appcontext

from service.cli.node_probe import examine_nodes
from service.clock import Clock, SystemClock
from service.domain.connectors import Connector, webhook_url
from service.providers import load
from service.providers.base.provider import Provider
from service.providers.base.signatures import Use
from service.settings import Settings
from service.simulator.webhook_client import opener
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.storage.stored_secrets import WRONG, StoredSecrets
from service.web.services import services

ANY_ORIGIN = "http(s)://<Host header>"
"""Shown for the public URL if each request determines it."""

ANY_SOCKET = "ws(s)://<Host header>"

MIN_SECRET_LENGTH = 32
"""Recommended minimum length of ``API_SECRET``, in characters."""

MAX_SKEW_SECONDS = 30
"""Telnyx's signatures are valid for 300 s, so the clocks may differ only a little."""

PORT_SECONDS = 5.0

NO_DATABASE = (
    "There is no database yet: start the server once, or correct DATABASE_URL or DATA_DIR."
)
REPAIR = (
    "start it, correct DATABASE_URL, or bring it to the current schema with "
    "`flask --app wsgi migrate`."
)


@click.command()
@click.option("--show-keys", is_flag=True, help="Print the webhook keys, which are secrets.")
@click.option("--dyno", envvar="DYNO", hidden=True)
@with_appcontext
def doctor(show_keys: bool, dyno: str | None) -> None:
    """Print the URLs that signatures are checked against, and mistakes in the setup."""
    settings: Settings = current_app.config["SETTINGS"]
    database = Database(settings.database_url)
    problems = [*settings_problems(settings, dyno), *port_problems(settings, dyno)]
    connectors: Sequence[Connector] = ()
    nodes: Sequence[str] = ()
    try:
        if database.exists():
            connectors = Connectors(database, *settings.api_secrets).all()
            problems += secret_problems(database, settings)
            problems += clock_problems(database, services().clock)
            nodes, of_nodes = examine_nodes(database, settings.api_secret, services().wall)
            problems += of_nodes
        else:
            problems.append(NO_DATABASE)
    except Exception as error:  # noqa: BLE001 - any error of the driver means that it cannot be read
        # The driver's message may hold the database URL, so only the class is shown.
        name = type(error.__cause__ or error).__name__
        problems.append(f"The database cannot be read ({name}): {REPAIR}")
    finally:
        database.close()
    for connector in connectors:
        for line in describe(connector, settings, show_keys):
            click.echo(line)
    for line in nodes:
        click.echo(line)
    problems += (_lock(connector) for connector in connectors if connector.locked)
    for problem in problems:
        click.echo(f"Problem: {problem}")
    if problems:
        raise click.exceptions.Exit(1)
    click.echo("Nothing is wrong.")


def _lock(connector: Connector) -> str:
    return (
        f"The credentials of {connector.id} cannot be read with this API_SECRET, so that all its "
        f"webhooks are refused: set them again with PATCH /v2/connectors/{connector.id}."
    )


def describe(connector: Connector, settings: Settings, show_keys: bool) -> Iterator[str]:
    base = settings.public_url or ANY_ORIGIN
    provider = load()[connector.provider]
    name = f", {connector.name}" if connector.name else ""
    key = connector.webhook_key if show_keys else "whk_***"
    yield f"{connector.id} ({connector.provider}{name})"
    yield _line("webhook", webhook_url(base, connector.provider, key))
    if provider.signs_upgrades:
        media = settings.node_url or base
        socket = f"ws{media.removeprefix('http')}" if media != ANY_ORIGIN else ANY_SOCKET
        elsewhere = ", and at other machines behind their NODE_URL" if settings.node_url else ""
        yield _line("media socket", f"{socket}/{connector.provider}/<reference>{elsewhere}")
    for credential in provider.credentials:
        values = connector.credentials.get(credential.name, ())
        shown = "set" if credential.secret else ", ".join(values)
        if credential.secret and len(values) > 1:
            shown = f"set, {len(values)} values"
        absent = "cannot be read" if connector.locked else "not set"
        yield _line(credential.name, shown if values else absent)
    yield _line("signatures", _signatures(connector, provider))


def _signatures(connector: Connector, provider: Provider) -> str:
    if connector.locked:
        return "cannot be checked, so everything is refused"
    if provider.checks(connector.credentials):
        return "checked against these URLs" if provider.signs_upgrades else "checked, by POST only"
    needed = " and ".join(each.name for each in provider.credentials if Use.SIGNATURES in each.uses)
    return f"not checked: that needs {needed}"


def _line(name: str, text: str) -> str:
    return f"  {name:<14}{text}"


def settings_problems(settings: Settings, dyno: str | None) -> Iterator[str]:
    """Find mistakes in the settings. ``dyno`` is the name of the Heroku dyno, if this is one."""
    parts = urlsplit(settings.public_url or "")
    is_local = _is_local(parts.hostname)
    if settings.public_url is None:
        yield (
            "PUBLIC_URL is not set, so that URLs and signatures follow the Host header of each "
            "request: set it to the address that providers dial, such as https://voice.example.com."
        )
    elif is_local:
        yield (
            f"PUBLIC_URL names {parts.hostname}, where no provider can reach this server: set it "
            "to the address of your proxy or tunnel."
        )
        if parts.port not in (None, settings.port) and settings.trust_proxy == 0:
            yield (
                f"PUBLIC_URL says port {parts.port} and PORT is {settings.port}: make them agree, "
                "or say with TRUST_PROXY that something stands between them."
            )
    elif parts.scheme == "http":
        yield (
            "PUBLIC_URL begins with http://, and providers open media sockets over TLS only: let "
            "a proxy end TLS and write https://."
        )
    node_host = urlsplit(settings.node_url or "").hostname
    if _is_local(node_host):
        yield (
            f"NODE_URL names {node_host}, where providers cannot open media sockets: set it to the "
            "public address of this machine."
        )
    in_front = dyno is not None or (parts.scheme == "https" and not is_local)
    if in_front and settings.trust_proxy == 0:
        yield (
            "TRUST_PROXY is 0 although something in front of this server ends TLS: set it to the "
            "number of proxies, which is mostly 1."
        )
    if is_local and not dyno and settings.trust_proxy:
        yield (
            f"TRUST_PROXY is {settings.trust_proxy} although PUBLIC_URL names this machine: "
            "without a proxy anybody may claim an address and a scheme, so set it to 0."
        )
    if dyno is not None and settings.database_url.startswith("sqlite:"):
        yield (
            "The database is a file on a dyno, whose disk is wiped daily: attach Postgres with "
            "`heroku addons:create heroku-postgresql`."
        )
    if len(settings.api_secret) < MIN_SECRET_LENGTH:
        yield (
            f"API_SECRET has fewer than {MIN_SECRET_LENGTH} characters, and anybody who guesses it "
            "can mint tokens and read credentials: make a longer one and set all credentials again."
        )


def port_problems(settings: Settings, dyno: str | None) -> Iterator[str]:
    """Find another program that listens at the configured port."""
    # A dyno that runs this command has its own port, at which no server listens.
    if dyno is None and _answers(settings.port) is False:
        yield (
            f"Something other than Patchbay answers at port {settings.port}: set PORT to a free "
            "one and let your proxy know."
        )


def secret_problems(database: Database, settings: Settings) -> Iterator[str]:
    """Find a secret with which no server would start. Raises if the database is unavailable."""
    if not StoredSecrets(database, SystemClock(), *settings.api_secrets).fits():
        yield WRONG


def clock_problems(database: Database, clock: Clock) -> Iterator[str]:
    """Compare this machine's clock with the database's. Raises if the database is unavailable."""
    theirs = database.now()
    skew = 0 if theirs is None else (clock.now() - theirs) // 1000
    if abs(skew) > MAX_SKEW_SECONDS:
        direction = "ahead of" if skew > 0 else "behind"
        yield (
            f"This machine's clock is {abs(skew)} s {direction} the database's, and Telnyx's "
            "signatures are refused from 300 s on: run a time service on both."
        )


def _is_local(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local"))


def _answers(port: int) -> bool | None:
    """Return whether Patchbay answers at a local port, or ``None`` if nothing listens."""
    try:
        with opener("127.0.0.1").open(
            f"http://127.0.0.1:{port}/healthz", timeout=PORT_SECONDS
        ) as answer:
            return bool(json.loads(answer.read(1000)) == {"status": "ok"})
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except urllib.error.URLError:
        return None
    except (OSError, ValueError):
        return False
